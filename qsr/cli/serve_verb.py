"""`qsr serve`: a page on this machine that enlarges pictures dropped on it."""

from __future__ import annotations

import typer


def command(
    model: str | None = typer.Option(None, "-m", "--model", help="Packed file, or a name of `qsr zoo list`."),
    scale: int | None = typer.Option(None, "--scale", help="Which default network, if none is named."),
    host: str = typer.Option("127.0.0.1", "--host", help="Other addresses make the page reachable from other machines."),
    port: int = typer.Option(8470, "--port", min=0, max=65535, help="0: any free one."),
    threads: int | None = typer.Option(None, "--threads", min=1, help="Default: every core of the process."),
    megabytes: int = typer.Option(32, "--max-megabytes", min=1, help="Largest picture file taken."),
    megapixels: float = typer.Option(4.0, "--max-megapixels", min=0.001, help="Largest picture taken."),
) -> None:
    """Drop a picture, see before and after with a slider, and the milliseconds. Ends with Ctrl-C."""
    from qsr.serve.run import Settings, serve

    serve(Settings(model, scale, host, port, threads, megabytes << 20, int(megapixels * 1e6)), typer.echo)

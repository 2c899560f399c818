"""`qsr bench`: how fast a packed network is here, beside other engines."""

from __future__ import annotations

import typer


def command(
    model: str = typer.Argument(..., help="Packed file, or a name of `qsr zoo list`."),
    size: str = typer.Option("320x180", "--size", help="LR picture, WIDTHxHEIGHT."),
    threads: int | None = typer.Option(None, "--threads", min=1, help="Default: every core of the process."),
    depth: int | None = typer.Option(None, "--depth", help="Depth of a depth-dynamic network; default: the whole network."),
    against: str = typer.Option("", "--against", help="onnxruntime,openvino,mnn,torch, or all: those that are installed."),
    per_layer: bool = typer.Option(False, "--per-layer", help="A table of layers: kernel, time, share of the core's peak."),
    rounds: int = typer.Option(0, "--rounds", min=0, help="Interleaved rounds; 0: as many as fit into --seconds."),
    seconds: float = typer.Option(20.0, "--seconds", min=0.1, help="About how long to measure."),
    as_json: bool = typer.Option(False, "--json", help="Everything as JSON."),
) -> None:
    """Median and spread of interleaved runs: ours, and the same architecture in other engines, same picture, same threads.

    Peers run the full-precision twin and the 8-bit twin of the network. `times` is how many times as long as ours they take.
    """
    import json

    from qsr.bench import peers
    from qsr.bench.run import Settings, bench
    from qsr.bench.text import table
    from qsr.quantities import picture_size
    from qsr.upscale.choose import find_model

    settings = Settings(
        picture_size(size), threads, depth, tuple(peers.wanted(against)) if against else (), rounds, seconds, per_layer
    )
    found = bench(find_model(model), settings, lambda line: typer.echo(f"{line} ...", err=True))
    typer.echo(json.dumps(found.to_json(), indent=1) if as_json else table(found))

"""`qsr options show|schema|docs`: what an option file comes to, and what it may hold."""

from __future__ import annotations

from pathlib import Path

import typer

command = typer.Typer(help="Show, describe and document option files.", no_args_is_help=True)


@command.command("show")
def show_command(
    file: Path = typer.Argument(help="Option file."),
    override: list[str] = typer.Option([], "--set", "--force_yml", help="KEY=VALUE over the file; may be repeated."),
) -> None:
    """Print the resolved options and where every value comes from (file:line, --set or default)."""
    from qsr.options import load
    from qsr.options.show import show

    typer.echo(show(load(file, override)), nl=False)


@command.command("schema")
def schema_command() -> None:
    """Print the JSON schema of an option file, for editors."""
    import json

    from qsr.options.schema_doc import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


@command.command("docs")
def docs_command(
    out: Path = typer.Option(Path("docs/options.md"), "--out", "-o", help="File to write."),
    check: bool = typer.Option(False, "--check", help="Write nothing; fail where the file is out of date."),
) -> None:
    """Write docs/options.md from the schema."""
    from qsr.errors import OptionsError
    from qsr.files import write_atomic
    from qsr.options.schema_doc import markdown

    text = markdown()
    if not check:
        write_atomic(out, text.encode())
        typer.echo(f"wrote {out}")
    elif not out.is_file() or out.read_text(encoding="utf-8") != text:
        raise OptionsError("not what the schema says", where=str(out), hint="run `qsr options docs`")
    else:
        typer.echo(f"{out} is current")

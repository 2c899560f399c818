"""`qsr`: one file per verb in this folder; this one only puts them together and turns errors into one line.

A verb's module imports nothing heavy at its top (typer only), so that `qsr --help` stays below 300 ms.
"""

from __future__ import annotations

import importlib
import sys

import typer

from qsr.errors import EnvironmentFault, OutOfMemory, QsrError

# verb -> its module; the module's `command` is a function (a verb) or a typer.Typer (a group of verbs)
VERBS = {
    "train": "train_verb",
    "test": "test_verb",
    "demo": "demo_verb",
    "ptq": "ptq_verb",
    "sensitivity": "sensitivity_verb",
    "allocate": "allocate_verb",
    "export": "export_verb",
    "upscale": "upscale_verb",
    "bench": "bench_verb",
    "serve": "serve_verb",
    "complexity": "complexity_verb",
    "depth": "depth_verb",
    "leaderboard": "leaderboard_verb",
    "bibench": "bibench_verb",
    "report": "report_verb",
    "zoo": "zoo_verb",
    "info": "info_verb",
    "doctor": "doctor_verb",
    "options": "options_verb",
    "data": "data_verb",
}

# Import names of the extra `train`: an installation that only runs packed networks goes without them.
TRAINING_PACKAGES = ("torch", "pydantic", "yaml", "cv2", "skimage", "scipy", "numba", "tensorboard")

app = typer.Typer(
    name="qsr",
    help="Quantized super-resolution: train, measure and ship networks at 8, 4, 2 and 1 bits.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from qsr import __version__

        typer.echo(f"qsr {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options that every verb shares."""


def _wanted() -> dict[str, str]:
    """The verb that is called, or all: building the other verbs would take as long as enlarging a small picture."""
    called = sys.argv[1] if len(sys.argv) > 1 else ""
    return {called: VERBS[called]} if called in VERBS else VERBS


for _name, _module in _wanted().items():
    _command = importlib.import_module(f"qsr.cli.{_module}").command
    if isinstance(_command, typer.Typer):
        app.add_typer(_command, name=_name)
    else:
        app.command(_name)(_command)


def main() -> None:
    """Entry point: a user's mistake is one line on stderr and its exit code; `--debug` adds the traceback."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app()
    except QsrError as fault:
        if debug:
            raise
        typer.echo(f"qsr: {fault}", err=True)
        sys.exit(fault.exit_code)
    except KeyboardInterrupt:
        typer.echo("qsr: interrupted", err=True)
        sys.exit(130)
    except MemoryError as fault:
        if debug:
            raise
        said = OutOfMemory(
            f"out of memory: {fault}" if str(fault) else "out of memory", hint="close other programs, or do less at once"
        )
        typer.echo(f"qsr: {said}", err=True)
        sys.exit(said.exit_code)
    except ModuleNotFoundError as fault:
        if debug or (fault.name or "").partition(".")[0] not in TRAINING_PACKAGES:
            raise
        missing = EnvironmentFault(f"this needs {fault.name}, which is not installed", hint="pip install 'qsr[train]'")
        typer.echo(f"qsr: {missing}", err=True)
        sys.exit(missing.exit_code)


if __name__ == "__main__":
    main()

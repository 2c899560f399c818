"""`qsr info`: what this installation is, or everything that a model file knows about itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    path: Annotated[Path | None, typer.Argument(help="Experiment folder or model file; left out: this installation.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Tell everything that a model file knows about itself; without one, what this installation is."""
    facts = about_installation() if path is None else about_model(path)
    if as_json:
        typer.echo(json.dumps(facts, indent=2, sort_keys=True))
        return
    for line in _installation_lines(facts) if path is None else _model_lines(facts):
        typer.echo(line)


def about_installation() -> dict[str, Any]:
    """See qsr.runtime.environment.environment."""
    from qsr.runtime.environment import environment

    return environment()


def about_model(path: Path) -> dict[str, Any]:
    """The file's own metadata plus its place, size and options hash. FormatError where it is no model file of qsr's."""
    from qsr.archs.modelfile import find_model, read_info
    from qsr.options import from_json, options_hash

    info = read_info(path)
    file = find_model(path)
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "options_hash": options_hash(from_json(info.options)),
        **info.to_json(),
    }


def _installation_lines(facts: dict[str, Any]) -> Iterator[str]:
    kernels = facts["kernels"]
    yield _line("qsr", facts["qsr"])
    yield _line("python", f"{facts['python']} on {facts['machine']}, {facts['cores']} cores")
    yield _line("instructions", " ".join(facts["isa"]) or "unknown")
    yield _line("kernels", f"{kernels['name']}: {kernels['reason']}")
    for name, version in facts["packages"].items():
        yield _line(name, version or "not installed")


def _model_lines(facts: dict[str, Any]) -> Iterator[str]:
    from qsr.quant import LayerReport

    options, quant = facts["options"], facts["options"].get("quant")
    yield _line("file", f"{facts['file']} ({facts['bytes']:,} bytes, format {facts['format']})")
    yield _line("name", f"{options['name']} (options {facts['options_hash']})")
    yield _line("network", f"{options['network_g']['type']}, x{options['scale']}")
    precision = f"{quant['method']}, w{quant['w_bits']}a{quant['a_bits']}" if quant else "full precision"
    yield _line("quantization", precision)
    yield _line("iteration", f"{facts['iteration']:,} ({'averaged' if facts['weights'] == 'ema' else 'raw'} weights)")
    for key, value in _flat(facts["metrics"]):
        yield _line(key, value)
    for key, value in _flat(facts["versions"]):
        yield _line(f"written with {key}", value)
    for key, value in _flat(facts["extra"]):
        yield _line(key, value)
    if facts["layers"]:
        yield ""
        yield LayerReport.from_json(facts["layers"]).table()


def _line(name: str, value: object) -> str:
    return f"{name:<20} {value}"


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names of everything in a JSON tree; lists by index. Per-image rows are left to --json."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "images":
                yield from _flat(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{number}]")
    else:
        yield path, f"{value:.4f}" if isinstance(value, float) else str(value)

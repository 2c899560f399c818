"""`qsr info`: what this installation is, or everything that a model file knows about itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    path: Annotated[
        Path | None,
        typer.Argument(help="Experiment folder, model file, packed file or released name; left out: this installation."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Tell everything that a model file or a packed file knows about itself; without one, what this installation is."""
    facts, lines = _facts(path)
    if as_json:
        typer.echo(json.dumps(facts, indent=2, sort_keys=True))
        return
    for line in lines:
        typer.echo(line)


def _facts(path: Path | None) -> tuple[dict[str, Any], Iterator[str]]:
    if path is None:
        facts = about_installation()
        return facts, _installation_lines(facts)
    from qsr.runtime.packed.container import is_packed

    path = _released(path)
    if is_packed(path):
        facts = about_packed(path)
        return facts, _packed_lines(facts)
    facts = about_model(path)
    return facts, _model_lines(facts)


def _released(path: Path) -> Path:
    """The packed file of a released model where `path` is its name and nothing else of that name is there."""
    from qsr.zoo.index import get, read_index

    if path.exists() or path.name != str(path) or path.name not in {model.name for model in read_index()}:
        return path
    return get(path.name, packed=True)


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


def about_packed(path: Path) -> dict[str, Any]:
    """A packed file's place and size, runtime.summary of it, and its bytes by kind. No torch is needed.

    FormatError where the file is refused.
    """
    from qsr.export.sizes import sizes
    from qsr.runtime.packed.container import read
    from qsr.runtime.summary import summary

    header, tensors = read(path)
    size = path.stat().st_size
    kinds = sizes(header, tensors, size)
    return {"file": str(path), "bytes": size, **summary(header, tensors), "sizes": kinds.to_json()}


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


def _packed_lines(facts: dict[str, Any]) -> Iterator[str]:
    from qsr.export.sizes import Sizes

    yield _line("file", f"{facts['file']} ({facts['bytes']:,} bytes, {facts['format']})")
    yield _line("scale", f"x{facts['scale']}")
    for key, value in _flat(facts["network"]):
        yield _line(key, value)
    if facts["depths"]:
        yield _line("depths", ", ".join(map(str, facts["depths"])))
    reach = facts["receptive_field"]
    tiles = "takes no tiles: an operation looks at the whole picture" if facts["whole_picture"] else ""
    yield _line("receptive field", tiles or ("unbounded" if reach is None else f"{reach} pixels on each side"))
    for key in ("metrics", "provenance"):
        for name, value in _flat(facts[key], key):
            yield _line(name, value)
    yield ""
    yield from _table(
        ("layer", "shape", "bits", "bytes", "kernel", "isa"),
        [
            (row["name"], "x".join(map(str, row["shape"])), row["bits"], f"{row['bytes']:,}", row["kernel"], row["isa"])
            for row in facts["layers"]
        ],
    )
    yield ""
    yield Sizes(**{field.name: facts["sizes"][field.name] for field in fields(Sizes)}).table()


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Columns as wide as their widest entry; bytes to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    for row in (head, *rows):
        cells = (cell.rjust(w) if name == "bytes" else cell.ljust(w) for cell, w, name in zip(row, widths, head))
        yield "  ".join(cells).rstrip()


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
        yield _shown(path), _shown(f"{value:.4f}" if isinstance(value, float) else str(value))


def _shown(text: str) -> str:
    """A stranger's text: what a terminal would obey is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)

"""The frontier: PSNR against measured milliseconds, ours beside other engines, as one self-contained page.

    >>> write_frontier("frontier.json")          # doctest: +SKIP
    PosixPath('frontier.html')

frontier.json (`format` "qsr.frontier/1") comes from benchmarks/frontier.py. Every row is one model in one engine:

    model, scale, engine ("qsr", "openvino 2026.4.1 int8", ...), bits, ms (median), ms_min, bytes or null,
    psnr {set: dB}; estimated: the PSNR is another row's (an engine's twin was not measured for quality)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qsr.errors import DataError, FormatError
from qsr.files import write_atomic
from qsr.jsonfile import read_json
from qsr.report.html import Markup, join, tag
from qsr.report.page import document
from qsr.report.page_parts import number, scroller, views
from qsr.report.svg_scatter import Point, pareto, scatter_chart, scatter_legend

FORMAT = "qsr.frontier/1"
KEYS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "scale": int,
    "engine": str,
    "bits": str,
    "ms": (int, float),
    "psnr": dict,
}
OURS = "qsr"


@dataclass(frozen=True)
class Row:
    """One model in one engine; see the module."""

    model: str
    scale: int
    engine: str
    bits: str
    ms: float
    psnr: Mapping[str, float]
    bytes: int | None
    estimated: bool

    @property
    def ours(self) -> bool:
        return self.engine == OURS


@dataclass(frozen=True)
class Frontier:
    """about: date, cpu, threads, size, versions; free text values."""

    rows: tuple[Row, ...]
    about: Mapping[str, Any]

    @property
    def scales(self) -> tuple[int, ...]:
        return tuple(sorted({row.scale for row in self.rows}))

    def sets(self, scale: int) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for row in self.rows if row.scale == scale for name in row.psnr))


def is_frontier(source: Path) -> bool:
    """Whether this is a file that `write_frontier` takes; False for folders and for what cannot be read."""
    try:
        return source.is_file() and read_json(source).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def read_frontier(source: Path) -> Frontier:
    """Raises DataError where the file cannot be read, FormatError where a row is not one."""
    try:
        data = read_json(source)
    except OSError as fault:
        raise DataError(f"cannot read: {fault.strerror}", where=str(source)) from fault
    except ValueError as fault:
        raise FormatError(f"not JSON: {fault}", where=str(source)) from fault
    if not isinstance(data, dict) or data.get("format") != FORMAT or not isinstance(data.get("rows"), list):
        raise FormatError(f"expected an object of format {FORMAT!r} with rows", where=str(source))
    return Frontier(tuple(_row(row, f"{source}: rows[{i}]") for i, row in enumerate(data["rows"])), data.get("about", {}))


def _row(data: Any, where: str) -> Row:
    if not isinstance(data, dict):
        raise FormatError(f"found {type(data).__name__}, expected an object", where=where)
    for key, kind in KEYS.items():
        if not isinstance(data.get(key), kind):
            raise FormatError(f"{key}: found {data.get(key)!r}", where=where)
    if not data["ms"] > 0:
        raise FormatError(f"ms: found {data['ms']!r}, expected more than 0", where=where)
    known = {key: data[key] for key in KEYS}
    return Row(**known, bytes=data.get("bytes"), estimated=bool(data.get("estimated", False)))


def write_frontier(source: Path | str, target: Path | None = None) -> Path:
    """Write the page to `target`, by default beside the source. Raises as `read_frontier`."""
    source = Path(source)
    frontier = read_frontier(source)
    target = target or source.with_suffix(".html")
    write_atomic(target, frontier_page(frontier).encode())
    return target


def frontier_page(frontier: Frontier) -> str:
    """The whole document: for each scale a chart per set, a table, and which models nothing beats."""
    about = ", ".join(f"{key} {value}" for key, value in frontier.about.items() if isinstance(value, str | int))
    sections = [_section(frontier, scale) for scale in frontier.scales]
    header = tag("header", tag("h1", "Quality against time"), tag("p", about, class_="quiet"))
    return document("Quality against time: qsr", header, tag("main", *sections))


def _section(frontier: Frontier, scale: int) -> Markup:
    rows = [row for row in frontier.rows if row.scale == scale]
    charts = [(name, _chart(rows, name)) for name in frontier.sets(scale)]
    note = (
        "The dashed line joins what nothing faster beats. A twin is the same architecture in another engine, at full "
        "precision or with 8 bits; 8-bit twins are drawn at the quality of their full-precision network (a bound from "
        "above: their own was not measured)."
    )
    parts = (
        tag("p", note, class_="quiet"),
        views(f"frontier-{scale}", charts),
        _verdict(rows, frontier.sets(scale)),
        _table(rows),
    )
    return tag("section", tag("h2", f"x{scale}"), *parts, id=f"x{scale}")


def points(rows: list[Row], dataset: str) -> list[Point]:
    """One per row with a result on the set; kinds number the engines in their order, ours first."""
    engines = sorted({row.engine for row in rows}, key=lambda name: (name != OURS, name))
    return [
        Point(
            row.ms,
            row.psnr[dataset],
            row.model if row.ours else f"{row.model} {row.engine.split()[0]}",
            f"{row.model} in {row.engine}: {number(row.psnr[dataset])} dB, {row.ms:.1f} ms",
            engines.index(row.engine),
            row.engine,
        )
        for row in rows
        if dataset in row.psnr
    ]


def _chart(rows: list[Row], dataset: str) -> Markup:
    found = points(rows, dataset)
    title = f"PSNR on {dataset} against milliseconds"
    drawn = scroller(scatter_chart(found, title, "milliseconds, median", f"PSNR_Y on {dataset}, dB"), title)
    return join((scatter_legend(found), tag("div", tag("figure", drawn), class_="charts wide")))


def _verdict(rows: list[Row], sets: tuple[str, ...]) -> Markup:
    """Which rows are on the line, per set; said in words, ours or not."""
    lines = []
    for dataset in sets:
        front = pareto(points(rows, dataset))
        named = ", ".join(f"{point.words} ({point.x:.1f} ms, {number(point.y)} dB)" for point in front)
        lines.append(tag("li", tag("b", dataset), f": {named}"))
    return join((tag("p", "On the line, fastest first:"), tag("ul", *lines)))


def _table(rows: list[Row]) -> Markup:
    sets = list(dict.fromkeys(name for row in rows for name in row.psnr))
    head = tag("tr", *(tag("th", name) for name in ("model", "engine", "bits", "ms", "KB", *sets)))
    lines = []
    for row in sorted(rows, key=lambda row: row.ms):
        scores = [number(row.psnr[name]) + ("*" if row.estimated else "") if name in row.psnr else "" for name in sets]
        size = f"{row.bytes / 1000:.0f}" if row.bytes else ""
        cells = (row.model, row.engine, row.bits, f"{row.ms:.1f}", size, *scores)
        lines.append(tag("tr", *(tag("td", cell) for cell in cells), class_="ours" if row.ours else None))
    table = tag("table", tag("thead", head), tag("tbody", *lines))
    return join((scroller(table, "every row"), tag("p", "* quality of the full-precision network", class_="quiet")))


def markdown(frontier: Frontier) -> str:
    """The same rows as Markdown tables, one per scale; for files that are read without a browser."""
    blocks = []
    for scale in frontier.scales:
        rows = sorted((row for row in frontier.rows if row.scale == scale), key=lambda row: row.ms)
        sets = frontier.sets(scale)
        front = {name: {(p.x, p.y) for p in pareto(points(rows, name))} for name in sets}
        lines = [f"### x{scale}", "", f"| model | engine | bits | ms | KB | {' | '.join(sets)} |"]
        lines.append("| --- | --- | --- | ---: | ---: |" + " ---: |" * len(sets))
        for row in rows:
            scores = []
            for name in sets:
                text = number(row.psnr[name]) + ("*" if row.estimated else "") if name in row.psnr else ""
                scores.append(f"**{text}**" if name in row.psnr and (row.ms, row.psnr[name]) in front[name] else text)
            size = f"{row.bytes / 1000:.0f}" if row.bytes else ""
            lines.append(f"| {row.model} | {row.engine} | {row.bits} | {row.ms:.1f} | {size} | {' | '.join(scores)} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"

"""The page of a benchmark: the six metrics, what is behind them, and the command of every cell.

    >>> write_bench("experiments/bibench/small")          # doctest: +SKIP
    PosixPath('experiments/bibench/small/bibench.html')

Drawn from bibench.json (qsr/bibench/collect.py) and the pictures beside it. What was not measured is n/a.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from qsr.errors import DataError, FormatError
from qsr.files import write_atomic
from qsr.jsonfile import read_json
from qsr.report.bibench_pictures import pictures
from qsr.report.bibench_tables import (
    FILE,
    FORMAT,
    READING_TITLES,
    TITLES,
    Bench,
    ablation,
    columns_of,
    head,
    lines,
    published,
    scores,
)
from qsr.report.html import Markup, join, tag
from qsr.report.page import document
from qsr.report.page_parts import command, facts, scroller, views
from qsr.report.svg_bars import Bar, bar_chart
from qsr.report.svg_lines import Series, line_chart, line_legend
from qsr.report.svg_parallel import Line, parallel_chart


def is_bench(source: Path) -> bool:
    """Whether this is a file that `write_bench` takes, or the folder of one; False for what cannot be read."""
    path = source / FILE if source.is_dir() else source
    try:
        return path.is_file() and read_json(path).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def write_bench(source: Path | str, target: Path | None = None) -> Path:
    """Write the page to `target`, by default bibench.html beside the source; the path.

    Raises DataError where there is no such file or a picture is damaged, FormatError where the file is.
    """
    path = Path(source)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise DataError("no such file", where=str(path), hint="qsr bibench writes it")

    def refuse(name: str) -> NoReturn:
        raise FormatError(f"holds the number {name}, which JSON does not have", where=str(path))

    try:
        bench = read_json(path, refuse)
        if not isinstance(bench, dict) or bench.get("format") != FORMAT:
            raise FormatError(f"not a benchmark of format {FORMAT!r}", where=str(path))
        made = bench_page(bench, path.parent)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as fault:
        raise FormatError(f"not a benchmark: {type(fault).__name__} {fault}", where=str(path)) from fault
    target = target or path.with_suffix(".html")
    write_atomic(target, made.encode())
    return target


def bench_page(bench: Bench, folder: Path) -> str:
    """The whole document. folder: where the pictures that it names lie."""
    sections: tuple[tuple[str, str, Callable[[], Markup | None]], ...] = (
        ("metrics", "Six tracks", lambda: _metrics(bench)),
        ("tracks", "Track by track", lambda: _bars(bench)),
        ("scores", "PSNR", lambda: _table(*scores(bench), "PSNR_Y in dB, mean of the seeds.")),
        ("robustness", "Corruption", lambda: _severities(bench)),
        ("pictures", "Pictures", lambda: pictures(bench, folder)),
        ("rule", "The rule", lambda: _rule(bench)),
        ("published", "Published", lambda: _published(bench)),
        ("rebuild", "Rebuild", lambda: _rebuild(bench)),
    )
    bodies = [(anchor, title, body) for anchor, title, make in sections if (body := make()) is not None]
    links = tag("nav", *(tag("a", title, href=f"#{anchor}") for anchor, title, _ in bodies), aria_label="Sections")
    main = [tag("section", tag("h2", title), body, id=anchor) for anchor, title, body in bodies]
    return document(
        f"{bench['name']}: qsr bibench", _header(bench), tag("div", links, class_="toolbar"), tag("main", *main), _footer()
    )


def _header(bench: Bench) -> Markup:
    budget, machine, versions = bench["budget"], bench["machine"], bench["versions"]
    known = [
        ("scales, sets", f"{', '.join(f'x{scale}' for scale in bench['scales'])}; {', '.join(bench['sets'])}"),
        ("networks", ", ".join(family["label"] for family in bench["families"].values())),
        ("seeds", ", ".join(map(str, bench["seeds"]))),
        ("budget", f"{budget['iterations']:,} iterations after {budget['start_iterations']:,} in full precision"),
        ("hours", f"{bench['hours']['training']:.1f} of training, {bench['hours']['measuring']:.1f} of measuring"),
        ("protocol", bench["protocol"]),
        ("machine", f"{machine['cpu']}, {machine['cores']} cores"),
        ("versions", ", ".join(f"{name} {value}" for name, value in versions.items())),
        ("made", bench["made"][:16].replace("T", " ")),
    ]
    lead = (
        "What a way to binarize is worth, each network beside its full-precision twin: the same network, start, data, budget "
        "and recipe. All metrics are ratios to the twin, larger is better, 1 is full precision."
    )
    return tag(
        "header",
        tag("p", "qsr bibench", class_="eyebrow"),
        tag("h1", bench["name"]),
        tag("p", lead, class_="lead"),
        facts([(name, value) for name, value in known if value]),
    )


def _footer() -> Markup:
    return tag(
        "footer",
        tag("p", f"Made by qsr report from {FILE}; nothing on this page is fetched from elsewhere. n/a: not measured."),
    )


def operators(bench: Bench) -> list[tuple[int, Mapping[str, Any]]]:
    """(colour, operator) of those with metrics, in the order of the file; bicubic and the twin have the first two colours."""
    return list(enumerate((one for one in bench["operators"] if one["metrics"]), 2))


def _metrics(bench: Bench) -> Markup:
    """The table and parallel coordinates, in both readings."""
    note = (
        "Quadratic means: a cell where binarization does well weighs more than one where it fails. * some cells are missing. "
        "Level kept: without brightness, contrast and saturation. Portable: without the processor's vector instructions."
    )
    shown = [(title, _reading(bench, reading)) for reading, title in READING_TITLES.items()]
    return join((tag("p", note, class_="quiet"), views("reading", shown)))


def _reading(bench: Bench, reading: str) -> Markup:
    columns = columns_of(bench, reading)
    drawn = [
        Line(one["operator"], one["label"], tuple(one["metrics"][reading][column]["value"] for column in columns), colour)
        for colour, one in operators(bench)
    ]
    legend = line_legend([Series(line.key, line.words, (), line.colour) for line in drawn])
    title = f"metrics: {READING_TITLES[reading]}"
    chart = scroller(parallel_chart([TITLES[column] for column in columns], drawn, title), title)
    return join((_table(head(bench, reading), lines(bench, reading)), legend, tag("figure", chart)))


def _table(top: Sequence[str], body: Sequence[Sequence[str]], note: str = "") -> Markup:
    first = tag("tr", *(tag("th", words, scope="col") for words in top))
    rows = [tag("tr", tag("th", line[0], scope="row"), *(tag("td", cell) for cell in line[1:])) for line in body]
    grid = tag("table", tag("thead", first), tag("tbody", *rows), class_="plain numbers")
    return join((tag("p", note, class_="quiet") if note else None, scroller(grid, note or "table")))


def _bars(bench: Bench) -> Markup:
    """One bar chart per track."""
    figures = []
    for column in columns_of(bench, "psnr"):
        reading = "gain" if column in columns_of(bench, "gain") else "psnr"
        bars = [
            Bar(one["label"], cell["value"], colour, cell["spread"])
            for colour, one in operators(bench)
            for cell in (one["metrics"][reading][column],)
        ]
        title = TITLES[column] + (", gain above bicubic" if reading == "gain" else "")
        figures.append(tag("figure", tag("figcaption", tag("b", title)), bar_chart(bars, title)))
    note = "The line is full precision. Bars with a stroke: the best and the worst seed."
    return join((tag("p", note, class_="quiet"), tag("div", *figures, class_="charts")))


def _severities(bench: Bench) -> Markup | None:
    """PSNR against severity, one chart per corruption, a view per family and scale."""
    shown = []
    for family, about in bench["families"].items():
        for scale in bench["scales"]:
            charts = [chart for kind in _kinds(bench) if (chart := _severity_chart(bench, family, scale, kind)) is not None]
            if charts:
                shown.append(
                    (f"{about['label']} x{scale}", join((_severity_legend(bench), tag("div", *charts, class_="charts"))))
                )
    if not shown:
        return None
    sets = ", ".join(bench["robust"]["sets"] or bench["sets"][:1])
    words = f"Mean PSNR_Y over {sets} with the LR pictures corrupted; severity 0 is clean."
    return join((tag("p", words, class_="quiet"), views("family", shown)))


def _kinds(bench: Bench) -> list[str]:
    return list(bench["robust"]["kinds"])


def _compared(bench: Bench) -> list[tuple[str, str]]:
    """(operator, label) of what is drawn: bicubic, the twin, the operators; the place picks the colour."""
    return [("bicubic", "Bicubic"), ("fp", "full precision"), *((one["operator"], one["label"]) for _, one in operators(bench))]


def _severity_legend(bench: Bench) -> Markup:
    return line_legend([Series(name, label, (), colour) for colour, (name, label) in enumerate(_compared(bench))])


def _severity_chart(bench: Bench, family: str, scale: int, kind: str) -> Markup | None:
    series = []
    for colour, (name, label) in enumerate(_compared(bench)):
        found = [values for values in _robust(bench, name, family, scale) if kind in values["corrupted"]]
        if found:
            clean = statistics.fmean(values["clean"] for values in found)
            points = [(0.0, clean)] + [
                (float(severity), statistics.fmean(values["corrupted"][kind][place] for values in found))
                for place, severity in enumerate(found[0]["severities"])
            ]
            series.append(Series(name, label, tuple(points), colour))
    if not series:
        return None
    title = kind.replace("_", " ")
    drawn = line_chart(series, f"PSNR under {title}", "PSNR_Y, dB", x_label="severity")
    return tag("figure", tag("figcaption", tag("b", title)), scroller(drawn, title))


def _robust(bench: Bench, operator: str, family: str, scale: int) -> list[Mapping[str, Any]]:
    """The robust cells' values of one network, of all seeds."""
    if operator == "bicubic":
        names = [f"robust/bicubic_x{scale}"]
    else:
        names = [f"robust/{operator}_{family}_x{scale}_s{seed}" for seed in bench["seeds"]]
    return [bench["cells"][name]["values"] for name in names if name in bench["cells"]]


def _rule(bench: Bench) -> Markup | None:
    if not any(one["group"] == "ablation" for one in bench["operators"]):
        return None
    note = (
        "BiBench's suggestion (a soft surrogate, a scale per channel, a shift before the sign) and each part of it taken away."
    )
    return _table(*ablation(bench), note)


def _published(bench: Bench) -> Markup | None:
    found = published(bench)
    if found is None:
        return None
    return _table(
        *found, "From the paper, on classification and other tasks: other networks, data and hardware; for orientation."
    )


def _rebuild(bench: Bench) -> Markup:
    """Every network, every short training and every cell, with the command that makes it again."""
    parts = []
    for network in bench["networks"]:
        title = f"{network['operator']} {network['family']} x{network['scale']} seed {network['seed']}"
        psnr = ", ".join(f"{name} {value:.2f}" for name, value in network["psnr"].items() if value is not None) or "not trained"
        told = [command(network["train_command"]), command(network["test_command"] or "")]
        parts.append(_entry(title, psnr, told))
    for point in bench["grid"]:
        value = "not trained" if point["psnr"] is None else f"{point['psnr']:.2f}"
        parts.append(
            _entry(f"{point['operator']} {point['family']}, {point['point']}", value, [command(point["train_command"])])
        )
    for title, cell in bench["cells"].items():
        made = f"{cell['made'][:16].replace('T', ' ')}, {cell['seconds']:.0f} s"
        told = [command(cell["command"]), *(command(line) for line in cell["values"].get("commands", ()))]
        parts.append(_entry(title, made, told))
    return join(parts)


def _entry(title: str, words: str, inside: Sequence[Markup]) -> Markup:
    return tag("details", tag("summary", tag("b", title), tag("small", f" {words}")), tag("div", *inside, class_="entry"))

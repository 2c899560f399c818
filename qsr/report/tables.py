"""The result table: ours beside the published row where there is one, footnotes, and the protocol's name.

Three forms of one list of lines: for the terminal (rich), Markdown and CSV. All take the JSON of
`qsr.evaluate.benchmark.results_json`, so that a table can be made again from a stored file.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qsr.evaluate.benchmark import SetResult
from qsr.evaluate.protocol import Protocol
from qsr.evaluate.reference import Published, published

if TYPE_CHECKING:
    from rich.table import Table

HEAD = ("set", "scale", "pictures", "PSNR_Y", "SSIM_Y", "published", "difference")
MISSING = "-"


@dataclass(frozen=True)
class Line:
    """One line of the table, as text. notes: numbers of the footnotes that belong to it."""

    cells: tuple[str, ...]
    notes: tuple[int, ...]


@dataclass(frozen=True)
class ResultTable:
    """title, lines in the order of the results, footnotes (number i + 1 is `footnotes[i]`), protocol in words."""

    title: str
    lines: tuple[Line, ...]
    footnotes: tuple[str, ...]
    protocol: str


def result_table(results: Mapping[str, Any]) -> ResultTable:
    """The table of one `qsr test`."""
    footnotes: dict[str, int] = {}

    def number(note: str) -> int:
        return footnotes.setdefault(note, len(footnotes) + 1)

    lines = []
    for row in results["rows"]:
        theirs = _published(results, row)
        notes = [*(theirs.notes if theirs else ()), *(results.get("notes", ()) if theirs else ())]
        if row.get("excluded"):
            notes.append("equal to its truth, so of infinite PSNR, and not in the mean: " + ", ".join(row["excluded"]))
        lines.append(Line(_cells(row, theirs), tuple(number(note) for note in notes)))
    return ResultTable(results.get("label", "results"), tuple(lines), tuple(footnotes), _protocol_line(results))


def _published(results: Mapping[str, Any], row: Mapping[str, Any]) -> Published | None:
    bits = (results.get("w_bits"), results.get("a_bits"))
    return published(results.get("method", ""), row["scale"], *bits, row["dataset"], results.get("published_blocks"))


def _cells(row: Mapping[str, Any], theirs: Published | None) -> tuple[str, ...]:
    ours = (_number(row["psnr_y"], 2), _number(row["ssim_y"], 4))
    fixed = (row["dataset"], f"x{row['scale']}", str(len(row["images"])), *ours)
    if theirs is None:
        return (*fixed, MISSING, MISSING)
    difference = MISSING if row["psnr_y"] is None else _signed(row["psnr_y"] - theirs.psnr)
    return (*fixed, f"{theirs.psnr:.2f} / {theirs.ssim:.4f}", difference)


def _number(value: float | None, digits: int) -> str:
    return MISSING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _signed(difference: float) -> str:
    """Two decimals; what rounds to nothing has no sign."""
    return f"{round(difference, 2) + 0.0:+.2f}"


def _protocol_line(results: Mapping[str, Any]) -> str:
    protocols = [Protocol.from_json(data) for data in results.get("protocols", ())]
    sentences = {p.sentence if len(protocols) == 1 else p.sentence.replace(f"{p.crop} px", "scale px") for p in protocols}
    return ": ".join([f"protocol {results['protocol']}", *(sentences if len(sentences) == 1 else ())])


def footer(table: ResultTable) -> list[str]:
    """Footnotes and protocol, one line each."""
    return [*(f"[{i}] {note}" for i, note in enumerate(table.footnotes, 1)), table.protocol]


def _marks(line: Line) -> str:
    return "".join(f"[{note}]" for note in line.notes)


def markdown(results: Mapping[str, Any]) -> str:
    """A Markdown page: title, table, footnotes, protocol, and where the numbers come from."""
    table = result_table(results)
    heading = f"# {table.title}"
    rows = [HEAD, tuple("---" if i in (0, 1) else "---:" for i in range(len(HEAD)))]
    rows += [(*line.cells[:5], f"{line.cells[5]} {_marks(line)}".strip(), line.cells[6]) for line in table.lines]
    body = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    origin = ", ".join(
        f"{key} {results[key]}" for key in ("model", "model_hash", "iteration", "weights", "seed") if key in results
    )
    return "\n\n".join([heading, body, "\n".join(f"{line}  " for line in footer(table)), *([origin] if origin else [])]) + "\n"


def csv_text(results: Mapping[str, Any]) -> str:
    """One line per picture and one per set (`image` is `mean`), full precision; `-` becomes an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("label", "dataset", "scale", "image", "psnr_y", "ssim_y", "protocol"))
    for row in results["rows"]:
        names = {data["scale"]: data["name"] for data in results.get("protocols", ())}
        protocol = names.get(row["scale"], results["protocol"])
        mean = {"name": "mean", "psnr_y": row["psnr_y"], "ssim_y": row["ssim_y"]}
        for image in (*row["images"], mean):
            values = (image["psnr_y"], image["ssim_y"])
            writer.writerow((results.get("label", ""), row["dataset"], row["scale"], image["name"], *values, protocol))
    return out.getvalue()


def terminal(results: Mapping[str, Any]) -> Table:
    """The same for `rich.console.Console.print`; print `footer` after it."""
    table = result_table(results)
    drawn = _drawn(HEAD, title=table.title)
    for line in table.lines:
        drawn.add_row(*line.cells[:5], f"{line.cells[5]}{_marks(line)}".replace("[", r"\["), line.cells[6])
    return drawn


def small_table(results: Mapping[str, SetResult]) -> Table:
    """Several methods on one set, for instance {"bicubic": ..., "ours": ...}; the last column is above the first row."""
    drawn = _drawn(("", "set", "scale", "PSNR_Y", "SSIM_Y", "difference"))
    first = next(iter(results.values()))
    for name, result in results.items():
        numbers = (_number(result.psnr_y, 2), _number(result.ssim_y, 4))
        difference = MISSING if result is first else _signed(result.psnr_y - first.psnr_y)
        drawn.add_row(name, result.dataset, f"x{result.scale}", *numbers, difference)
    return drawn


def _drawn(head: Iterable[str], title: str | None = None) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    drawn = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in head:
        drawn.add_column(name, justify="left" if name in ("", "set", "scale") else "right", no_wrap=True)
    return drawn

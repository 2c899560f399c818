"""leaderboard.json as CSV, Markdown and a table for the terminal. Written for people: two decimals, spreads, who leads.

In a group the best mean on the first set is the leader. `≈` marks a row whose distance to the leader is no larger than
the spread of the seeds: it is not called worse. `?`: one seed, so nobody knows the spread.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qsr.leaderboard.stats import wins

if TYPE_CHECKING:
    from rich.table import Table

Board = Mapping[str, Any]
Row = Mapping[str, Any]
COLUMNS = (
    *("row", "label", "group", "method", "w_bits", "a_bits", "planes", "backbone", "depth", "status", "seed", "dataset"),
    *("psnr_y", "ssim_y", "published_as", "published_psnr", "published_ssim", "params_k", "ops_g", "average_bits"),
    *("iterations", "seconds", "options_hash", "data_hash", "code", "why"),
)


def csv_text(board: Board) -> str:
    """One line per row, seed and set, full precision; empty cells where a value is missing."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in board["rows"]:
        for seed in row["seeds"]:
            for name in board["sets"]:
                theirs = row["published"].get(name, {})
                scores = seed["scores"].get(name, {})
                cells = {**row, **seed, **scores, "dataset": name}
                writer.writerow({**cells, "published_psnr": theirs.get("psnr"), "published_ssim": theirs.get("ssim")})
    return out.getvalue()


def head(board: Board) -> list[str]:
    return ["", "bits", *board["sets"], "to the first", f"published {board['sets'][0]}", "K params", "G ops", "min"]


def lines(board: Board) -> dict[str, list[list[str]]]:
    """Per group the lines of the table, best first; rows without a score at the end."""
    first = board["sets"][0]
    found: dict[str, list[list[str]]] = {}
    for group in dict.fromkeys(row["group"] for row in board["rows"]):
        rows = sorted((row for row in board["rows"] if row["group"] == group), key=lambda row: -_mean(row, first))
        found[group] = [_line(board, row, rows[0]) for row in rows]
    return found


def _line(board: Board, row: Row, best: Row) -> list[str]:
    label = f"{row['label']} (`{row['row']}`)" + (" ~" if row["approximate"] else "")
    if not row["mean"]:
        return [label, _bits(row), row["status"], *[""] * (len(board["sets"]) - 1), "", "", "", "", ""]
    first = board["sets"][0]
    theirs = row["published"].get(first)
    return [
        label + (f" [{row['status']}]" if row["why"] else ""),
        _bits(row),
        *(_score(row, name) for name in board["sets"]),
        _distance(row, best, first),
        f"{theirs['psnr']:.2f}" if theirs else "-",
        f"{row['params_k']:.1f}",
        f"{row['ops_g']:.2f}",
        _minutes(row["seeds"]),
    ]


def reasons(board: Board) -> list[str]:
    """`row, seed 1: failed: why` for everything that has something to say, each once."""
    return [
        f"{row['row']}, seed {seed['seed']}: {seed['status']}: {seed['why']}"
        for row in board["rows"]
        for seed in row["seeds"]
        if seed["why"]
    ]


def _bits(row: Row) -> str:
    if row["w_bits"] == row["a_bits"] == 32:
        return "32"
    text = f"{row['w_bits']}/{row['a_bits']}"
    return f"{text} x{row['planes']}" if (row.get("planes") or 1) > 1 else text


def _score(row: Row, name: str) -> str:
    cell = row["mean"].get(name)
    if cell is None:
        return "-"
    spread = f" ±{cell['psnr_spread'] / 2:.2f}" if cell["psnr_spread"] is not None else ""
    return f"{cell['psnr_y']:.2f}{spread} / {cell['ssim_y']:.4f}"


def _distance(row: Row, best: Row, name: str) -> str:
    if row is best:
        return "first"
    distance = f"{_mean(row, name) - _mean(best, name):+.2f}"
    ours, theirs = _seeds(best, name), _seeds(row, name)
    if wins(ours, theirs):
        return distance
    return f"≈ {distance}" if min(len(ours), len(theirs)) > 1 else f"? {distance}"


def _minutes(seeds: Iterable[Mapping[str, Any]]) -> str:
    spent = [seed["seconds"] for seed in seeds if seed["seconds"] is not None]
    return f"{sum(spent) / len(spent) / 60:.1f}" if spent else "-"


def _seeds(row: Row, name: str) -> list[float]:
    found = [seed["scores"].get(name, {}).get("psnr_y") for seed in row["seeds"]]
    return [value for value in found if value is not None]


def _mean(row: Row, name: str) -> float:
    return row["mean"].get(name, {}).get("psnr_y", float("-inf"))


def markdown(board: Board) -> str:
    """Title, protocol and budget, one table per group, rank correlations, what the signs mean."""
    budget = board["budget"]
    parts = [
        f"# Leaderboard {board['name']}",
        f"x{board['scale']}, PSNR_Y / SSIM_Y by `{board['protocol']}`; {budget['iterations']:,} iterations after "
        f"{budget['fp_iterations']:,} in full precision, batches of {budget['batch']}, LR patches of {budget['lq_patch']}; "
        f"{board['hours']:.1f} hours of training; {board['made']}, qsr {board['versions']['qsr']}, "
        f"torch {board['versions']['torch']}, {board['machine']['cpu']}.",
        table(["", *board["sets"]], [["Bicubic", *(_bicubic(board, name) for name in board["sets"])]]),
    ]
    for group, body in lines(board).items():
        parts += [f"## {group}", table(head(board), body), *_order(board, group)]
    if told := reasons(board):
        parts.append("\n".join(f"- {line}" for line in told))
    parts.append(
        "±: half the distance between the best and the worst seed. `≈`: not further from the first than the larger of both "
        "rows' spreads, so not called worse. `?`: one seed, so the spread is not known. "
        "~: reconstructed from a description without code. "
        "x2 after bits: two planes are stored and computed. Published rows: larger networks, longer training."
    )
    return "\n\n".join(parts) + "\n"


def _order(board: Board, group: str) -> list[str]:
    found = board["order"].get(group)
    if found is None or found["spearman"] is None:
        return []
    each = ", ".join(f"{name} {cell['spearman']:+.2f}" for name, cell in found["sets"].items() if cell["spearman"] is not None)
    return [f"Rank correlation with the published order over {found['n']} rows: {each}. ({found['caveat']})"]


def _bicubic(board: Board, name: str) -> str:
    cell = board["bicubic"].get(name)
    return f"{cell['psnr_y']:.2f} / {cell['ssim_y']:.4f}" if cell else "-"


def table(columns: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    rows = [columns, ["---"] + ["---:"] * (len(columns) - 1), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def terminal(board: Board) -> Table:
    """The same for `rich.console.Console.print`."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=f"{board['name']}, x{board['scale']}", title_justify="left", box=SIMPLE_HEAD)
    for place, name in enumerate(head(board)):
        drawn.add_column(name, justify="left" if place < 2 else "right")
    for group, body in lines(board).items():
        drawn.add_section()
        drawn.add_row(Text(group, style="bold"))
        for line in body:
            drawn.add_row(*(Text(cell.replace("`", "")) for cell in line))
    return drawn

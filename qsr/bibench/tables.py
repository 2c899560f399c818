"""bibench.json as CSV, Markdown and a table for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from qsr.leaderboard.tables import table
from qsr.report.bibench_tables import READING_TITLES, Bench, ablation, head, lines, published, scores

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("track", "operator", "family", "scale", "seed", "what", "value", "command")


def csv_text(bench: Bench) -> str:
    """One line per measured value: the metrics, then every cell behind them. Empty where a value is missing."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in _csv_rows(bench):
        writer.writerow({"command": "", **row})
    return out.getvalue()


def _csv_rows(bench: Bench) -> Iterable[dict[str, Any]]:
    for operator in bench["operators"]:
        for reading, columns in operator["metrics"].items():
            for column, cell in columns.items():
                about = {"family": "", "scale": "", "seed": "", "what": f"OM, {reading}", "value": cell["value"]}
                yield {"track": column, "operator": operator["operator"], **about}
    for network in bench["networks"]:
        own = {key: network[key] for key in ("operator", "family", "scale", "seed")}
        for name, value in network["psnr"].items():
            yield {"track": "task", **own, "what": f"PSNR_Y {name}", "value": value, "command": network["train_command"]}
        for key in ("r_c", "r_s"):
            yield {"track": "comp", **own, "what": key, "value": network[key]}
    for point in bench["grid"]:
        about = {
            "operator": point["operator"],
            "family": point["family"],
            "scale": bench["scales"][0],
            "seed": bench["seeds"][0],
        }
        what = f"PSNR_Y, {point['point']}"
        yield {"track": "train", **about, "what": what, "value": point["psnr"], "command": point["train_command"]}
    for title, cell in bench["cells"].items():
        kind, _, name = title.partition("/")
        about = {"operator": name, "family": "", "scale": "", "seed": "", "command": cell["command"]}
        for what, value in _values(kind, cell["values"]):
            yield {"track": kind, **about, "what": what, "value": value}


def _values(kind: str, values: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    if kind == "robust":
        yield "PSNR_Y clean", values["clean"]
        for name, found in values["corrupted"].items():
            yield from (
                (f"PSNR_Y {name} {severity}", value) for severity, value in zip(values["severities"], found, strict=True)
            )
    elif kind == "train":
        yield "seconds per 1000 iterations", values["seconds_per_1000"]["binary"]
        yield "twin's seconds over it", values["ratio"]
    else:
        yield "ms", values["milliseconds"]["binary"]
        yield "twin's ms over it", values["ratio"]
        yield "twin's ms over it, portable", values["portable"]["ratio"]
        yield "bytes", values["bytes"]["binary"]
        yield "twin's bytes over it", values["bytes_ratio"]


def markdown(bench: Bench) -> str:
    """Title, budget, the metrics in both readings, scores, the ablation, what the signs mean."""
    budget = bench["budget"]
    scales = ", ".join(f"x{scale}" for scale in bench["scales"])
    parts = [
        f"# BiBench on super-resolution: {bench['name']}",
        f"{scales}; {', '.join(bench['sets'])}; {len(bench['seeds'])} seed{'s' if len(bench['seeds']) > 1 else ''}; "
        f"{budget['iterations']:,} iterations after {budget['start_iterations']:,} in full precision, twins alike; "
        f"{bench['hours']['training']:.1f} hours of training, {bench['hours']['measuring']:.1f} of measuring; {bench['made']}, "
        f"qsr {bench['versions']['qsr']}, torch {bench['versions']['torch']}, {bench['machine']['cpu']}.",
    ]
    for reading, title in READING_TITLES.items():
        parts += [f"## Metrics: {title}", table(head(bench, reading), lines(bench, reading))]
    parts += ["## PSNR_Y", table(*scores(bench))]
    if any(one["group"] == "ablation" for one in bench["operators"]):
        parts += ["## What the parts of the rule are worth", table(*ablation(bench))]
    if (theirs := published(bench)) is not None:
        parts += ["## BiBench's own numbers", table(*theirs)]
    notes = [f"- {one['label']}: {one['note']}" for one in bench["operators"] if one["note"]]
    notes += [f"- {name}: failed: {why}" for name, why in bench["failed"].items()]
    if notes:
        parts.append("\n".join(notes))
    parts.append(
        "Every metric is a quadratic mean of ratios to the full-precision twin, larger is better. n/a: not measured. *: some "
        "of its cells are missing. ±: half the distance between the best and the worst seed. Level kept: without brightness, "
        "contrast and saturation. Portable: the same without the processor's vector instructions."
    )
    return "\n\n".join(parts) + "\n"


def terminal(bench: Bench) -> list[Table]:
    """The metrics in both readings for `rich.console.Console.print`."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = []
    for name, title in READING_TITLES.items():
        drawn = Table(title=f"{bench['name']}: {title}", title_justify="left", box=SIMPLE_HEAD)
        for place, words in enumerate(head(bench, name)):
            drawn.add_column(words, justify="right" if place else "left")
        for line in lines(bench, name):
            drawn.add_row(*line)
        made.append(drawn)
    return made

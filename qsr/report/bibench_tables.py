"""A benchmark as rows of text: what its page, its Markdown and the terminal show alike.

bibench.json is written by qsr/bibench/collect.py. A value that was not measured is n/a.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

FILE = "bibench.json"
FORMAT = "qsr.bibench/1"

Bench = Mapping[str, Any]
TITLES = {
    "task": "task",
    "arch": "arch.",
    "robust": "robust",
    "robust_still": "robust, level kept",
    "comp": "compl.",
    "train": "train",
    "infer": "infer",
    "infer_portable": "infer, portable",
}
READING_TITLES = {"psnr": "ratio of PSNR", "gain": "ratio of the gain above bicubic"}
MISSING = "n/a"


def head(bench: Bench, reading: str) -> list[str]:
    return ["", *(TITLES[column] for column in columns_of(bench, reading))]


def columns_of(bench: Bench, reading: str) -> list[str]:
    """The columns that a reading has, in order."""
    first: Mapping[str, Any] = next((one["metrics"][reading] for one in bench["operators"] if one["metrics"]), {})
    return list(first)


def lines(bench: Bench, reading: str) -> list[list[str]]:
    """One line per operator, in the order of the file."""
    columns = columns_of(bench, reading)
    return [
        [one["label"], *(cell_text(one["metrics"][reading][column]) for column in columns)]
        for one in bench["operators"]
        if one["metrics"]
    ]


def cell_text(cell: Mapping[str, Any]) -> str:
    """`0.93 ±0.01`; with `*` where some cells are missing."""
    if cell["value"] is None:
        return MISSING
    spread = f" ±{cell['spread'] / 2:.3f}" if cell["spread"] is not None else ""
    return f"{cell['value']:.3f}{spread}" + ("" if cell["measured"] == cell["wanted"] else "*")


def ablation(bench: Bench) -> tuple[list[str], list[list[str]]]:
    """(head, lines): mean PSNR over the seeds of the ablation's rows and of what they vary, per family, scale and set."""
    rows = [one for one in bench["operators"] if one["group"] == "ablation"]
    families = list(dict.fromkeys(family for one in rows for family in one["families"]))
    places = [(family, scale, name) for family in families for scale in bench["scales"] for name in bench["sets"]]
    top = ["", *(f"{bench['families'][family]['label']} x{scale} {name}" for family, scale, name in places)]
    return top, [[one["label"], *(psnr_text(bench, one["operator"], *place) for place in places)] for one in rows]


def psnr_text(bench: Bench, operator: str, family: str, scale: int, name: str) -> str:
    """Mean PSNR over the seeds, ± half the distance of the best and the worst."""
    own = {"operator": operator, "family": family, "scale": scale}
    known = [
        network["psnr"][name]
        for network in bench["networks"]
        if all(network[key] == value for key, value in own.items()) and network["psnr"][name] is not None
    ]
    if not known:
        return MISSING
    return f"{statistics.fmean(known):.2f}" + (f" ±{(max(known) - min(known)) / 2:.2f}" if len(known) > 1 else "")


def scores(bench: Bench) -> tuple[list[str], list[list[str]]]:
    """(head, lines): PSNR of bicubic, twins and operators, per family, scale and set."""
    places = [(family, scale, name) for family in bench["families"] for scale in bench["scales"] for name in bench["sets"]]
    top = ["", *(f"{bench['families'][family]['label']} x{scale} {name}" for family, scale, name in places)]
    bicubic = ["bicubic"]
    for _, scale, name in places:
        value = bench["bicubic"].get(f"x{scale}", {}).get(name)
        bicubic.append(MISSING if value is None else f"{value:.2f}")
    rows = [
        ("fp", "full precision"),
        *((one["operator"], one["label"]) for one in bench["operators"] if one["group"] == "operator"),
    ]
    return top, [bicubic, *([label, *(psnr_text(bench, name, *place) for place in places)] for name, label in rows)]


def published(bench: Bench) -> tuple[list[str], list[list[str]]] | None:
    """(head, lines) of BiBench's own metrics where the file has them."""
    rows = [one for one in bench["operators"] if one["published"]]
    if not rows:
        return None
    tracks = list(dict.fromkeys(track for one in rows for track in one["published"]))
    return ["", *tracks], [[one["label"], *(_number(one["published"].get(track)) for track in tracks)] for one in rows]


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:g}"

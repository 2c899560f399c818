"""Corrupted inputs beside what every operator makes of them: one table per picture and family, a patch per cell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from qsr.data.image import read_rgb
from qsr.report.bibench_tables import Bench
from qsr.report.html import Markup, join, tag
from qsr.report.page_parts import scroller, views
from qsr.report.page_pictures import data_uri

SIDE = 32  # of a patch, in LR pixels
SHOWN = 72  # CSS pixels of a patch


def pictures(bench: Bench, folder: Path) -> Markup | None:
    """None where no pictures were kept. Raises ValueError for one that lies elsewhere, DataError for a damaged one."""
    shown = []
    for family, about in bench["families"].items():
        for scale in bench["scales"]:
            kept = _of(bench, f"bicubic_x{scale}")
            grids = [grid for key in kept if (grid := _grid(bench, folder, key, family, scale)) is not None]
            if grids:
                shown.append((f"{about['label']} x{scale}", join(grids)))
    if not shown:
        return None
    note = "The middle of each picture at severity 3 of every corruption: the input, then what becomes of it. First seed."
    return join((tag("p", note, class_="quiet"), views("pictures", shown)))


def _of(bench: Bench, name: str) -> Mapping[str, Mapping[str, str]]:
    cell = bench["cells"].get(f"robust/{name}")
    found: Mapping[str, Mapping[str, str]] = cell["values"]["pictures"] if cell else {}
    return found


def _grid(bench: Bench, folder: Path, key: str, family: str, scale: int) -> Markup | None:
    kinds = ("clean", *bench["robust"]["kinds"])
    base = _of(bench, f"bicubic_x{scale}")[key]
    rows = [("input", {kind: base.get(f"lr_{kind}", "") for kind in kinds}, 1), ("Bicubic", base, scale)]
    named = [("fp", "full precision"), *((one["operator"], one["label"]) for one in bench["operators"] if one["metrics"])]
    for operator, label in named:
        files = _of(bench, f"{operator}_{family}_x{scale}_s{bench['seeds'][0]}").get(key)
        if files:
            rows.append((label, files, scale))
    if len(rows) == 2:
        return None
    top = tag("tr", tag("th", ""), *(tag("th", kind.replace("_", " "), scope="col") for kind in kinds))
    body = [
        tag(
            "tr",
            tag("th", label, scope="row"),
            *(tag("td", _patch(folder, files.get(kind), factor, f"{label}, {kind}")) for kind in kinds),
        )
        for label, files, factor in rows
    ]
    grid = tag("table", tag("thead", top), tag("tbody", *body), class_="plain patches")
    return tag("figure", tag("figcaption", tag("b", key)), scroller(grid, f"{key} under corruption"))


def _patch(folder: Path, name: str | None, factor: int, words: str) -> Markup:
    if not name:
        return tag("span", "n/a", class_="quiet")
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise ValueError(f"picture {name!r} does not lie beside the file")
    if not (folder / name).is_file():
        return tag("span", "n/a", class_="quiet")
    return tag(
        "img",
        src=data_uri(_middle(read_rgb(folder / name), SIDE * factor)),
        alt=words,
        class_="crop",
        width=SHOWN,
        height=SHOWN,
    )


def _middle(picture: np.ndarray, side: int) -> np.ndarray:
    """The square of `side` pixels in the middle, or as much as there is."""
    top, left = (max(0, (length - side) // 2) for length in picture.shape[:2])
    return picture[top : top + side, left : left + side]

"""Zoomed crops: every method on the same patch of the same picture, and where it differs from the truth.

Crops are embedded at their own size and enlarged by the browser without smoothing, so that a pixel of a result is
seen as it is and the page stays small.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from qsr.data.image import read_rgb
from qsr.data.resize import bicubic_upscale
from qsr.errors import DataError
from qsr.evaluate.metrics import psnr
from qsr.report.board import Board
from qsr.report.crops import Box, worst_box
from qsr.report.html import Markup, join, tag
from qsr.report.page_parts import bits_text, number

FACTOR = 6  # of the difference map: 255 / 6 = 42 grey levels of difference are its brightest colour
OVERVIEW = 360  # longest side of the whole picture on the page
SIDE = 24  # least side of a patch in LR pixels; most is twice that


def pictures(board: Board) -> Markup | None:
    """None where the board has no pictures."""
    if not board.pictures:
        return None
    note = (
        "Every method on the patch where bicubic enlargement loses most. Below each crop: its absolute difference from the "
        f"truth, the mean of the three channels times {FACTOR} (black: none; brightest: {255 // FACTOR} of 255 and more). "
        "PSNR_Y is that of the whole picture, the mean error that of the patch in grey levels. Point at a crop (or tap it) to "
        "see the truth in its place."
    )
    return join((tag("p", note, class_="quiet"), *(_picture(board, key, files) for key, files in board.pictures.items())))


def _picture(board: Board, key: str, files: Mapping[str, str]) -> Markup:
    hr = _read(board.folder, files.get("hr"))
    if hr is None:
        return tag("figure", tag("figcaption", tag("b", key), " the true picture is missing"))
    lr, bicubic = _read(board.folder, files.get("lr")), _read(board.folder, files.get("bicubic"))
    if bicubic is None and lr is not None:
        bicubic = bicubic_upscale(lr, board.scale)
    small = _patch(bicubic, hr, board.scale)
    box = Box(small.top * board.scale, small.left * board.scale, small.side * board.scale)
    truth = [_plain(_cut(hr, box), "truth (HR)", f"the truth on a patch of {key}", "tile truth")]
    if lr is not None:
        truth.append(_plain(_cut(lr, small), "input (LR)", f"the input on a patch of {key}", "tile"))
    tiles = []
    if bicubic is not None:
        tiles.append(_compared(key, "Bicubic", "", bicubic, hr, box, board.scale))
    for row in board.rows:
        ours = _read(board.folder, row.pictures.get(key))
        if ours is not None:
            named = _compared(key, row.label, bits_text(row), ours, hr, box, board.scale)
            tiles.append(tag("div", named, class_="held", data_group=row.group))
    grid = tag("div", *tiles, class_="tiles", style=f"--truth:url({data_uri(_cut(hr, box))})")
    overview = tag("div", _overview(key, hr, box), class_="overview")
    side = tag("div", overview, tag("div", *truth, class_="pair"), class_="side")
    return tag("figure", tag("figcaption", tag("b", key)), tag("div", side, grid, class_="picture"))


def _patch(bicubic: np.ndarray | None, hr: np.ndarray, scale: int) -> Box:
    """worst_box, kept to a size that shows single pixels; the middle of the picture where there is nothing to compare."""
    height, width = hr.shape[0] // scale, hr.shape[1] // scale
    found = Box(0, 0, min(height, width)) if bicubic is None else worst_box(bicubic, hr, scale)
    side = min(max(found.side, SIDE), 2 * SIDE, height, width)
    top, left = found.top + (found.side - side) // 2, found.left + (found.side - side) // 2
    return Box(min(max(top, 0), height - side), min(max(left, 0), width - side), side)


def _plain(crop: np.ndarray, name: str, alt: str, class_: str) -> Markup:
    return tag("div", tag("img", src=data_uri(crop), alt=alt, class_="crop"), tag("p", tag("b", name)), class_=class_)


def _compared(key: str, name: str, bits: str, ours: np.ndarray, hr: np.ndarray, box: Box, scale: int) -> Markup:
    if ours.shape != hr.shape:
        raise DataError(f"picture {key} of {name} is {ours.shape}, expected {hr.shape}", hint="run qsr leaderboard again")
    difference = np.abs(_cut(ours, box).astype(np.int16) - _cut(hr, box)).mean(axis=2)
    quality = f"{number(psnr(ours, hr, scale))} dB" if min(hr.shape[:2]) > 2 * scale else ""
    words = f"{name} {bits}".strip()
    image = tag("img", src=data_uri(_cut(ours, box)), alt=f"{words} on a patch of {key}", class_="crop")
    # a button, so that a finger or the keyboard can ask for the truth as a mouse can
    crop = tag("button", image, type="button", class_="peek", title="hold to see the truth")
    error = f"mean error {difference.mean():.1f}"
    alt = f"difference of {words} from the truth, times {FACTOR}; {error} grey levels"
    heat = tag("img", src=heat_uri(difference), alt=alt, class_="crop")
    caption = tag("p", tag("b", words), tag("small", quality), tag("small", error))
    return tag("div", crop, heat, caption, class_="tile")


def _overview(key: str, hr: np.ndarray, box: Box) -> Markup:
    """The whole picture, made small, with the patch framed (in SVG, so that the frame stays sharp)."""
    height, width = hr.shape[:2]
    factor = min(1.0, OVERVIEW / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(hr, size, interpolation=cv2.INTER_AREA) if factor < 1 else hr
    frame = tag("rect", x=box.left, y=box.top, width=box.side, height=box.side)
    overlay = tag("svg", frame, viewBox=f"0 0 {width} {height}", aria_hidden="true")
    return join((tag("img", src=data_uri(small), alt=f"{key}, the whole picture with the patch framed"), overlay))


def _cut(picture: np.ndarray, box: Box) -> np.ndarray:
    return picture[box.top : box.top + box.side, box.left : box.left + box.side]


def _read(folder: Path, name: str | None) -> np.ndarray | None:
    """None for a picture that is not there; DataError for a damaged one."""
    return read_rgb(folder / name) if name and (folder / name).is_file() else None


def data_uri(picture: np.ndarray) -> str:
    """(h, w, 3) uint8 RGB as a PNG inside a URI."""
    return _uri(Image.fromarray(np.ascontiguousarray(picture)))


def heat_uri(difference: np.ndarray) -> str:
    """(h, w) grey levels as a PNG with a palette from black over red to yellow, FACTOR times brighter."""
    levels = np.clip(np.rint(difference * FACTOR), 0, 255).astype(np.uint8)
    image = Image.fromarray(levels, mode="L").convert("P")
    image.putpalette(_palette().tobytes())
    return _uri(image)


def _palette() -> np.ndarray:
    """(256, 3) uint8 RGB: OpenCV's inferno, which grows evenly in lightness, so that it also reads in grey."""
    colours = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(colours[:, 0, ::-1])


def _uri(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()

"""The comparison picture: the whole image with a box, and beside it the box enlarged: LR, bicubic, ours, HR.

Enlargement is nearest neighbour, so that every pixel of a result can be seen as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from qsr.errors import DataError
from qsr.evaluate.metrics import psnr

PANEL = 240  # side of one enlarged crop
GAP = 8
LABEL = 22  # height of the line of text below a panel
BOX_COLOUR = (230, 30, 30)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Box:
    """A square in LR pixels."""

    top: int
    left: int
    side: int


def comparison(
    lr: np.ndarray,
    bicubic: np.ndarray,
    ours: np.ndarray,
    hr: np.ndarray,
    *,
    scale: int,
    box: Box | None = None,
    title: str = "ours",
) -> np.ndarray:
    """The strip as (H, W, 3) uint8 RGB.

    lr: (h, w, 3) uint8; bicubic, ours, hr: (scale h, scale w, 3) uint8. box: what is enlarged; left out, the part
    where `bicubic` is furthest from `hr`. Labels give PSNR_Y of the whole pictures, border of `scale` pixels.
    Raises DataError where the sizes do not belong together.
    """
    wanted = (lr.shape[0] * scale, lr.shape[1] * scale, 3)
    for name, picture in (("bicubic", bicubic), (title, ours), ("HR", hr)):
        if picture.shape != wanted:
            raise DataError(f"comparison: {name} is {picture.shape}, expected {wanted} for LR {lr.shape} at x{scale}")
    box = box or worst_box(bicubic, hr, scale)
    big = Box(box.top * scale, box.left * scale, box.side * scale)
    panels = [
        _panel(lr, box, "LR"),
        _panel(bicubic, big, _with_psnr("bicubic", bicubic, hr, scale)),
        _panel(ours, big, _with_psnr(title, ours, hr, scale)),
        _panel(hr, big, "HR"),
    ]
    grid = _stack([_stack(panels[:2], axis=1), _stack(panels[2:], axis=1)], axis=0)
    return _stack([_overview(hr, big, grid.shape[0]), grid], axis=1, outer=True)


def worst_box(bicubic: np.ndarray, hr: np.ndarray, scale: int) -> Box:
    """The square (a quarter of the shorter side, in LR pixels) where bicubic loses most, away from the border."""
    height, width = hr.shape[0] // scale, hr.shape[1] // scale
    side = max(min(height, width) // 4, min(height, width, 8))
    error = ((bicubic.astype(np.float32) - hr) ** 2).mean(axis=2)
    error = cv2.resize(error, (width, height), interpolation=cv2.INTER_AREA)  # (h, w), LR pixels
    sums = cv2.integral(error)  # (h + 1, w + 1)
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return Box(int(top), int(left), side)


def _with_psnr(name: str, picture: np.ndarray, hr: np.ndarray, scale: int) -> str:
    if min(hr.shape[:2]) <= 2 * scale:
        return name
    return f"{name} {psnr(picture, hr, scale):.2f} dB"


def _panel(picture: np.ndarray, box: Box, text: str) -> np.ndarray:
    crop = picture[box.top : box.top + box.side, box.left : box.left + box.side]
    return _labelled(cv2.resize(crop, (PANEL, PANEL), interpolation=cv2.INTER_NEAREST), text)


def _overview(hr: np.ndarray, box: Box, height: int) -> np.ndarray:
    """HR with the box drawn in, as high as the grid beside it."""
    room = height - LABEL
    factor = room / hr.shape[0]
    shape = (max(1, round(hr.shape[1] * factor)), room)
    picture = cv2.resize(hr, shape, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST)
    first = (round(box.left * factor), round(box.top * factor))
    last = (round((box.left + box.side) * factor) - 1, round((box.top + box.side) * factor) - 1)
    cv2.rectangle(picture, first, last, BOX_COLOUR, 2)
    return _labelled(picture, "HR, the box enlarged at the right")


def _labelled(picture: np.ndarray, text: str) -> np.ndarray:
    strip = np.full((LABEL, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, text, (3, LABEL - 7), _FONT, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([picture, strip])


def _stack(pictures: Sequence[np.ndarray], axis: int, outer: bool = False) -> np.ndarray:
    """Side by side (axis 1) or below each other (0) on white, with gaps; `outer` adds a margin all round."""
    shape = [pictures[0].shape[0], pictures[0].shape[1], 3]
    shape[axis] = GAP
    gap = np.full(shape, 255, np.uint8)
    parts = [pictures[0]]
    for picture in pictures[1:]:
        parts += [gap, picture]
    joined = np.concatenate(parts, axis=axis)
    return np.pad(joined, ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255) if outer else joined

"""A network for RGB pictures, used on any: grey, with alpha, with 16 bits, as the mean of eight views.

grey     three equal channels in, the mean of the three out
alpha    enlarged by bicubic interpolation, and the colours below it as if it were not there: a network sharpens the
         edges of a mask into ringing, and doubles the time
16 bits  the network's floating-point path: 1/65535 in, 1/65535 out
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qsr.upscale.picture import Pixels

Tile = int | Literal["auto"]


class Network(Protocol):
    """What is used of qsr.runtime.model.Model."""

    @property
    def scale(self) -> int: ...

    @property
    def whole_picture(self) -> bool: ...

    def rows(
        self, source: Iterable[NDArray[Any]], width: int, height: int, tile: Tile = "auto", depth: int | None = None
    ) -> Iterator[NDArray[Any]]:
        """Bands (n, width, 3) of uint8, or of float32 in [0, 1], into bands (n, s width, 3) of the same."""
        ...

    def memory(self, height: int, width: int, tile: Tile = "auto", depth: int | None = None) -> int:
        """Bytes of scratch of one run."""
        ...


Tick = Callable[[int], None]


def silent(pixels: int) -> None:
    """A Tick for those who do not watch."""


@dataclass(frozen=True)
class Way:
    """How a network is used. ensemble: mean of eight views."""

    tile: Tile = "auto"
    depth: int | None = None
    ensemble: bool = False


def enlarge(network: Network, pixels: Pixels, way: Way = Way(), tick: Tick = silent) -> Pixels:
    """(h, w, c) uint8 or uint16 -> (s h, s w, c) of the same kind; c as in Picture. tick: pixels of the result done."""
    channels = pixels.shape[2]
    rgb = to_input(pixels, floats=way.ensemble)
    if way.ensemble:
        made = self_ensemble(network, rgb, way, tick)
    else:
        made = _joined(network, rgb, way, tick)
    result = from_output(made, channels, pixels.dtype)
    if channels in (2, 4):
        result = np.concatenate([result, enlarge_alpha(pixels[:, :, -1], network.scale)[:, :, None]], axis=2)
    return result


def to_input(pixels: Pixels, floats: bool = False) -> NDArray[Any]:
    """Colours as the network takes them: (h, w, 3) uint8, or float32 in [0, 1] for 16 bits (or where it is asked for)."""
    colour = pixels[:, :, :1] if pixels.shape[2] <= 2 else pixels[:, :, :3]
    rgb = np.repeat(colour, 3, axis=2) if colour.shape[2] == 1 else np.ascontiguousarray(colour)
    if pixels.dtype == np.uint8 and not floats:
        return rgb
    return rgb.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def from_output(made: NDArray[Any], channels: int, dtype: np.dtype[Any]) -> Pixels:
    """The network's (h, w, 3) as colours of a picture of `channels` and `dtype`, without alpha."""
    if channels <= 2:
        if made.dtype == np.uint8:
            # there are no halves in thirds: + 1 rounds to the nearest
            return ((made.sum(axis=2, keepdims=True, dtype=np.uint32) + 1) // 3).astype(np.uint8)
        made = made.mean(axis=2, keepdims=True)
    if made.dtype == np.uint8:
        return made
    top = np.float32(np.iinfo(dtype).max)
    return np.rint(np.clip(made, 0, 1) * top).astype(dtype)


def enlarge_alpha(alpha: NDArray, scale: int) -> NDArray:
    """(h, w) -> (s h, s w) of the same kind, bicubic; where it is the same everywhere it stays so, exactly."""
    height, width = alpha.shape
    if (alpha == alpha[0, 0]).all():
        return np.full((height * scale, width * scale), alpha[0, 0], alpha.dtype)
    wide = alpha.dtype == np.uint16
    image = Image.fromarray(alpha.astype(np.float32) if wide else np.ascontiguousarray(alpha))
    larger = np.asarray(image.resize((width * scale, height * scale), Image.Resampling.BICUBIC))
    return np.clip(np.rint(larger), 0, 65535).astype(np.uint16) if wide else larger


def self_ensemble(network: Network, x: NDArray[np.float32], way: Way, tick: Tick = silent) -> NDArray[np.float32]:
    """Mean output over the eight flips and turns of (h, w, 3), each turned back; each is within [0, 1] before the mean."""
    total: NDArray[np.float32] | None = None
    for flip in (False, True):
        for turns in range(4):
            view = np.ascontiguousarray(np.rot90(x[:, ::-1] if flip else x, turns))
            y = np.rot90(_joined(network, view, way, silent), -turns)
            y = y[:, ::-1] if flip else y
            total = y.astype(np.float32) if total is None else total + y
            tick(y.shape[0] * y.shape[1] // 8)
    assert total is not None
    return total / np.float32(8)


def _joined(network: Network, x: NDArray[Any], way: Way, tick: Tick) -> NDArray[Any]:
    height, width, scale = x.shape[0], x.shape[1], network.scale
    result = np.empty((height * scale, width * scale, 3), x.dtype)
    top = 0
    for band in network.rows([x], width, height, way.tile, way.depth):
        result[top : top + len(band)] = band
        top += len(band)
        tick(band.shape[0] * band.shape[1])
    return result

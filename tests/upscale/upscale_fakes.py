"""What the tests of `qsr upscale` share: a network that repeats pixels (fast, and its result is known), and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
from PIL import ImageCms


class Nearest:
    """As qsr.runtime.model.Model, enlarging by repetition. seen: the sizes it was given; fault: raised at its first pixel."""

    receptive_field: int | None = 0
    whole_picture = False
    depths: tuple[int, ...] = ()
    fault: BaseException | None = None

    def __init__(self, scale: int = 2) -> None:
        self.scale = scale
        self.seen: list[tuple[int, int]] = []

    def rows(
        self, source: Iterable[np.ndarray], width: int, height: int, tile: object = "auto", depth: int | None = None
    ) -> Iterator[np.ndarray]:
        self.seen.append((height, width))
        total = 0
        for band in source:
            if self.fault:
                raise self.fault
            assert band.shape[1:] == (width, 3)
            assert band.dtype in (np.uint8, np.float32)
            total += len(band)
            yield band.repeat(self.scale, axis=0).repeat(self.scale, axis=1)
        assert total == height

    def memory(self, height: int, width: int, tile: object = "auto", depth: int | None = None) -> int:
        side = tile if isinstance(tile, int) else 1 << 20
        return min(height, side) * min(width, side) * 100


def larger(pixels: np.ndarray, scale: int = 2) -> np.ndarray:
    """What Nearest makes of (h, w, c)."""
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)


def colours(height: int, width: int, channels: int = 3, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    """Smooth colours with some noise, the whole range of `dtype`; alpha (2 or 4 channels) as a ramp."""
    top = np.iinfo(dtype).max
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    planes = [np.clip(0.5 + 0.5 * np.sin(6 * x + i + 4 * y) + rng.normal(0, 0.02, x.shape), 0, 1) for i in range(channels)]
    if channels in (2, 4):
        planes[-1] = x
    return np.rint(np.stack(planes, axis=2) * top).astype(dtype)


@cache
def profile(space: bytes = b"RGB ") -> bytes:
    """An ICC profile: sRGB, or what passes for one of another colour space by its header."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data[:16] + space + data[20:]

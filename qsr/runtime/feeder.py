"""Rows of a picture as they are asked for: out of one array or many bands, continued by reflection to whole windows.

Rows that no later tile looks at are forgotten, so a picture of any height takes the memory of a few tiles.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.errors import DataError


class Feeder:
    """height, width: of the picture; `rows` gives rows of width and height continued to multiples of `window`."""

    def __init__(self, bands: Iterable[NDArray[Any]], height: int, width: int, window: int) -> None:
        self.height, self.width = height, width
        self._bands = iter(bands)
        self._down = reflected(height, window)
        self._across = reflected(width, window)
        self._window = window
        self._kept: NDArray[Any] | None = None  # rows from self._first on
        self._first = 0
        self._end = 0

    @property
    def itemsize(self) -> int:
        """Bytes of a number, 1 or 4; known from the first band, which is fetched."""
        self._fetch(1)
        assert self._kept is not None
        return self._kept.itemsize

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """Rows first..last - 1 of the continued picture; `first` never decreases.

        Raises DataError for bands that do not fit.
        """
        wanted = self._down[first:last]
        self._fetch(int(wanted.max()) + 1)
        assert self._kept is not None
        # what lies below the picture mirrors rows up to a window above its end: those stay
        low = min(first, max(0, self.height - self._window))
        if low > self._first:
            self._kept, self._first = self._kept[low - self._first :], low
        # no copy where the rows are there as they are
        taken = self._kept[first - low : last - low] if last <= self.height else self._kept[wanted - low]
        return taken if len(self._across) == self.width else taken[:, self._across]

    def _fetch(self, end: int) -> None:
        if self._end >= end:
            return
        parts = [] if self._kept is None else [self._kept]
        while self._end < end:
            band = next(self._bands, None)
            if band is None:
                raise DataError(f"found {self._end} rows, expected {self.height}")
            check_picture(band)
            if band.shape[1] != self.width or (parts and band.dtype != parts[0].dtype):
                found = f"a band of {band.shape[1]} pixels of {band.dtype}"
                raise DataError(f"found {found}, expected {self.width} pixels of one type throughout")
            self._end += len(band)
            # a source may fill the same memory again
            parts.append(band if len(band) == self.height else band.copy())
        if self._end > self.height or (self._end == self.height and next(self._bands, None) is not None):
            raise DataError(f"found more than {self.height} rows")
        self._kept = np.concatenate(parts) if len(parts) > 1 else parts[0]


def check_picture(picture: NDArray[Any]) -> None:
    """Refuse what is no RGB picture: DataError says what was found and what would do."""
    if not isinstance(picture, np.ndarray):
        raise DataError(f"found a {type(picture).__name__}, expected a numpy array (h, w, 3)")
    if picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 1):
        raise DataError(
            f"found a grey picture {picture.shape}, expected RGB (h, w, 3)",
            hint="repeat it: np.repeat(picture.reshape(h, w, 1), 3, axis=2)",
        )
    if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        hint = "upscale alpha apart" if picture.ndim == 3 and picture.shape[2] == 4 else None
        raise DataError(f"found an array of shape {picture.shape}, expected RGB (h, w, 3)", hint=hint)
    if picture.dtype == np.uint8:
        return
    if picture.dtype != np.float32:
        raise DataError(f"found a picture of {picture.dtype}, expected uint8, or float32 in [0, 1]", hint="convert it first")
    low, high = float(picture.min()), float(picture.max())
    if not (low >= 0 and high <= 1):  # false for NaN too
        raise DataError(f"found numbers from {low} to {high}, expected [0, 1]", hint="divide by 255, or use uint8")


def reflected(size: int, multiple: int) -> NDArray[np.intp]:
    """Indices that continue an axis by reflection up to the next multiple; it repeats, so a size of 1 works as well.

    >>> reflected(3, 8).tolist()
    [0, 1, 2, 1, 0, 1, 2, 1]
    """
    period = max(2 * (size - 1), 1)
    index = np.arange(-(-size // multiple) * multiple) % period
    return np.minimum(index, period - index) if size > 1 else index

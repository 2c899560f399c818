"""Which picture, which crop and which turn belongs to sample n: a pure function of (seed, n).

Nothing is drawn from a stream that has to be saved or shared: workers, prefetch, ranks and a resume in the middle of
an epoch cannot change the data. The numbers are raw Philox words, whose values numpy guarantees for good, unlike
those of `Generator.permutation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# one word of the Philox key keeps the two uses of a seed apart
_CROPS, _ORDER = 0, 1


@dataclass(frozen=True, slots=True)
class Draw:
    """Sample n's picture and augmentation. `top` and `left` are 64-bit words; `crop_at` maps them to a position."""

    picture: int
    top: int
    left: int
    hflip: bool
    vflip: bool
    transpose: bool


def draw(seed: int, n: int, length: int) -> Draw:
    """Sample n of a set of `length` pictures; every picture comes once per epoch of `length` samples."""
    epoch, place = divmod(n, length)
    top, left, turns = (int(word) for word in _words(seed, _CROPS, n, 3))
    return Draw(int(permutation(seed, epoch, length)[place]), top, left, bool(turns & 1), bool(turns & 2), bool(turns & 4))


@lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, length: int) -> np.ndarray:
    """The order of pictures in one epoch: (length,) int64."""
    return np.argsort(_words(seed, _ORDER, epoch, length), kind="stable")


def crop_at(word: int, room: int) -> int:
    """A position in 0 .. room - 1 from a 64-bit word; the bias of the remainder is below room / 2^64."""
    return word % room


def _words(seed: int, use: int, counter: int, count: int) -> np.ndarray:
    # the counter's low word is left at 0: it is what Philox itself counts up for words 4, 8, ...
    return np.random.Philox(counter=[0, counter, 0, 0], key=[seed, use]).random_raw(count)

"""Random numbers that are the same on every machine, with every numpy, in any order of calls and processes.

numpy keeps `Generator.normal`, `.poisson` and `.random` free to change between versions (NEP 19), and its log and exp differ
in the last bit between processors. So only the raw bits of Philox4x64-10 are taken from it, which are the published
algorithm's (Salmon et al. 2011; the tests hold its known answers). All else is additions, products, quotients and roots of
float64, which IEEE 754 defines to the last bit.

>>> uniform(stream(0, "baby", "gaussian_noise", 1), (2,)).round(6).tolist()
[0.096934, 0.082624]
"""

from __future__ import annotations

import json
import math
from hashlib import blake2b
from unicodedata import normalize

import numpy as np

# Wichura's AS 241 (1988), PPND16: numerator and denominator, lowest power first, for |p - 1/2| <= 0.425 and for the tails.
# Its third pair serves p < exp(-25), which 32 bits do not reach.
_MIDDLE = (
    (3.387132872796366608, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
     45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727),
    (1.0, 42.313330701600911252, 687.1870074920579083, 5394.1960214247511077,
     21213.794301586595867, 39307.89580009271061, 28729.085735721942674, 5226.495278852854561),
)  # fmt: skip
_TAIL = (
    (1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055, 3.64784832476320460504,
     1.27045825245236838258, 0.24178072517745061177, 0.0227238449892691845833, 7.7454501427834140764e-4),
    (1.0, 2.05319162663775882187, 1.6763848301838038494, 0.68976733498510000455,
     0.14810397642748007459, 0.0151986665636164571966, 5.475938084995344946e-4, 1.05075007164441684324e-9),
)  # fmt: skip


def stream(seed: int | bytes, name: str, kind: str, severity: int) -> np.random.Philox:
    """The bits for one picture, kind and severity: a function of these four and of nothing else.

    Meant for the functions below. Numbers of a numpy Generator made from it may differ between numpy's versions.
    """
    # file systems of macOS hand out names in another normal form than was written
    parts = [seed.hex() if isinstance(seed, bytes) else int(seed), normalize("NFC", name), kind, int(severity)]
    key = blake2b(json.dumps(parts).encode(), digest_size=16).digest()
    return np.random.Philox(key=int.from_bytes(key, "little"))


def uniform(bits: np.random.Philox, shape: tuple[int, ...]) -> np.ndarray:
    """float64 in (0, 1), never 0 or 1: (k + 1/2) / 2^32 with k from the upper half of each 64 raw bits."""
    raw = bits.random_raw(math.prod(shape))
    return (((raw >> np.uint64(32)).astype(np.float64) + 0.5) * 2.0**-32).reshape(shape)


def normal(bits: np.random.Philox, shape: tuple[int, ...]) -> np.ndarray:
    """float64 of N(0, 1), one uniform each; the largest is 6.3 sigma."""
    p = uniform(bits, shape)
    q = p - 0.5
    middle = q * _ratio(0.180625 - q * q, _MIDDLE)  # 0.425^2
    tail = np.copysign(_ratio(np.sqrt(-_log(np.minimum(p, 1 - p))) - 1.6, _TAIL), q)
    return np.where(np.abs(q) <= 0.425, middle, tail)


def poisson(bits: np.random.Philox, levels: np.ndarray, rate: float) -> np.ndarray:
    """int64 counts of Poisson(rate * level / 255) for every value of `levels`, uint8 of any shape; one uniform each."""
    drawn = uniform(bits, levels.shape)
    counts = np.zeros(levels.shape, np.int64)
    for level in np.unique(levels):
        here = levels == level
        first, cumulated = _poisson_table(int(level) * rate / 255)
        counts[here] = first + np.searchsorted(cumulated, drawn[here] * cumulated[-1])
    return counts


def _ratio(r: np.ndarray, coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> np.ndarray:
    above, below = (np.zeros_like(r), np.zeros_like(r))
    for a, b in zip(*(row[::-1] for row in coefficients)):
        above, below = above * r + a, below * r + b
    return above / below


def _log(x: np.ndarray) -> np.ndarray:
    # x = m 2^e with m in [1/2, 1): log x = e log 2 - 2 artanh t, t = (1 - m) / (1 + m) <= 1/3, so 17 terms give 1e-17
    m, e = np.frexp(x)
    t = (1 - m) / (1 + m)
    square, series = t * t, np.zeros_like(t)
    for k in range(33, 0, -2):
        series = series * square + 1 / k
    return e * 0.6931471805599453 - 2 * t * series


def _poisson_table(rate: float) -> tuple[int, np.ndarray]:
    """The first count, and sums of probabilities from there on, not normalised: ratios from the mode need no exp."""
    mode = int(rate)
    first, last = max(0, int(mode - 8 * math.sqrt(rate) - 8)), int(mode + 8 * math.sqrt(rate) + 24)
    down = np.cumprod(np.arange(mode, first, -1) / rate) if rate else np.zeros(0)  # mode - 1, mode - 2, ... first
    up = np.cumprod(rate / np.arange(mode + 1, last + 1))
    return first, np.cumsum(np.concatenate((down[::-1], [1.0], up)))

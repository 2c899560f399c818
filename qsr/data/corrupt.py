"""The eleven corruptions of the robustness track, for LR pictures: those of ImageNet-C (Hendrycks and Dietterich 2019) that
neither move pixels nor need pictures of their own. A table of severities is CIFAR-C's (small pictures) or ImageNet-C's.

What comes out is a real LR picture: clipped to 0..255 and rounded (half up) to uint8, where ImageNet-C cuts the fraction off.
Noise comes from noise.py, blurs from blur.py, colours need the four basic operations only, and Pillow shrinks in fixed point:
all kinds but jpeg are equal to the bit on every machine. What jpeg gives is up to the libjpeg inside Pillow.

>>> corrupt(np.full((1, 2, 3), 100, np.uint8), "brightness", 4, seed=0)[0, 0].tolist()
[151, 151, 151]
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from PIL import Image

from qsr.data.blur import defocus_blur, gaussian_blur
from qsr.data.image import decode_rgb
from qsr.data.noise import normal, poisson, stream, uniform
from qsr.errors import DataError, OptionsError

Table = Literal["cifar", "imagenet"]
Setting = float | tuple[float, float]

SEVERITIES = (1, 2, 3, 4, 5)
SETTINGS: dict[Table, dict[str, tuple[Setting, ...]]] = {
    "cifar": {
        "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),  # sigma
        "shot_noise": (500, 250, 100, 75, 50),  # photons of a white pixel
        "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),  # share of the values
        "speckle_noise": (0.06, 0.10, 0.12, 0.16, 0.20),  # sigma of a white pixel
        "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1.0),  # sigma in pixels
        "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),  # radius, sigma of its edge
        "brightness": (0.05, 0.10, 0.15, 0.20, 0.30),  # added to V
        "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),  # factor on the distance from the mean
        "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),  # S a + b
        "jpeg": (80, 65, 58, 50, 40),  # quality
        "pixelate": (0.95, 0.90, 0.85, 0.75, 0.65),  # size of the small picture
    },
    "imagenet": {
        "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
        "shot_noise": (60, 25, 12, 5, 3),
        "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
        "speckle_noise": (0.15, 0.20, 0.35, 0.45, 0.60),
        "gaussian_blur": (1, 2, 3, 4, 6),
        "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
        "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
        "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
        "jpeg": (25, 18, 15, 10, 7),
        "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
    },
}
KINDS = tuple(SETTINGS["cifar"])
NOISE = KINDS[:4]
MOVES_LEVEL = ("brightness", "contrast", "saturate")
"""Kinds that move any network's output away from HR: means are reported also without them."""

_LONGEST_JPEG = 65_500  # libjpeg's JPEG_MAX_DIMENSION


def corrupt(
    picture: np.ndarray, kind: str, severity: int, *, seed: int | bytes, name: str = "", table: Table = "cifar"
) -> np.ndarray:
    """`picture` (h, w, 3) uint8 with one corruption: (h, w, 3) uint8.

    Noise is a function of `seed`, `name` (the picture's, without suffix: two pictures of one name get the same noise), kind and
    severity. Raises OptionsError for an unknown kind, severity or table, ValueError for another shape or dtype, DataError for a
    picture that JPEG cannot hold.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or picture.size == 0:
        raise ValueError(f"expected (h, w, 3) uint8, got shape {picture.shape} {picture.dtype}")
    found = setting(kind, severity, table)
    numbers = found if isinstance(found, tuple) else (found,)
    if kind in NOISE:
        levels = _NOISES[kind](picture, stream(seed, name, kind, severity), *numbers)
    else:
        levels = _OTHERS[kind](picture, *numbers)
    return np.floor(np.clip(levels, 0, 255) + 0.5).astype(np.uint8)


def setting(kind: str, severity: int, table: Table = "cifar") -> Setting:
    """What a severity means for a kind. Raises OptionsError that lists what there is."""
    if table not in SETTINGS:
        raise OptionsError(f"no table {table!r} of severities", hint=f"expected one of {', '.join(get_args(Table))}")
    if kind not in KINDS:
        raise OptionsError(f"no corruption {kind!r}", hint=f"expected some of {', '.join(KINDS)}")
    if severity not in SEVERITIES:
        raise OptionsError(f"severity {severity!r} of {kind}", hint="expected 1, 2, 3, 4 or 5")
    return SETTINGS[table][kind][severity - 1]


def _gaussian_noise(picture: np.ndarray, bits: np.random.Philox, sigma: float) -> np.ndarray:
    return picture + 255 * sigma * normal(bits, picture.shape)


def _shot_noise(picture: np.ndarray, bits: np.random.Philox, photons: float) -> np.ndarray:
    return 255 * poisson(bits, picture, photons) / photons


def _impulse_noise(picture: np.ndarray, bits: np.random.Philox, share: float) -> np.ndarray:
    # of values, not of pixels: every channel for itself, half of them black
    drawn = uniform(bits, picture.shape)
    return np.where(drawn < share / 2, 0, np.where(drawn < share, 255, picture))


def _speckle_noise(picture: np.ndarray, bits: np.random.Philox, sigma: float) -> np.ndarray:
    return picture + picture * (sigma * normal(bits, picture.shape))


def _brightness(picture: np.ndarray, added: float) -> np.ndarray:
    # H and S stay, so all three channels grow with V; black has neither and becomes grey
    value = picture.max(axis=2, keepdims=True).astype(np.float64)
    raised = np.minimum(value + 255 * added, 255)
    return np.where(value > 0, picture * raised / np.maximum(value, 1), raised)


def _contrast(picture: np.ndarray, factor: float) -> np.ndarray:
    means = picture.sum(axis=(0, 1), dtype=np.int64) / (picture.shape[0] * picture.shape[1])
    return (picture - means) * factor + means


def _saturate(picture: np.ndarray, factor: float, added: float) -> np.ndarray:
    # x = V (1 - S f), and f depends on H alone. Grey has no H: 0, that is red, says skimage and so ImageNet-C
    value = picture.max(axis=2, keepdims=True).astype(np.float64)
    spread = value - picture.min(axis=2, keepdims=True)
    f = np.where(spread > 0, (value - picture) / np.maximum(spread, 1), (0.0, 1.0, 1.0))
    saturation = np.clip(spread / np.maximum(value, 1) * factor + added, 0, 1)
    return value - value * saturation * f


def _jpeg(picture: np.ndarray, quality: float) -> np.ndarray:
    height, width = picture.shape[:2]
    if max(height, width) > _LONGEST_JPEG:
        found = f"{width} x {height} pixels, and JPEG has at most {_LONGEST_JPEG:,} a side"
        raise DataError(found, hint="cut the picture, or leave out jpeg")
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=int(quality))  # 4:2:0, Pillow's default and so ImageNet-C's
    return decode_rgb(buffer.getvalue(), "the compressed picture", height * width)


def _pixelate(picture: np.ndarray, factor: float) -> np.ndarray:
    # both sides cut to whole pixels; Pillow's box takes the source pixels whose centres lie inside, in fixed point
    height, width = picture.shape[:2]
    small = (max(1, int(width * factor)), max(1, int(height * factor)))
    image = Image.fromarray(picture).resize(small, Image.Resampling.BOX)
    return np.asarray(image.resize((width, height), Image.Resampling.NEAREST))


_NOISES: dict[str, Callable[..., np.ndarray]] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "speckle_noise": _speckle_noise,
}
_OTHERS: dict[str, Callable[..., np.ndarray]] = {
    "gaussian_blur": gaussian_blur,
    "defocus_blur": defocus_blur,
    "brightness": _brightness,
    "contrast": _contrast,
    "saturate": _saturate,
    "jpeg": _jpeg,
    "pixelate": _pixelate,
}

"""A picture as its file means it: pixels turned as the camera was held, with the colour profile and EXIF that go along.

Decoding is qsr.data.image's, with all its strictness; that one gives pixels as stored, as measuring needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from qsr.data.formats import PNG_MAGIC, bits_per_channel, open_handle, open_lazily, quick_size
from qsr.data.image import DECODE_ERRORS, HOW_TO_RAISE, check_file_size, decode, open_within, pixel_limit
from qsr.errors import DataError

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
ORIENTATION, WIDTH, HEIGHT, EXIF_IFD = 0x0112, 0xA002, 0xA003, 0x8769
BIG_TIFF = (b"II\x2b\0", b"MM\0\x2b")
MAX_PROFILE = 16 << 20  # bytes; a larger one is left out

# EXIF's eight orientations: what makes the stored pixels upright
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}


@dataclass(frozen=True)
class Picture:
    """pixels: (h, w, c) uint8 or uint16; c is 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA; upright.

    icc: the profile if it is one for these channels. exif: of JPEG, PNG and WebP, orientation 1, no thumbnail.
    """

    pixels: Pixels
    icc: bytes | None = None
    exif: bytes | None = None

    @property
    def alpha(self) -> bool:
        return self.pixels.shape[2] in (2, 4)


@dataclass(frozen=True)
class Outline:
    """What the header says. itemsize: bytes of one channel. big_tiff: only pyvips reads it."""

    width: int
    height: int
    itemsize: int
    big_tiff: bool = False


def outline(path: Path) -> Outline:
    """Size and depth without a pixel decoded and whatever the size of the file. Raises DataError."""
    try:
        with open(path, "rb") as handle:
            head = handle.read(64)
            handle.seek(0)
            big = head[:4] in BIG_TIFF
            picture: ImageFile = TiffImageFile(handle) if big else open_handle(handle)
            if picture.format in ("PNG", "WEBP") and getattr(picture, "n_frames", 1) > 1:
                # of a TIFF the first page is the picture; the others are often smaller copies
                raise DataError("an animation, expected one picture", where=str(path), hint="make a video of it")
            width, height = quick_size(head) or picture.size
            return Outline(width, height, 2 if bits_per_channel(head, picture) == 16 else 1, big)
    except DECODE_ERRORS as fault:
        system = isinstance(fault, OSError) and fault.errno is not None
        why = (
            f"cannot read: {fault.strerror}" if isinstance(fault, OSError) and system else f"cannot decode: {first_line(fault)}"
        )
        raise DataError(why, where=str(path), hint="replace or remove the file") from fault


def read(path: Path, max_pixels: int | None = None) -> Picture:
    """Decode all of it. Raises DataError that names the file and what is wrong with it."""
    try:
        check_file_size(path.stat().st_size, str(path), pixel_limit() if max_pixels is None else max_pixels)
        data = path.read_bytes()
    except OSError as fault:
        raise DataError(f"cannot read: {fault.strerror or fault}", where=str(path)) from fault
    return from_bytes(data, str(path), max_pixels)


def from_bytes(data: bytes, where: str, max_pixels: int | None = None, how_to_raise: str = HOW_TO_RAISE) -> Picture:
    """Decode the contents of a file. where: what an error calls it, how_to_raise as in `decode`. Raises DataError as `read`."""
    try:  # the size before anything else is looked at
        orientation = _orientation(open_within(data, where, max_pixels, how_to_raise), data)
    except DataError:
        raise
    except DECODE_ERRORS:  # `decode` says what is wrong with the file, if it is more than its EXIF
        orientation = 1
    # Pillow turns TIFF by itself, OpenCV 16-bit PNG; whether they do has changed with their versions
    pixels = decode(_as_stored(data) if orientation != 1 else data, where, max_pixels, how_to_raise)
    pixels = np.ascontiguousarray(UPRIGHT.get(orientation, lambda x: x)(pixels))
    return _with_metadata(Picture(pixels), data)


def _orientation(picture: ImageFile, data: bytes) -> int:
    value = _exif(picture, data).get(ORIENTATION, 1)
    return value if isinstance(value, int) and value in UPRIGHT else 1


def _exif(picture: ImageFile, data: bytes) -> Image.Exif:
    """The EXIF, no pixel decoded. Pillow decodes a PNG that has none before its pixels, for there may be some behind them."""
    if not data.startswith(PNG_MAGIC):
        return picture.getexif()
    if "exif" not in picture.info:
        for name, begin, end in _chunks(data):
            if name == b"eXIf":
                picture.info["exif"] = b"Exif\0\0" + data[begin + 8 : end - 4]
    return Image.Image.getexif(picture)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, first byte, byte behind) of every whole chunk of a PNG."""
    at = len(PNG_MAGIC)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at, end
        at = end


def _as_stored(data: bytes) -> bytes:
    """The same file saying that it is upright: TIFF's tag set to 1, PNG's EXIF chunks left out."""
    changed = bytearray(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
        at = int.from_bytes(data[4:8], order)
        for entry in range(at + 2, at + 2 + 12 * int.from_bytes(data[at : at + 2], order), 12):
            if int.from_bytes(data[entry : entry + 2], order) == ORIENTATION:
                changed[entry + 8 : entry + 12] = b"\1\0\0\0" if order == "little" else b"\0\1\0\0"
    elif data.startswith(PNG_MAGIC):
        return PNG_MAGIC + b"".join(data[begin:end] for name, begin, end in _chunks(data) if name != b"eXIf")
    return bytes(changed)


def _with_metadata(picture: Picture, data: bytes) -> Picture:
    """Add profile and EXIF; damaged ones are left out, the pixels being what was asked for."""
    try:
        source = open_lazily(data)
        profile = source.info.get("icc_profile")
        exif = _exif(source, data) if not isinstance(source, TiffImageFile) else None  # TIFF's are tags of the file's layout
        raw = None
        if exif is not None and len(exif):
            exif[ORIENTATION] = 1
            details = exif.get_ifd(EXIF_IFD)
            for tag in (WIDTH, HEIGHT):
                details.pop(tag, None)  # of the small picture
            raw = exif.tobytes()
            raw = raw if len(raw) < 1 << 16 else None  # JPEG's limit
    except (*DECODE_ERRORS, AttributeError):
        return picture
    return replace(picture, icc=fitting_profile(profile, picture.pixels.shape[2]), exif=raw)


def fitting_profile(profile: object, channels: int) -> bytes | None:
    """The profile if its header says that it is for this many channels: a CMYK one is wrong for the RGB made from it."""
    wanted = b"GRAY" if channels <= 2 else b"RGB "
    fits = isinstance(profile, bytes) and 128 < len(profile) <= MAX_PROFILE and profile[16:20] == wanted
    return profile if fits and isinstance(profile, bytes) else None


def first_line(fault: BaseException) -> str:
    """What an exception says, in one line."""
    return (str(fault) or type(fault).__name__).splitlines()[0]

"""The one place where a picture becomes an array, strictly: a damaged file is a DataError that names it.

Order of work: size from the header, refused above `MAX_PIXELS` before any pixel is decoded; the container walked
(formats.py); then the decode. What the caller gets:
  - pixels as stored: EXIF rotation and ICC profiles are not applied, as in every published SR pipeline
    (of TIFF alone Pillow turns the pixels itself while it decodes, and tells nobody);
  - `read_rgb`: grey is replicated, a palette expanded, alpha dropped (not blended), CMYK converted,
    16 bit rounded to 8 by x / 257; `read_image` keeps depth and alpha;
  - of a multi-page TIFF, the first page.

>>> read_rgb("photos/butterfly.png").shape          # doctest: +SKIP
(256, 256, 3)
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.Image import DecompressionBombError
from PIL.ImageFile import ImageFile

from qsr.data.formats import SUFFIXES, Damaged, bits_per_channel, check_whole, open_lazily, quick_size
from qsr.errors import DataError
from qsr.files import write_atomic
from qsr.quantities import raised

MAX_PIXELS = 1 << 28
"""Largest picture that is decoded unless the caller or $QSR_MAX_PIXELS says otherwise: 16384 x 16384, 768 MiB as RGB."""
MAX_PIXELS_EVER = 1 << 30  # OpenCV's own limit, which decodes 16 bits
MAX_SIDE_OF_16_BITS = 1_000_000  # and that of the libpng inside of it
VARIABLE = "QSR_MAX_PIXELS"
HOW_TO_RAISE = f"set {VARIABLE}=NUMBER if there is memory for it"

# A picture of n pixels never needs more than this many bytes per pixel on disk (16-bit RGBA, uncompressed).
_FILE_BYTES_PER_PIXEL = 8
_HEADER_BYTES = 1 << 16
# What Pillow's parsers raise on hostile bytes. struct.error is none of the built-in kinds.
DECODE_ERRORS = (OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, ArithmeticError, MemoryError, Warning,
                 struct.error, zlib.error, DecompressionBombError)  # fmt: skip


def pixel_limit() -> int:
    """MAX_PIXELS, or what $QSR_MAX_PIXELS says instead."""
    return raised(MAX_PIXELS, VARIABLE, MAX_PIXELS_EVER)


def read_rgb(path: Path | str, max_pixels: int | None = None) -> np.ndarray:
    """Decode `path` to (h, w, 3) uint8 RGB. Raises DataError naming the file and what is wrong with it."""
    return decode_rgb(_read_bytes(path, max_pixels), str(path), max_pixels)


def read_image(path: Path | str, max_pixels: int | None = None) -> np.ndarray:
    """Decode `path` keeping depth and alpha: (h, w, c) uint8 or uint16; c is 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA."""
    return decode(_read_bytes(path, max_pixels), str(path), max_pixels)


def decode_rgb(data: bytes, where: str, max_pixels: int | None = None) -> np.ndarray:
    """`read_rgb` of an encoded picture in memory; `where` names it in errors."""
    return to_rgb8(decode(data, where, max_pixels))


def decode(data: bytes, where: str, max_pixels: int | None = None, how_to_raise: str = HOW_TO_RAISE) -> np.ndarray:
    """`read_image` of an encoded picture in memory; `where` names it in errors, how_to_raise ends that of too many pixels."""
    try:
        picture = open_within(data, where, max_pixels, how_to_raise)
        check_whole(data, picture)
        if bits_per_channel(data, picture) == 16:
            _refuse_side(picture.size, where)
            return _decode_16bit(data)
        return _pixels(picture)
    except DataError:
        raise
    except MemoryError as fault:
        # of a picture within the limit: either there is none left, or a damaged header asks for more than its pixels need
        hint = "close other programs; if there is plenty, the file is damaged"
        raise DataError("not enough memory to decode it", where=where, hint=hint) from fault
    except DECODE_ERRORS as fault:
        raise DataError(f"cannot decode: {_reason(fault)}", where=where, hint="replace or remove the file") from fault


def open_within(data: bytes, where: str, max_pixels: int | None = None, how_to_raise: str = HOW_TO_RAISE) -> ImageFile:
    """Pillow's object with no pixel decoded. Raises DataError for too many pixels, and one of DECODE_ERRORS."""
    most = pixel_limit() if max_pixels is None else max_pixels
    _refuse_bomb(quick_size(data[:64]), where, most, how_to_raise)
    picture = open_lazily(data)
    _refuse_bomb(picture.size, where, most, how_to_raise)
    return picture


def size_of(path: Path | str) -> tuple[int, int]:
    """(height, width) from the header alone. Raises DataError when the file has no readable header."""
    try:
        with open(path, "rb") as handle:
            head = handle.read(64)
            size = quick_size(head)
            if size is None:
                size = open_lazily(head + handle.read(_HEADER_BYTES)).size
    except OSError as fault:
        # a header longer than what was read (a large EXIF block, a TIFF with its directory at the end)
        if fault.errno is not None:
            raise DataError(f"cannot read: {fault.strerror}", where=str(path)) from fault
        size = _size_from_all(path)
    except DECODE_ERRORS:
        size = _size_from_all(path)
    return size[1], size[0]


def to_rgb8(image: np.ndarray) -> np.ndarray:
    """(h, w, 1..4) uint8 or uint16 -> (h, w, 3) uint8: alpha dropped, grey replicated, 16 bit rounded by x / 257."""
    colour = image[:, :, :1] if image.shape[2] <= 2 else image[:, :, :3]
    if colour.dtype == np.uint16:
        colour = ((colour.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if colour.shape[2] == 1:
        colour = np.repeat(colour, 3, axis=2)
    return np.ascontiguousarray(colour)


def encode_png(rgb: np.ndarray, level: int = 6) -> bytes:
    """PNG bytes of (h, w, 3) uint8 RGB; `level` 0-9 is zlib's."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=level)
    return buffer.getvalue()


def write_png(path: Path | str, rgb: np.ndarray, level: int = 6) -> None:
    """Write (h, w, 3) uint8 RGB as PNG in one step: the file is the old one or the new one, never a part."""
    write_atomic(path, encode_png(rgb, level))


def list_pictures(folder: Path | str) -> list[Path]:
    """Pictures directly in `folder` by suffix, sorted by name; hidden files are left out. DataError if no folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError("no such folder", where=str(folder))
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def check_file_size(size: int, where: str, max_pixels: int) -> None:
    """DataError for more bytes than a picture of so many pixels can have."""
    if size > max_pixels * _FILE_BYTES_PER_PIXEL + _HEADER_BYTES:
        raise DataError(
            f"{size:,} bytes are more than any picture of {max_pixels:,} pixels has", where=where, hint=HOW_TO_RAISE
        )


def _read_bytes(path: Path | str, max_pixels: int | None) -> bytes:
    try:
        check_file_size(Path(path).stat().st_size, str(path), pixel_limit() if max_pixels is None else max_pixels)
        return Path(path).read_bytes()
    except OSError as fault:
        raise DataError(f"cannot read: {fault.strerror or fault}", where=str(path)) from fault


def _size_from_all(path: Path | str) -> tuple[int, int]:
    data = _read_bytes(path, None)
    try:
        return open_lazily(data).size
    except DECODE_ERRORS as fault:
        raise DataError(f"cannot decode: {_reason(fault)}", where=str(path), hint="replace or remove the file") from fault


def _refuse_bomb(size: tuple[int, int] | None, where: str, max_pixels: int, how_to_raise: str) -> None:
    if size is None:
        return
    width, height = size
    if width < 1 or height < 1:
        raise DataError(f"a picture of {width} x {height} pixels", where=where)
    if width * height > max_pixels:
        raise DataError(f"{width} x {height} pixels are more than the limit of {max_pixels:,}", where=where, hint=how_to_raise)


def _refuse_side(size: tuple[int, int], where: str) -> None:
    if max(size) > MAX_SIDE_OF_16_BITS:
        found = f"{size[0]} x {size[1]} pixels of 16 bits, expected at most {MAX_SIDE_OF_16_BITS:,} a side"
        raise DataError(found, where=where, hint="cut the picture, or convert it to 8 bits")


def _decode_16bit(data: bytes) -> np.ndarray:
    # Pillow reads 16-bit colour only after cutting it to 8 bit; OpenCV keeps it. Grey + alpha comes back as BGRA.
    import cv2

    # a damaged file becomes our one line; OpenCV's own lines on stderr would only bury it
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise Damaged("the 16-bit pixels are damaged or in a layout that OpenCV cannot read")
    if image.ndim == 2:
        return image[:, :, None]
    order = [2, 1, 0, 3][: image.shape[2]]
    return np.ascontiguousarray(image[:, :, order])


def _pixels(picture: ImageFile) -> np.ndarray:
    picture.load()
    mode = picture.mode
    if mode in ("I", "F"):
        raise Damaged(f"32-bit pixels (mode {mode}) are not supported; convert to 8 or 16 bit")
    wanted = mode
    if ("transparency" in picture.info and mode in ("P", "L", "RGB")) or mode == "PA":
        wanted = "RGBA"
    elif mode == "1":
        wanted = "L"
    elif mode not in ("L", "LA", "RGB", "RGBA", "I;16"):
        wanted = "RGB"
    image = np.asarray(picture if wanted == mode else picture.convert(wanted))
    return image[:, :, None] if image.ndim == 2 else image


def _reason(fault: BaseException) -> str:
    text = str(fault) or type(fault).__name__
    return text.splitlines()[0]

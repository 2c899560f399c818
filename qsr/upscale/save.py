"""A picture into a file of one of the four formats, with its profile, its EXIF and the mark of what made it.

The mark is in the file itself, so that results may be moved and nothing lies beside them: PNG a text chunk `qsr`, JPEG
the comment, TIFF the image description, WebP the EXIF tag ProcessingSoftware.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from qsr.data.formats import open_handle
from qsr.errors import DataError
from qsr.upscale.picture import ORIENTATION, Picture
from qsr.upscale.rowfile import LEVEL, PngRows, RowFile, TiffRows

KEY = "qsr"
DESCRIPTION, PROCESSING_SOFTWARE = 270, 0x000B
SIDE_LIMITS = {"jpg": 65_500, "webp": 16_383}
ROWS_AT_ONCE = 64
# Pillow's words where an encoder gets no memory; zlib, whose settings are always the same, fails to begin for no other reason
NO_MEMORY = ("out of memory", "codec configuration error")


def save(handle: BinaryIO, picture: Picture, kind: str, mark: str, quality: int = 95) -> None:
    """Write `picture` as `kind` (png, jpg, webp, tiff). 16 bits stay 16 in PNG and TIFF, are rounded to 8 in the others.

    Raises DataError where the format cannot hold it (too large, or alpha in JPEG), OSError where writing fails, MemoryError.
    """
    check(kind, *picture.pixels.shape[:2])
    if picture.pixels.dtype == np.uint16 and kind in ("png", "tiff"):
        rows = open_rows(handle, kind, picture.pixels.shape, picture.pixels.dtype, mark, picture.icc, picture.exif)
        for top in range(0, len(picture.pixels), ROWS_AT_ONCE):
            rows.write(picture.pixels[top : top + ROWS_AT_ONCE])
        rows.close()
        return
    pixels = _eight_bits(picture.pixels)
    if picture.alpha and kind == "jpg":
        pixels = without_alpha(pixels)
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    try:
        image.save(handle, **_how(picture, kind, mark, quality))
    except OSError as fault:
        if fault.errno is None and any(words in str(fault) for words in NO_MEMORY):
            raise MemoryError(f"while writing {kind}") from fault
        raise


def open_rows(
    handle: BinaryIO, kind: str, shape: tuple[int, ...], dtype: np.dtype[Any], mark: str,
    icc: bytes | None = None, exif: bytes | None = None,
) -> RowFile:  # fmt: skip
    """A PNG or TIFF of (height, width, channels) to be written row by row."""
    height, width, channels = shape
    if kind == "png":
        return PngRows(handle, width, height, channels, dtype, texts={KEY: mark}, icc=icc, exif=_bare(exif))
    return TiffRows(handle, width, height, channels, dtype, description=f"{KEY} {mark}", icc=icc)


def check(kind: str, height: int, width: int) -> None:
    """DataError for more pixels on a side than `kind` has room for."""
    limit = SIDE_LIMITS.get(kind)
    if limit is not None and max(height, width) > limit:
        raise DataError(
            f"{width}x{height} pixels are more than {kind} can hold ({limit:,} a side)", hint="--format png or tiff"
        )


def without_alpha(pixels: np.ndarray) -> np.ndarray:
    """The colours, where alpha says nothing. DataError where it does: it is not dropped behind anybody's back."""
    if (pixels[:, :, -1] != np.iinfo(pixels.dtype).max).any():
        raise DataError("has transparent parts, which jpg cannot hold", hint="--format png, webp or tiff")
    return np.ascontiguousarray(pixels[:, :, :-1])


def mark_of(path: Path) -> str | None:
    """The mark in a file that is there already; None for any other file, whatever it is."""
    try:
        with open(path, "rb") as handle:
            picture = open_handle(handle)
            info = picture.info
            if picture.format == "PNG":
                return info.get(KEY)
            if picture.format == "TIFF":
                text = picture.tag_v2.get(DESCRIPTION, "")  # type: ignore[attr-defined]
            elif picture.format == "JPEG":
                text = info.get("comment", b"").decode("latin-1")
            else:
                text = picture.getexif().get(PROCESSING_SOFTWARE, "")
    except (OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, ArithmeticError, MemoryError):
        return None
    return text.removeprefix(f"{KEY} ").strip("\0") if isinstance(text, str) and text.startswith(f"{KEY} ") else None


def _how(picture: Picture, kind: str, mark: str, quality: int) -> dict[str, Any]:
    """Arguments of Pillow's save."""
    how: dict[str, Any] = {"icc_profile": picture.icc} if picture.icc else {}
    if kind == "png":
        text = PngInfo()
        text.add_text(KEY, mark)
        return {"format": "PNG", "compress_level": LEVEL, "pnginfo": text, "exif": picture.exif or b"", **how}
    if kind == "tiff":
        tags = {DESCRIPTION: f"{KEY} {mark}"}
        return {"format": "TIFF", "compression": "tiff_adobe_deflate", "tiffinfo": tags, **how}
    if kind == "jpg":
        comment = f"{KEY} {mark}".encode()
        return {"format": "JPEG", "quality": quality, "subsampling": 0, "comment": comment, "exif": picture.exif or b"", **how}
    exif = Image.Exif()
    if picture.exif:
        exif.load(picture.exif)
    exif[ORIENTATION], exif[PROCESSING_SOFTWARE] = 1, f"{KEY} {mark}"
    return {"format": "WEBP", "quality": quality, "method": 4, "exif": exif.tobytes(), **how}


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _bare(exif: bytes | None) -> bytes | None:
    """As PNG wants it: without the marker that JPEG puts in front."""
    return exif.removeprefix(b"Exif\0\0") if exif else None

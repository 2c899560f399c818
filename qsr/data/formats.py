"""What the first bytes of a picture say, and whether its container is whole; no pixel is decoded here.

Pillow alone is not strict enough: it skips the CRC of PNG pixel chunks, and for WebP it reserves the whole canvas
before anyone could look at the size. OpenCV alone accepts most truncated JPEGs. So the container is walked first.

Not here: decoding (image.py).
"""

from __future__ import annotations

import struct
import warnings
import zlib
from io import BytesIO
from typing import BinaryIO, Literal

from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.ImageFile import ImageFile

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
TIFF_STRIPS, TIFF_STRIP_BYTES, TIFF_TILES, TIFF_TILE_BYTES, TIFF_BITS = 273, 279, 324, 325, 258

# Pillow warns on stderr about odd TIFF tags; what is wrong with a file is said once, in our error.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")

# Pillow's own classes instead of Image.open: only these five parsers ever see a stranger's bytes, and the pixel
# limit is ours (an argument) instead of a global of Pillow's.
_OPENERS: dict[str, type[ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}


class Damaged(ValueError):
    """The container is not whole or not one of ours; image.py adds the file's name and makes it a DataError."""


def sniff(head: bytes) -> str:
    """Format by content, never by file name; raises Damaged when it is none of the five."""
    if head.startswith(PNG_MAGIC):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith(b"BM"):
        return "BMP"
    if head[:4] in (b"II*\0", b"MM\0*"):
        return "TIFF"
    if not head:
        raise Damaged("the file is empty")
    raise Damaged("not a PNG, JPEG, WebP, BMP or TIFF picture")


def open_lazily(data: bytes) -> ImageFile:
    """Pillow's object with size and mode known and no pixel decoded; raises Damaged or one of Pillow's errors."""
    return open_handle(BytesIO(data))


def open_handle(handle: BinaryIO) -> ImageFile:
    """The same of an open file, of which no more than the header is read. It must stay open as long as the object."""
    kind = sniff(handle.read(12))
    handle.seek(0)
    return _OPENERS[kind](handle)


def quick_size(head: bytes) -> tuple[int, int] | None:
    """(width, height) from the first 64 bytes, for PNG and WebP; None where only a real parser can tell."""
    if head.startswith(PNG_MAGIC) and len(head) >= 24:
        return struct.unpack(">II", head[16:24])
    kind = head[12:16] if head[:4] == b"RIFF" and len(head) >= 30 else b""
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def check_whole(data: bytes, picture: ImageFile) -> None:
    """Raise Damaged when the container of `data` is cut short or fails its own checksums."""
    kind = sniff(data[:12])
    if kind == "PNG":
        _walk_png(data)
    elif kind == "JPEG":
        _find_jpeg_end(data)
    elif kind == "WebP":
        _expect_length(8 + int.from_bytes(data[4:8], "little"), data)
    elif kind == "BMP":
        # many writers leave the size field at 0; Pillow then finds the end of the pixels by itself
        _expect_length(int.from_bytes(data[2:6], "little"), data)
    elif isinstance(picture, TiffImagePlugin.TiffImageFile):
        _check_tiff_strips(data, picture)


def bits_per_channel(data: bytes, picture: ImageFile) -> int:
    """Bits of one channel as stored (Pillow's mode hides it for 16-bit colour PNG)."""
    if data.startswith(PNG_MAGIC):
        return data[24]
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        bits = picture.tag_v2.get(TIFF_BITS, (1,))
        return max(bits) if isinstance(bits, tuple) else int(bits)
    return 8


def _walk_png(data: bytes) -> None:
    at, seen_pixels = len(PNG_MAGIC), False
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            raise Damaged(f"cut short inside chunk {name!r} at byte {at}: {end - len(data)} bytes are missing")
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise Damaged(f"wrong checksum of chunk {name!r} at byte {at}")
        seen_pixels |= name == b"IDAT"
        if name == b"IEND":
            if not seen_pixels:
                raise Damaged("no pixel data")
            return
        at = end
    raise Damaged("cut short: the end chunk is missing")


def _find_jpeg_end(data: bytes) -> None:
    # Walk the segments to the first scan: a thumbnail inside EXIF has an end marker of its own.
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big") if marker != 0xFF else 1
        if marker == 0xDA:
            break
    # Inside a scan FF is always followed by 00 or a restart marker, so FF D9 can only be the end.
    if data.find(b"\xff\xd9", at) < 0:
        raise Damaged("cut short: the end marker is missing")


def _expect_length(wanted: int, data: bytes) -> None:
    if wanted > len(data):
        raise Damaged(f"cut short: {wanted} bytes announced, {len(data)} found")


def _check_tiff_strips(data: bytes, picture: TiffImagePlugin.TiffImageFile) -> None:
    _refuse_repeated_tags(data)
    tags = picture.tag_v2
    for offsets, counts in ((TIFF_STRIPS, TIFF_STRIP_BYTES), (TIFF_TILES, TIFF_TILE_BYTES)):
        for start, count in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False):
            _expect_length(start + count, data)


def _refuse_repeated_tags(data: bytes) -> None:
    """Of a tag that is there twice one decoder takes the first and another the last: the size that is checked and the one
    that is decoded have to be the same.
    """
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    begin = int.from_bytes(data[4:8], order) + 2
    tags = [
        int.from_bytes(data[at : at + 2], order)
        for at in range(begin, begin + 12 * int.from_bytes(data[begin - 2 : begin], order), 12)
    ]
    if len(set(tags)) < len(tags):
        raise Damaged("a tag of its directory is there twice")

"""Pictures that mean harm, and damage to good ones.

>>> data = damage(random.Random(1), good("PNG"), "PNG")
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np
from PIL import Image

KINDS = ("PNG", "JPEG", "WebP", "BMP", "TIFF")
FORMS = (
    "PNG",
    "PNG16",
    "PNG-palette",
    "PNG-exif",
    "JPEG",
    "JPEG-progressive",
    "WebP",
    "WebP-lossy",
    "BMP",
    "TIFF",
    "TIFF-lzw",
    "TIFF16",
)
SIZE = (20, 24)


@cache
def pixels(height: int = SIZE[0], width: int = SIZE[1], seed: int = 0) -> np.ndarray:
    """(h, w, 3) uint8: blocks of colour with some noise."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3)), np.ones((4, 4, 1)))[:height, :width]
    return np.clip(blocks + rng.integers(-8, 9, blocks.shape), 0, 255).astype(np.uint8)


@cache
def good(form: str, seed: int = 0) -> bytes:
    """A whole picture in one of FORMS."""
    image = pixels(seed=seed)
    if form.endswith("16"):
        return cv2.imencode(".png" if form == "PNG16" else ".tiff", image.astype(np.uint16) * 257)[1].tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    more: dict[str, dict[str, Any]] = {
        "WebP": {"lossless": True},
        "TIFF-lzw": {"compression": "tiff_lzw"},
        "JPEG": {"quality": 90, "exif": exif},
        "JPEG-progressive": {"progressive": True},
        "PNG-exif": {"exif": exif},
        "PNG-palette": {"transparency": 3},
    }
    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    (picture.quantize(32) if form == "PNG-palette" else picture).save(buffer, form.split("-")[0], **more.get(form, {}))
    return buffer.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


END = chunk(b"IEND", b"")


def png(*chunks: bytes, **how: int) -> bytes:
    return header(*SIZE[::-1], **how) + b"".join(chunks) + END


def rows(depth: int = 8, channels: int = 3) -> bytes:
    return chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(SIZE[1] * channels * depth // 8) for _ in range(SIZE[0]))))


def tiff(tags: dict[int, tuple[int, int, int]] | list[tuple[int, int, int, int]], data: bytes = b"", order: str = "<") -> bytes:
    """tags: (number, type, count, value) as they stand in the directory."""
    entries = [(tag, *rest) for tag, rest in tags.items()] if isinstance(tags, dict) else tags
    table = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries)) + table + bytes(4) + data


def tiff_of(width: int, height: int, *more: tuple[int, int, int, int], bits: int = 8) -> bytes:
    """Grey, one strip, its data behind the directory."""
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 0), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, 480), *more]
    begin = 8 + 2 + 12 * len(entries) + 4
    return tiff(sorted((tag, kind, count, begin if tag == 273 else value) for tag, kind, count, value in entries), bytes(960))


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new, 1)


def bombs() -> dict[str, Callable[[], bytes]]:
    """A few kB each that say they are of 2^32 pixels, or that unpack to as much."""
    h, w = SIZE
    webp = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\xff" * 2
    lossless = b"RIFF" + struct.pack("<I", 18) + b"WEBPVP8L" + struct.pack("<I", 6) + b"\x2f" + b"\xff" * 4 + b"\0"
    long = chunk(b"IDAT", zlib.compress(bytes(1 << 20), 9))
    return {
        "PNG": lambda: header(65535, 65535) + long + END,
        "PNG of 16 bits": lambda: header(65535, 65535, 16, 6) + long + END,
        "PNG of 2^31 - 1": lambda: header(2**31 - 1, 2**31 - 1, 1, 0) + long + END,
        "PNG whose second header is larger": lambda: png(header(65535, 65535)[8:], rows()),
        "JPEG": lambda: patched(good("JPEG"), struct.pack(">HH", h, w), struct.pack(">HH", 65535, 65535)),
        "JPEG, progressive": lambda: patched(
            good("JPEG-progressive"), struct.pack(">HH", h, w), struct.pack(">HH", 65535, 65535)
        ),
        "BMP": lambda: patched(good("BMP"), struct.pack("<ii", w, h), struct.pack("<ii", 65535, 65535)),
        "BMP upside down": lambda: patched(good("BMP"), struct.pack("<ii", w, h), struct.pack("<ii", 65535, -65535)),
        "TIFF": lambda: tiff_of(65535, 65535),
        "TIFF of 16 bits": lambda: tiff_of(65535, 65535, bits=16),
        "TIFF of two widths": lambda: tiff_of(24, 20, (256, 4, 1, 65535), (257, 4, 1, 65535), bits=16),
        "WebP": lambda: webp,
        "WebP, lossless": lambda: lossless,
    }


def odd() -> dict[str, Callable[[], bytes]]:
    """Not too large, but made to be expensive or to trip a parser: a picture or an error has to come of each."""
    upright = struct.pack("<4sIHHHIII", b"II*\0", 8, 1, 0x0112, 3, 1, 6, 0)
    text = zlib.compress(bytes(8 << 20), 9)
    return {
        "thousands of EXIF chunks": lambda: png(*[chunk(b"eXIf", upright)] * 5000, rows()),
        "text that unpacks to 8 MB, many times": lambda: png(*[chunk(b"zTXt", b"a\0\0" + text)] * 30, rows()),
        "a profile that unpacks to 8 MB": lambda: png(chunk(b"iCCP", b"a\0\0" + text), rows()),
        "empty chunks": lambda: png(*[chunk(b"teST", b"")] * 20_000, rows()),
        "EXIF in a loop": lambda: png(chunk(b"eXIf", struct.pack("<4sIHHHIII", b"II*\0", 8, 1, 0x8769, 4, 1, 8, 8)), rows()),
        "EXIF of negative numbers": lambda: png(
            chunk(b"eXIf", struct.pack("<4sIHHHIiI", b"II*\0", 8, 1, 0x0100, 9, 1, -5, 0)), rows()
        ),
        "EXIF of wrong types": lambda: png(
            chunk(b"eXIf", struct.pack("<4sIHHHIII", b"II*\0", 8, 1, 0x0112, 5, 1, 8, 0)), rows()
        ),
        "EXIF beyond its end": lambda: png(
            chunk(b"eXIf", struct.pack("<4sIHHHIII", b"II*\0", 8, 200, 0x0112, 3, 1, 6, 0)), rows()
        ),
        "no size": lambda: header(0, 0) + rows() + END,
        "pixels for another size": lambda: header(4000, 4000) + rows() + END,
        "many pixels in few bytes": lambda: header(2000, 2000) + chunk(b"IDAT", zlib.compress(bytes(100 << 20), 9)) + END,
        "bit depth 99": lambda: png(rows(), depth=99),
        "TIFF whose directory is itself": lambda: tiff([(330, 4, 1, 8), (256, 4, 1, 20)]),
        "TIFF of 65,535 entries": lambda: b"II*\0" + struct.pack("<IH", 8, 65535) + struct.pack("<HHII", 256, 4, 1, 8) * 65535,
        "TIFF of 2^32 strips": lambda: tiff_of(24, 20, (324, 4, 2**32 - 1, 8)),
        "TIFF of strange types": lambda: tiff(
            {256: (13, 1, 24), 257: (99, 1, 20), 258: (12, 1, 8), 273: (2, 1, 8), 279: (5, 1, 8)}
        ),
        "TIFF turned": lambda: tiff_of(24, 20, (274, 3, 1, 6)),
        "JPEG of segments": lambda: b"\xff\xd8" + b"\xff\xe1\0\x02" * 50_000 + good("JPEG")[2:],
        "JPEG that ends in markers": lambda: good("JPEG")[:-2] + b"\xff" * 100_000 + b"\xff\xd9",
        "JPEG without its size": lambda: b"\xff\xd8\xff\xda\0\x02" + bytes(100) + b"\xff\xd9",
        "BMP of a palette of 2^31": lambda: patched(good("BMP"), struct.pack("<HH", 1, 24), struct.pack("<HH", 1, 8)),
        "WebP of no frames": lambda: b"RIFF" + struct.pack("<I", 4) + b"WEBP",
    }


def damage(r: random.Random, data: bytes, form: str) -> bytes:
    """Cut short, bits flipped, numbers put in, pieces moved; of PNG, the chunks' checksums are often made to fit again."""
    made, kind = bytearray(data), r.randrange(8)
    if kind == 0:
        return bytes(made[: r.randrange(len(made))])
    if kind == 1:
        return bytes(made) + r.randbytes(r.choice((1, 100)))
    for _ in range(r.choice((1, 1, 2, 8))):
        place = r.randrange(len(made))
        if kind == 2:
            made[place : place + 4] = r.choice(
                (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\1\0\0")
            )
        elif kind == 3:
            del made[place : place + r.choice((1, 4, 30))]
        elif kind == 4:
            made[place:place] = made[r.randrange(len(made)) :][: r.choice((1, 12, 60))]
        elif kind == 5:
            made[min(place, len(made) - 1) % 64] = r.randrange(256)
        else:
            made[place] ^= 1 << r.randrange(8)
        if not made:
            break
    return mended(bytes(made)) if form.startswith("PNG") and r.random() < 0.7 else bytes(made)


def mended(data: bytes) -> bytes:
    """A PNG with the checksum of every chunk as it should be."""
    at, made = 8, data[:8]
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            break
        made += data[at : end - 4] + struct.pack(">I", zlib.crc32(data[at + 4 : end - 4]))
        at = end
    return made + data[at:]

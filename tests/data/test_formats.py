from __future__ import annotations

import io
import struct
import zlib

import pytest

from qsr.data.formats import Damaged, bits_per_channel, check_whole, open_handle, open_lazily, quick_size, sniff

KINDS = ("PNG", "PNG16", "JPEG", "WebP", "WebP-lossy", "BMP", "TIFF", "TIFF-lzw", "TIFF16")


@pytest.mark.parametrize("kind", KINDS)
def test_content_decides_the_format_and_a_whole_file_passes(kind, picture, encode):
    data = encode(picture(24, 28), kind)
    opened = open_lazily(data)
    check_whole(data, opened)
    assert sniff(data) == kind.split("-")[0].removesuffix("16")
    assert opened.size == (28, 24)
    assert bits_per_channel(data, opened) == (16 if kind.endswith("16") else 8)
    assert quick_size(data[:64]) in (None, (28, 24))


def test_of_an_open_file_only_the_header_is_read(picture, encode):
    handle = io.BytesIO(encode(picture(240, 280), "PNG"))
    assert open_handle(handle).size == (280, 240)
    assert handle.tell() < 100


@pytest.mark.parametrize("kind", ["PNG", "WebP", "WebP-lossy"])
def test_size_is_known_from_64_bytes_where_bombs_are_cheap(kind, picture, encode):
    assert quick_size(encode(picture(24, 28), kind)[:64]) == (28, 24)


@pytest.mark.parametrize("head", [b"", b"GIF89a" + bytes(40), b"%PDF-1.7", b"\x89PNG", b"RIFF\0\0\0\0WAVE"])
def test_anything_else_is_refused(head):
    with pytest.raises(Damaged):
        sniff(head)


def test_png_without_pixels_is_refused():
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")
    with pytest.raises(Damaged, match="no pixel data"):
        check_whole(data, None)


def test_png_checksum_error_names_chunk_and_byte(picture, encode):
    data = bytearray(encode(picture(24, 28), "PNG"))
    at = data.index(b"IDAT")
    data[at + 10] ^= 1
    with pytest.raises(Damaged, match=rf"chunk b'IDAT' at byte {at - 4}"):
        check_whole(bytes(data), None)


def test_end_marker_of_an_exif_thumbnail_does_not_count(picture, encode):
    plain = encode(picture(24, 28), "JPEG")
    thumbnail = encode(picture(8, 8), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail
    data = plain[:2] + segment + plain[2:-2]
    assert b"\xff\xd9" in data
    with pytest.raises(Damaged, match="end marker"):
        check_whole(data, None)


@pytest.mark.drill("D2")
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_tags_are_there_once(order):
    """Pillow takes the last of two widths, libtiff the first: the one that is checked would not be the one that is decoded."""
    entries = [(256, 4, 1, 2), (256, 4, 1, 60000), (257, 4, 1, 2), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 8), (279, 4, 1, 4)]
    for chosen, whole in ((entries, False), (entries[:1] + entries[2:], True)):
        table = b"".join(
            struct.pack(order + "HHI", tag, kind, count)
            + (struct.pack(order + "I", value) if kind == 4 else struct.pack(order + "HH", value, 0))
            for tag, kind, count, value in chosen
        )
        magic = b"II*\0" if order == "<" else b"MM\0*"
        data = magic + struct.pack(order + "IH", 8, len(chosen)) + table + bytes(4)
        if whole:
            check_whole(data, open_lazily(data))
        else:
            with pytest.raises(Damaged, match="a tag of its directory is there twice"):
                check_whole(data, open_lazily(data))

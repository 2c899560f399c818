from __future__ import annotations

import io
import random
import struct
import time
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from qsr.data import image
from qsr.errors import DataError

# what Pillow says about damaged TIFF tags on the way to our error
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")

KINDS = ("PNG", "PNG16", "JPEG", "WebP", "WebP-lossy", "BMP", "TIFF", "TIFF-lzw", "TIFF16")
LOSSLESS = tuple(kind for kind in KINDS if kind not in ("JPEG", "WebP-lossy"))


@pytest.mark.drill("D3")
@pytest.mark.parametrize("kind", LOSSLESS)
def test_every_lossless_format_gives_the_pixels_back(kind, tmp_path, picture, encode):
    wanted = picture(24, 28)
    path = tmp_path / "a.bin"  # content decides, not the name
    path.write_bytes(encode(wanted, kind))
    assert np.array_equal(image.read_rgb(path), wanted)


@pytest.mark.drill("D1")
@pytest.mark.parametrize("kind", KINDS)
def test_truncation_at_every_byte_is_an_error_that_names_the_file(kind, picture, encode):
    data = encode(picture(20, 20), kind)
    for length in range(len(data)):
        with pytest.raises(DataError, match=r"^folder/baby\.img: "):
            image.decode(data[:length], "folder/baby.img")


@pytest.mark.drill("D1")
@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_are_an_error_or_pixels_but_never_a_crash(kind, picture, encode):
    data = encode(picture(20, 20), kind)
    wanted = image.decode(data, "whole")
    rng = random.Random(20)
    flagged = same = 0
    for _ in range(200):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        try:
            found = image.decode(bytes(damaged), "damaged")
        except DataError:
            flagged += 1
        else:
            same += np.array_equal(found, wanted)
    # only PNG carries checksums of its own; for the others `qsr data check` compares the manifest (test_check.py)
    if kind.startswith("PNG"):
        assert flagged + same == 200
    else:
        assert flagged + same > 0


def _png_bomb(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1 << 20), 9)) + chunk(b"IEND", b"")


def _patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new, 1)


def _bombs(picture, encode) -> dict[str, bytes]:
    small = picture(16, 24)
    vp8x = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\xff" * 2
    return {
        "PNG": _png_bomb(65535, 65535),
        "JPEG": _patched(encode(small, "JPEG"), struct.pack(">HH", 16, 24), struct.pack(">HH", 65535, 65535)),
        "BMP": _patched(encode(small, "BMP"), struct.pack("<ii", 24, 16), struct.pack("<ii", 65535, 65535)),
        "TIFF": _patched(
            _patched(encode(small, "TIFF"), struct.pack("<HHII", 256, 4, 1, 24), struct.pack("<HHII", 256, 4, 1, 65535)),
            struct.pack("<HHII", 257, 4, 1, 16),
            struct.pack("<HHII", 257, 4, 1, 65535),
        ),
        "WebP": vp8x,
    }


@pytest.mark.drill("D2")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WebP"])
def test_header_bombs_are_refused_before_decoding(kind, picture, encode):
    bomb = _bombs(picture, encode)[kind]
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(DataError, match="more than the limit"):
        image.decode(bomb, "bomb")
    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 0.5
    assert peak < 4 << 20


@pytest.mark.drill("D2")
def test_limit_is_an_argument(tmp_path, picture):
    image.write_png(tmp_path / "a.png", picture(20, 20))
    assert image.read_rgb(tmp_path / "a.png", max_pixels=400).shape == (20, 20, 3)
    with pytest.raises(DataError, match=r"20 x 20 pixels are more than the limit of 399"):
        image.read_rgb(tmp_path / "a.png", max_pixels=399)


def _save(array: np.ndarray, mode: str | None = None, kind: str = "PNG", **extra) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(buffer, kind, **extra)
    return buffer.getvalue()


@pytest.mark.drill("D3")
def test_grey_is_replicated(picture):
    grey = picture(5, 7)[:, :, 0]
    data = _save(grey)
    assert image.decode(data, "g").shape == (5, 7, 1)
    assert np.array_equal(image.decode_rgb(data, "g"), np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.drill("D3")
def test_one_bit_becomes_black_and_white():
    bits = np.array([[0, 255], [255, 0]], np.uint8)
    assert np.array_equal(image.decode(_save(bits, "1"), "b")[:, :, 0], bits)


@pytest.mark.drill("D3")
def test_palette_is_expanded_with_its_transparency(picture):
    indexed = Image.fromarray(picture(12, 12)).quantize(8)
    buffer = io.BytesIO()
    indexed.save(buffer, "PNG", transparency=0)
    wanted = np.asarray(indexed.convert("RGB"))
    found = image.decode(buffer.getvalue(), "p")
    assert found.shape == (12, 12, 4)
    assert set(np.unique(found[:, :, 3])) == {0, 255}
    assert np.array_equal(image.decode_rgb(buffer.getvalue(), "p"), wanted)


@pytest.mark.drill("D3")
def test_alpha_is_dropped_not_blended(picture):
    colour = picture(6, 6)
    rgba = np.dstack((colour, np.zeros((6, 6), np.uint8)))
    assert np.array_equal(image.decode(_save(rgba), "a"), rgba)
    assert np.array_equal(image.decode_rgb(_save(rgba), "a"), colour)


@pytest.mark.drill("D3")
def test_sixteen_bit_is_kept_and_rounded_to_eight():
    values = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    grey = image.decode(_save(values), "w")
    assert grey.dtype == np.uint16
    assert np.array_equal(grey[:, :, 0], values)
    assert np.array_equal(image.to_rgb8(grey)[:, :, 0], np.round(values / 257).astype(np.uint8))
    colour = np.dstack((values, values[::-1], values.T))
    stored = cv2.imencode(".png", colour[:, :, ::-1])[1].tobytes()
    assert np.array_equal(image.decode(stored, "w"), colour)
    rgba = np.dstack((colour, values))
    stored = cv2.imencode(".png", rgba[:, :, [2, 1, 0, 3]])[1].tobytes()
    assert np.array_equal(image.decode(stored, "w"), rgba)


@pytest.mark.drill("D3")
def test_cmyk_is_converted_and_exif_rotation_is_not_applied(picture):
    colour = np.full((8, 12, 3), (10, 200, 60), np.uint8)
    found = image.decode_rgb(_save(colour, "CMYK", "JPEG", quality=95), "c")
    assert np.abs(found.astype(int) - colour).max() <= 4
    turned = Image.Exif()
    turned[0x0112] = 6
    assert image.decode_rgb(_save(picture(8, 12), None, "JPEG", exif=turned), "e").shape == (8, 12, 3)


@pytest.mark.drill("D3")
def test_tiff_is_the_one_format_whose_decoder_turns_the_pixels(picture):
    turned = Image.Exif()
    turned[0x0112] = 6  # to be seen turned by 90 degrees
    buffer = io.BytesIO()
    wanted = picture(4, 7)
    Image.fromarray(wanted).save(buffer, "TIFF", exif=turned)
    assert np.array_equal(image.decode(buffer.getvalue(), "a.tif"), np.rot90(wanted, -1))


@pytest.mark.drill("D3")
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 5)])
def test_small_and_odd_sizes(shape, picture, encode):
    for kind in KINDS:
        assert image.decode_rgb(encode(picture(*shape), kind), kind).shape == (*shape, 3)


@pytest.mark.drill("D3")
def test_32_bit_pixels_are_refused():
    with pytest.raises(DataError, match="32-bit"):
        image.decode(_save(np.ones((4, 4), np.float32), None, "TIFF"), "f")


@pytest.mark.drill("D1")
def test_opencvs_own_errors_are_ours(monkeypatch):
    def refuse(*arguments):
        raise cv2.error("assertion failed")

    monkeypatch.setattr(cv2, "imdecode", refuse)
    with pytest.raises(DataError, match=r"^w: cannot decode: the 16-bit pixels are damaged"):
        image.decode(_save(np.zeros((4, 4), np.uint16)), "w")


@pytest.mark.parametrize("kind", KINDS)
def test_size_comes_from_the_header(kind, tmp_path, picture, encode):
    path = tmp_path / "x"
    path.write_bytes(encode(picture(24, 28), kind))
    assert image.size_of(path) == (24, 28)


def test_size_behind_a_large_header(tmp_path, picture):
    path = tmp_path / "x.jpg"
    profile = random.Random(1).randbytes(200_000)  # four segments of an ICC profile before the size
    path.write_bytes(_save(picture(24, 28), None, "JPEG", icc_profile=profile))
    assert image.size_of(path) == (24, 28)


@pytest.mark.parametrize("function", [image.read_rgb, image.size_of])
def test_missing_and_foreign_files_are_named(function, tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.png: cannot read: No such file"):
        function(tmp_path / "nowhere.png")
    (tmp_path / "note.png").write_text("not a picture")
    with pytest.raises(DataError, match=r"note\.png: cannot decode: not a PNG"):
        function(tmp_path / "note.png")


def test_write_png_replaces_in_one_step(tmp_path, picture):
    path = tmp_path / "deep" / "a.png"
    image.write_png(path, picture(9, 9, 1))
    image.write_png(path, picture(9, 9, 2))
    assert np.array_equal(image.read_rgb(path), picture(9, 9, 2))
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_list_pictures_is_sorted_and_leaves_other_files_out(tmp_path):
    for name in ("b.PNG", "a.jpg", "notes.txt", ".hidden.png", "c.webp"):
        (tmp_path / name).touch()
    assert [p.name for p in image.list_pictures(tmp_path)] == ["a.jpg", "b.PNG", "c.webp"]
    with pytest.raises(DataError, match="no such folder"):
        image.list_pictures(tmp_path / "gone")


def test_what_opencv_would_refuse_is_told_before_it_is_asked(capfd):
    from qsr.upscale.rowfile import PngRows

    file = io.BytesIO()
    rows = PngRows(file, 1_000_001, 1, 3, np.uint16)
    rows.write(np.zeros((1, 1_000_001, 3), np.uint16))
    rows.close()
    with pytest.raises(DataError, match=r"1000001 x 1 pixels of 16 bits, expected at most 1,000,000 a side \(cut the picture"):
        image.decode(file.getvalue(), "wide.png")
    assert capfd.readouterr().err == ""

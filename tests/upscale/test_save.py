from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile
from upscale_fakes import colours, profile

from qsr.data.image import decode
from qsr.errors import DataError
from qsr.upscale.picture import Picture
from qsr.upscale.save import check, mark_of, save, without_alpha

MARK = "x2, model 0123456789ab"


def written(pixels: np.ndarray, kind: str, icc: bytes | None = None, exif: bytes | None = None) -> bytes:
    buffer = io.BytesIO()
    save(buffer, Picture(pixels, icc, exif), kind, MARK)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_and_tiff_keep_every_bit(tmp_path: Path, kind: str, dtype: type, channels: int) -> None:
    pixels = colours(70, 9, channels, dtype)
    assert np.array_equal(decode(written(pixels, kind), "test"), pixels)


@pytest.mark.parametrize("kind", ["png", "tiff", "jpg", "webp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_mark_profile_and_exif_are_in_the_file(tmp_path: Path, kind: str, dtype: type) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 1, "camera"
    path = tmp_path / "a"
    path.write_bytes(written(colours(20, 30, dtype=dtype), kind, profile(), exif.tobytes()))
    assert mark_of(path) == MARK
    opened = Image.open(path)
    assert opened.info["icc_profile"] == profile()
    if kind != "tiff":
        assert opened.getexif()[0x010F] == "camera"
    assert opened.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("kind", ["jpg", "webp"])
def test_lossy_formats_are_close_and_8_bits(kind: str) -> None:
    pixels = colours(40, 50, dtype=np.uint16)
    found = decode(written(pixels, kind), "test")
    assert found.dtype == np.uint8
    assert np.abs(found.astype(float) - pixels / 257).mean() < 5


def test_grey_stays_grey() -> None:
    for kind in ("png", "tiff", "jpg"):
        assert decode(written(colours(9, 9, 1), kind), "test").shape == (9, 9, 1)


def test_alpha_is_kept_or_said_to_be_in_the_way() -> None:
    assert decode(written(colours(9, 9, 4), "webp"), "test").shape == (9, 9, 4)
    with pytest.raises(DataError, match="transparent parts, which jpg cannot hold"):
        written(colours(9, 9, 4), "jpg")
    opaque = colours(9, 9, 4)
    opaque[:, :, 3] = 255
    assert decode(written(opaque, "jpg"), "test").shape == (9, 9, 3)
    assert without_alpha(opaque).shape == (9, 9, 3)


def test_sides_beyond_a_format() -> None:
    check("png", 100_000, 100_000)
    check("webp", 16_383, 16_383)
    with pytest.raises(DataError, match=r"16384x1 pixels are more than webp can hold \(16,383 a side\)"):
        check("webp", 1, 16_384)
    with pytest.raises(DataError, match="jpg"):
        check("jpg", 70_000, 1)


def test_other_files_have_no_mark(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert mark_of(path) is None
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP"):
        Image.fromarray(colours(5, 5)).save(path, kind)
        assert mark_of(path) is None
    path.write_bytes(b"no picture")
    assert mark_of(path) is None
    path.write_bytes(written(colours(5, 5), "png")[:40])
    assert mark_of(path) is None


@pytest.mark.parametrize("code", [-8, -9])
def test_an_encoder_without_memory_is_out_of_memory(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ImageFile._get_oserror(code, encoder=True)

    monkeypatch.setattr(Image.Image, "save", refuse)
    with pytest.raises(MemoryError):
        save(io.BytesIO(), Picture(np.zeros((4, 4, 3), np.uint8)), "png", "mark")

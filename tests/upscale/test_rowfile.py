from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from upscale_fakes import colours

from qsr.data.image import decode
from qsr.upscale import rowfile
from qsr.upscale.rowfile import PngRows, TiffRows

WRITERS = {"png": PngRows, "tiff": TiffRows}


def written(kind: str, pixels: np.ndarray, steps: tuple[int, ...] = (1, 7, 3), **more: object) -> bytes:
    """The file, its rows given in portions of changing size."""
    buffer = io.BytesIO()
    height, width, channels = pixels.shape
    rows = WRITERS[kind](buffer, width, height, channels, pixels.dtype, **more)
    at = turn = 0
    while at < height:
        rows.write(pixels[at : at + steps[turn % len(steps)]])
        at, turn = at + steps[turn % len(steps)], turn + 1
    rows.close()
    return buffer.getvalue()


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (37, 23)])
def test_others_read_what_was_written(kind: str, dtype: type, channels: int, size: tuple[int, int], monkeypatch) -> None:
    monkeypatch.setattr(rowfile, "STRIP_BYTES", 300)
    pixels = colours(*size, channels, dtype)
    data = written(kind, pixels)
    if kind == "tiff" and channels == 2:
        # OpenCV does not read grey + alpha TIFF, Pillow not with 16 bits: the raw samples instead
        pytest.importorskip("pyvips")
        import pyvips

        image = pyvips.Image.new_from_buffer(data, "")
        found = np.frombuffer(image.write_to_memory(), dtype).reshape(pixels.shape)
    else:
        found = decode(data, "test")
        if channels == 2:  # OpenCV gives grey + alpha as RGBA
            found = found[:, :, [0, -1]]
    assert np.array_equal(found, pixels)


def test_big_tiff_is_the_same_with_wider_numbers(monkeypatch) -> None:
    vips = pytest.importorskip("pyvips")
    monkeypatch.setattr(rowfile, "CLASSIC_TIFF", 100)
    pixels = colours(40, 50)
    data = written("tiff", pixels, description="qsr x2")
    assert data[:4] == b"II\x2b\0"
    image = vips.Image.new_from_buffer(data, "")
    assert np.array_equal(np.frombuffer(image.write_to_memory(), np.uint8).reshape(pixels.shape), pixels)
    assert image.get("image-description") == "qsr x2"


def test_texts_profile_and_exif_are_in_the_png() -> None:
    from PIL import Image

    profile = bytes(200)
    exif = Image.Exif()
    exif[0x010F] = "camera"
    data = written("png", colours(4, 5), texts={"qsr": "x2"}, icc=profile, exif=exif.tobytes().removeprefix(b"Exif\0\0"))
    opened = Image.open(io.BytesIO(data))
    opened.load()
    assert opened.info["qsr"] == "x2"
    assert opened.info["icc_profile"] == profile
    assert opened.getexif()[0x010F] == "camera"


@pytest.mark.parametrize("kind", WRITERS)
def test_rows_too_many_or_too_few_are_refused(kind: str) -> None:
    rows = WRITERS[kind](io.BytesIO(), 5, 4, 3, np.uint8)
    with pytest.raises(ValueError, match="expected at most 4"):
        rows.write(colours(5, 5))
    rows.write(colours(3, 5))
    with pytest.raises(ValueError, match="1 rows are missing"):
        rows.close()


def test_a_tiff_is_compressed() -> None:
    assert len(written("tiff", np.zeros((100, 100, 3), np.uint8))) < 1000
    assert cv2.imdecode(np.frombuffer(written("tiff", colours(9, 9)), np.uint8), cv2.IMREAD_UNCHANGED).shape == (9, 9, 3)

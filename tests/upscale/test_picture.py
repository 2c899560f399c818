"""Pictures come in upright, whatever the format, depth and version of the decoder."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile
from upscale_fakes import colours, profile

from qsr.errors import DataError
from qsr.upscale.picture import BIG_TIFF, UPRIGHT, fitting_profile, outline, read

STORED = colours(5, 8)


def save(path: Path, pixels: np.ndarray, orientation: int = 1, **how: object) -> Path:
    """By Pillow, with an EXIF orientation (TIFF: the tag)."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if path.suffix == ".tif":
        image.save(path, tiffinfo={274: orientation}, **how)
    else:
        exif = Image.Exif()
        exif[0x0112], exif[0x010F] = orientation, "camera"
        image.save(path, exif=exif, **how)
    return path


@pytest.mark.drill("D3")
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["a.png", "a.tif", "a.webp"])
def test_orientation_is_applied_once(tmp_path: Path, kind: str, orientation: int) -> None:
    how = {"lossless": True} if kind == "a.webp" else {}
    picture = read(save(tmp_path / kind, STORED, orientation, **how))
    # Pillow's own table as the witness
    with Image.open(save(tmp_path / "b.png", STORED, orientation)) as stored:
        assert np.array_equal(picture.pixels, np.asarray(ImageOps.exif_transpose(stored)))


@pytest.mark.drill("D3")
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["a.png", "a.tif"])
def test_orientation_of_16_bits(tmp_path: Path, kind: str, orientation: int) -> None:
    stored = colours(5, 8, 1, np.uint16)
    picture = read(save(tmp_path / kind, stored, orientation))
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(picture.pixels, UPRIGHT.get(orientation, lambda x: x)(stored))


@pytest.mark.drill("D3")
@pytest.mark.parametrize(("magic", "order"), [(b"II*\0", "<"), (b"MM\0*", ">")])
def test_orientation_in_both_byte_orders(tmp_path: Path, magic: bytes, order: str) -> None:
    data = STORED.tobytes()
    shorts = {258: 8, 259: 1, 262: 2, 274: 6, 277: 3}
    longs = {256: 8, 257: 5, 273: 8 + 2 + 12 * 10 + 4, 278: 5, 279: len(data)}
    table = b"".join(
        struct.pack(order + "HHI", tag, 3, 1) + struct.pack(order + "HH", shorts[tag], 0)
        if tag in shorts
        else struct.pack(order + "HHII", tag, 4, 1, longs[tag])
        for tag in sorted([*shorts, *longs])
    )
    head = magic + struct.pack(order + "IH", 8, 10)
    (tmp_path / "a.tif").write_bytes(head + table + bytes(4) + data)
    assert np.array_equal(read(tmp_path / "a.tif").pixels, np.rot90(STORED, -1))


def test_exif_goes_along_upright_and_without_the_old_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    details = exif.get_ifd(0x8769)
    details[0xA002], details[0xA003], details[0x9003] = 8, 5, "2026:01:02 03:04:05"
    Image.fromarray(STORED).save(tmp_path / "a.jpg", exif=exif)
    kept = Image.Exif()
    kept.load(read(tmp_path / "a.jpg").exif)
    assert dict(kept) | {0x8769: 0} == {0x0112: 1, 0x010F: "camera", 0x8769: 0}
    assert dict(kept.get_ifd(0x8769)) == {0x9003: "2026:01:02 03:04:05"}


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.drill("D3")
@pytest.mark.parametrize("count", [1, 3])
def test_exif_behind_the_pixels(tmp_path: Path, count: int) -> None:
    """PNG allows it there; of several blocks the last one counts, and all are left out of what is decoded."""
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = save(tmp_path / "a.png", STORED)
    Image.fromarray(STORED).save(whole)
    data = whole.read_bytes()
    blocks = b"".join(chunk(b"eXIf", exif.tobytes()[6:]) for _ in range(count))
    whole.write_bytes(data[:-12] + blocks + data[-12:])
    assert np.array_equal(read(whole).pixels, np.rot90(STORED, -1))


@pytest.mark.drill("D2")
def test_a_picture_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for its EXIF, Pillow decodes a PNG that has none: of 65535 x 65535 pixels, before anybody looked at the size."""
    decoded = []
    prepare = PngImageFile.load_prepare
    monkeypatch.setattr(PngImageFile, "load_prepare", lambda self: decoded.append(1) or prepare(self))
    path = tmp_path / "a.png"
    Image.fromarray(STORED).save(path)
    assert np.array_equal(read(path).pixels, STORED)
    assert len(decoded) == 1


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + bytes(40)])
def test_damaged_exif_is_left_behind(tmp_path: Path, block: bytes) -> None:
    Image.fromarray(STORED).save(tmp_path / "a.jpg", exif=block)
    picture = read(tmp_path / "a.jpg")
    assert picture.pixels.shape == (5, 8, 3)
    assert picture.exif is None


@pytest.mark.drill("D3")
@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4), ("P", 3), ("1", 1), ("CMYK", 3)])
def test_channels(tmp_path: Path, mode: str, channels: int) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(STORED).convert(mode).save(path, icc_profile=profile(b"CMYK" if mode == "CMYK" else b"RGB "))
    picture = read(path)
    assert picture.pixels.shape == (5, 8, channels)
    # the profile of other colours than these would be a lie
    assert (picture.icc is not None) == (channels >= 3 and mode != "CMYK")
    assert picture.alpha == (channels in (2, 4))


@pytest.mark.drill("D3")
def test_a_palette_with_transparency_has_alpha(tmp_path: Path) -> None:
    Image.fromarray(STORED).convert("P").save(tmp_path / "a.png", transparency=3)
    assert read(tmp_path / "a.png").pixels.shape == (5, 8, 4)


def test_profiles() -> None:
    assert fitting_profile(profile(), 3) == fitting_profile(profile(), 4) == profile()
    assert fitting_profile(profile(b"GRAY"), 1) == profile(b"GRAY")
    assert fitting_profile(profile(b"GRAY"), 3) is fitting_profile(profile(), 2) is fitting_profile(b"short", 3) is None
    assert fitting_profile(None, 3) is fitting_profile(bytes(1 << 25), 3) is None


@pytest.mark.drill("D1")
@pytest.mark.parametrize(("cut", "why"), [(0, "empty"), (20, "cannot decode"), (-20, "cut short")])
def test_broken_files_are_named(tmp_path: Path, cut: int, why: str) -> None:
    path = save(tmp_path / "a.png", STORED)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=f"a.png: .*{why}"):
        read(path)
    if why != "cut short":  # that one's header is whole
        with pytest.raises(DataError, match="a.png: cannot decode"):
            outline(path)


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", STORED)
    with pytest.raises(DataError, match="more than the limit of 39"):
        read(path, max_pixels=39)
    with open(path, "ab") as handle:
        handle.truncate(1 << 20)
    with pytest.raises(DataError, match="more than any picture of 40 pixels"):
        read(path, max_pixels=40)
    with pytest.raises(DataError, match="No such file"):
        read(tmp_path / "gone.png")
    with pytest.raises(DataError, match="gone.png: cannot read: No such file"):
        outline(tmp_path / "gone.png")


def test_outline(tmp_path: Path) -> None:
    assert outline(save(tmp_path / "a.png", STORED)) == outline(save(tmp_path / "a.jpg", STORED))
    found = outline(save(tmp_path / "b.tif", colours(5, 8, 1, np.uint16)))
    assert (found.width, found.height, found.itemsize, found.big_tiff) == (8, 5, 2, False)
    vips = pytest.importorskip("pyvips")
    vips.Image.new_from_array(STORED).tiffsave(str(tmp_path / "c.tif"), bigtiff=True)
    assert (tmp_path / "c.tif").read_bytes()[:4] in BIG_TIFF
    found = outline(tmp_path / "c.tif")
    assert (found.width, found.height, found.big_tiff) == (8, 5, True)


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_animations_are_not_cut_to_their_first_frame(tmp_path: Path, kind: str) -> None:
    first, second = (Image.fromarray(colours(5, 8, seed=seed)) for seed in (1, 2))
    first.save(tmp_path / f"a.{kind}", save_all=True, append_images=[second])
    with pytest.raises(DataError, match="an animation, expected one picture"):
        outline(tmp_path / f"a.{kind}")
    # further pages of a TIFF are no reason
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    assert outline(tmp_path / "a.tif").width == 8

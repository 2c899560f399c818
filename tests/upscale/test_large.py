"""Pictures streamed through pyvips give what the whole picture gives. The full size: benchmarks/stream_large.py."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from upscale_fakes import Nearest, colours, larger, profile

from qsr.data.image import decode
from qsr.errors import DataError, EnvironmentFault
from qsr.upscale import large
from qsr.upscale.enlarge import Way, enlarge, enlarge_alpha
from qsr.upscale.large import Alpha, Rows, bounded_tile, is_large, upscale_large
from qsr.upscale.picture import Outline, read

try:
    import pyvips
except (ImportError, OSError):
    pyvips = None
needs_vips = pytest.mark.skipif(pyvips is None, reason="pyvips is not installed: pip install 'qsr[large]'")


def write(path: Path, pixels: np.ndarray, **how: object) -> Path:
    """By libvips, as tiles where it is a TIFF."""
    interpretation = {1: "b-w", 2: "b-w", 3: "srgb", 4: "srgb"}[pixels.shape[2]]
    if pixels.dtype == np.uint16:
        interpretation = {"b-w": "grey16", "srgb": "rgb16"}[interpretation]
    image = pyvips.Image.new_from_array(pixels).copy(interpretation=interpretation)
    if path.suffix == ".tif":
        how = {"tile": True, "tile_width": 32, "tile_height": 16, "compression": "deflate", **how}
    image.write_to_file(str(path), **how)
    return path


def streamed(network: Nearest, source: Path, kind: str = "png", way: Way = Way()) -> np.ndarray:  # noqa: B008
    buffer, ticks = io.BytesIO(), []
    height, width = upscale_large(network, source, buffer, kind, "mark", way, ticks.append)
    assert sum(ticks) == height * width
    return decode(buffer.getvalue(), "test")


def test_limits() -> None:
    assert not is_large(Outline(4096, 4096, 1), 2)
    assert is_large(Outline(4096, 4096, 2), 2)
    assert is_large(Outline(4096, 4096, 1), 4)
    assert is_large(Outline(1, 1, 1, big_tiff=True), 2)


@pytest.mark.drill("M1")
@pytest.mark.parametrize("scale", [2, 4])
def test_a_strip_stays_within_its_bytes(scale: int) -> None:
    tile = bounded_tile(Nearest(scale), (32768, 32768, 3), np.dtype(np.uint8), Way())
    assert tile >= large.LEAST_TILE
    assert tile * 32768 * 3 * scale**2 <= large.STRIP_BYTES
    floats = bounded_tile(Nearest(scale), (32768, 32768, 3), np.dtype(np.uint16), Way())
    assert floats >= large.LEAST_TILE
    assert floats < tile or tile == large.LEAST_TILE
    assert bounded_tile(Nearest(), (32768, 32768, 3), np.dtype(np.uint8), Way(tile=48)) == 48


def test_without_pyvips_the_way_to_get_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvips", None)
    with pytest.raises(EnvironmentFault, match=r"qsr\[large\]"):
        Rows(tmp_path / "a.png")


@needs_vips
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_streamed_is_the_whole(network: Nearest, tmp_path: Path, name: str, dtype: type, channels: int) -> None:
    pixels = colours(150, 70, channels, dtype)
    made = streamed(network, write(tmp_path / name, pixels))
    assert made.dtype == dtype
    assert np.array_equal(made[:, :, [0, -1]] if channels == 2 else made, enlarge(network, pixels))


@needs_vips
@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.tif"])
def test_other_inputs(network: Nearest, tmp_path: Path, name: str) -> None:
    write(tmp_path / name, colours(100, 70))
    made = streamed(network, tmp_path / name, "tiff")
    # two JPEG decoders may differ in the last bit
    assert np.abs(made.astype(int) - larger(read(tmp_path / name).pixels)).max() <= (3 if name == "a.jpg" else 0)


@needs_vips
@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_orientation(network: Nearest, tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {"tiffinfo": {274: orientation}} if name == "a.tif" else {"exif": exif}
    Image.fromarray(colours(90, 70)).save(tmp_path / name, **how)
    assert np.array_equal(streamed(network, tmp_path / name), larger(read(tmp_path / name).pixels))


@needs_vips
def test_big_tiff_and_profile(network: Nearest, tmp_path: Path) -> None:
    Image.fromarray(colours(20, 30)).save(tmp_path / "a.png", icc_profile=profile())
    image = pyvips.Image.new_from_file(str(tmp_path / "a.png"))
    image.write_to_file(str(tmp_path / "a.tif"), bigtiff=True)
    buffer = io.BytesIO()
    upscale_large(network, tmp_path / "a.tif", buffer, "png", "mark", Way())
    opened = Image.open(buffer)
    assert opened.info["icc_profile"] == profile()
    assert opened.info["qsr"] == "mark"
    assert np.array_equal(np.asarray(opened), larger(colours(20, 30)))


@pytest.mark.drill("F8")
@needs_vips
@pytest.mark.parametrize("name", ["a[page=3].tif", "-a.png", "new\nline.png", "ü\udcff.png", "a.png[access=random]"])
def test_names_are_only_names(network: Nearest, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = "a.tif" if ".tif" in name else "a.png"
    write(tmp_path / kind, colours(20, 30)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert streamed(network, Path(name)).shape == (40, 60, 3)


@needs_vips
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_a_cut_file_is_refused(network: Nearest, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, colours(300, 300))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DataError, match=f"{name}: cannot decode"):
        streamed(network, path)


@needs_vips
@pytest.mark.parametrize(("content", "why"), [(b"<svg/>", "not a PNG"), (b"", "not a PNG"), (b"\x89PNG\r\n", "cannot decode")])
def test_other_files_are_refused(network: Nearest, tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=why):
        streamed(network, tmp_path / "a.png")


@needs_vips
def test_floats_are_refused(network: Nearest, tmp_path: Path) -> None:
    pyvips.Image.black(9, 9, bands=3).cast("float").write_to_file(str(tmp_path / "a.tif"))
    with pytest.raises(DataError, match="expected 8 or 16 bit"):
        streamed(network, tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"gone.png: cannot read: No such file"):
        streamed(network, tmp_path / "gone.png")


def test_what_cannot_be_streamed_is_said_first(network: Nearest, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written as jpg"):
        streamed(network, tmp_path / "gone.png", "jpg")
    with pytest.raises(DataError, match="--self-ensemble"):
        streamed(network, tmp_path / "gone.png", way=Way(ensemble=True))
    network.whole_picture = True
    with pytest.raises(DataError, match="looks at the whole picture"):
        streamed(network, tmp_path / "gone.png")


@needs_vips
@pytest.mark.parametrize("steps", [(1,), (5, 1, 30), (100,)])
def test_alpha_in_strips_is_alpha_at_once(tmp_path: Path, steps: tuple[int, ...]) -> None:
    pixels = colours(60, 9, 4, seed=3)
    pixels[:, :, 3] = np.random.default_rng(3).integers(0, 256, (60, 9))
    alpha = Alpha(Rows(write(tmp_path / "a.png", pixels)), 3)
    strips, left, turn = [], 60, 0
    while left:
        count = min(steps[turn % len(steps)], left)
        strips.append(alpha.next(count))
        left, turn = left - count, turn + 1
    assert np.array_equal(np.concatenate(strips)[:, :, 0], enlarge_alpha(pixels[:, :, 3], 3))


@pytest.mark.drill("M1")
@needs_vips
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_rows_are_read_and_written_as_they_come(
    network: Nearest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The picture is never in memory: what has been read and not yet been written stays a few strips, however high it is."""
    read = written = most = 0
    following = Rows.next

    def counted(rows: Rows, count: int) -> np.ndarray:
        nonlocal read, most
        made = following(rows, count)
        read += len(made)
        most = max(most, read - written)
        return made

    def tick(pixels: int) -> None:
        nonlocal written
        written += pixels // (4 * 9)

    monkeypatch.setattr(Rows, "next", counted)
    source = write(tmp_path / "a.tif", colours(4000, 9))
    upscale_large(network, source, io.BytesIO(), kind, "mark", Way(), tick)
    assert (read, written) == (4000, 4000)
    assert most <= 3 * large.ROWS_AT_ONCE


@pytest.mark.drill("M1")
@needs_vips
def test_4096_by_4096(network: Nearest, tmp_path: Path) -> None:
    tile = colours(256, 512)
    image = pyvips.Image.new_from_array(tile).replicate(8, 16).copy(interpretation="srgb")
    image.write_to_file(str(tmp_path / "a.tif"), tile=True, compression="jpeg", Q=90)
    with open(tmp_path / "b.tif", "wb") as handle:
        assert upscale_large(network, tmp_path / "a.tif", handle, "tiff", "mark", Way()) == (8192, 8192)
    made = pyvips.Image.new_from_file(str(tmp_path / "b.tif"))
    corner = np.frombuffer(made.crop(8000, 8000, 192, 192).write_to_memory(), np.uint8).reshape(192, 192, 3)
    source = pyvips.Image.new_from_file(str(tmp_path / "a.tif")).crop(4000, 4000, 96, 96)
    assert np.array_equal(corner, larger(np.frombuffer(source.write_to_memory(), np.uint8).reshape(96, 96, 3)))

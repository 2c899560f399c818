"""Pictures that do not fit in memory: rows in through pyvips (extra `large`), strips through the network, rows out.

The network's own `rows` sees to it that strips give what the whole picture would have given. A network that averages
over the whole picture cannot be used on parts of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from qsr.errors import DataError, EnvironmentFault, OutOfMemory
from qsr.upscale.enlarge import Network, Tick, Tile, Way, enlarge_alpha, from_output, silent, to_input
from qsr.upscale.picture import BIG_TIFF, Outline, Picture, fitting_profile
from qsr.upscale.save import open_rows

STREAM_BYTES = 512 << 20
"""Pictures whose pixels, the read and the written together, need more than this are streamed."""
STRIP_BYTES = 256 << 20
"""Of the result, as the network gives it: 682 rows of the input at x2 where it is 32768 wide, 170 at x4."""
RUN_BYTES = 384 << 20
LARGEST_TILE, LEAST_TILE = 1024, 64  # and the step between
ROWS_AT_ONCE = 64
log = logging.getLogger(__name__)
KINDS = ("png", "tiff")
READERS = {b"\x89PNG": "pngload_source", b"\xff\xd8\xff": "jpegload_source", b"RIFF": "webpload_source",
           b"II*\0": "tiffload_source", b"MM\0*": "tiffload_source", **dict.fromkeys(BIG_TIFF, "tiffload_source")}  # fmt: skip
BANDS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb": 3, "rgb16": 3}


def is_large(shape: Outline, scale: int) -> bool:
    """Whether a picture is better streamed; four channels are assumed, the header of some formats does not say."""
    return shape.big_tiff or shape.width * shape.height * shape.itemsize * 4 * (1 + scale**2) > STREAM_BYTES


def library(what: str = "pictures of this size") -> Any:
    """pyvips, or an EnvironmentFault that says what it is needed for and how to get it."""
    try:
        import pyvips
    except (ImportError, OSError) as fault:  # OSError: the package without its C library
        raise EnvironmentFault(f"{what} need pyvips, which is not installed", hint="pip install 'qsr[large]'") from fault
    logging.getLogger("pyvips").setLevel(logging.ERROR)  # warnings about odd profiles and tags
    # no cache of results: nothing is asked for twice, and it would hold pixels
    pyvips.cache_set_max(0)
    return pyvips


class Rows:
    """The rows of a picture in order. shape: (height, width, channels), upright; dtype; icc as in Picture."""

    def __init__(self, path: Path) -> None:
        """Raises DataError for what cannot be read or is not 8 or 16 bit grey or colour."""
        self._vips, self._path = library(), path
        try:
            with open(path, "rb") as handle:
                head = handle.read(4)
            reader = next((name for magic, name in READERS.items() if head.startswith(magic)), None)
            if reader is None:
                raise DataError("not a PNG, JPEG, WebP or TIFF picture", where=str(path))
            image = self._opened(reader, "sequential")
            if "orientation" in image.get_fields() and image.get("orientation") > 1:
                image = self._opened(reader, "random").autorot()  # PNG and JPEG are unpacked into a temporary file then
            image = self._usual(image)
        except OSError as fault:
            raise DataError(f"cannot read: {fault.strerror}", where=str(path)) from fault
        except self._vips.Error as fault:
            raise self._damaged(fault) from fault
        self.shape = (image.height, image.width, image.bands)
        self.dtype = np.dtype(np.uint16 if image.format == "ushort" else np.uint8)
        profile = image.get("icc-profile-data") if "icc-profile-data" in image.get_fields() else None
        self.icc = fitting_profile(profile, image.bands)
        self._region, self._at = self._vips.Region.new(image), 0

    def _opened(self, reader: str, access: str) -> Any:
        # by its own reader and an open file: a general one reads [options] in names, and dozens of other formats
        with open(self._path, "rb") as handle:
            source = self._vips.Source.new_from_descriptor(handle.fileno())  # it makes a copy of the descriptor
        return getattr(self._vips.Image, reader)(source, access=access, fail_on="error")

    def _usual(self, image: Any) -> Any:
        if image.interpretation == "cmyk":
            image = image.colourspace("srgb")
        colours = BANDS.get(image.interpretation)
        if image.format not in ("uchar", "ushort") or colours is None or image.bands - colours not in (0, 1):
            found = f"{image.bands} bands of {image.format}, {image.interpretation}"
            raise DataError(f"found {found}, expected 8 or 16 bit grey or RGB", where=str(self._path))
        return image

    def __iter__(self) -> Iterator[NDArray[Any]]:
        while self._at < self.shape[0]:
            yield self.next(ROWS_AT_ONCE)

    def next(self, rows: int) -> NDArray[Any]:
        """The next (rows, width, channels), fewer at the end. Raises DataError where the file is damaged."""
        height, width, bands = self.shape
        rows = min(rows, height - self._at)
        if not rows:
            return np.empty((0, width, bands), self.dtype)
        try:
            data = self._region.fetch(0, self._at, width, rows)
        except self._vips.Error as fault:
            raise self._damaged(fault) from fault
        self._at += rows
        return np.frombuffer(data, self.dtype).reshape(rows, width, bands)

    def _damaged(self, fault: Exception) -> DataError:
        text = " ".join(str(fault).split())
        return DataError(f"cannot decode: {text}", where=str(self._path), hint="replace or remove the file")


def read_at_once(path: Path) -> Picture:
    """A picture of 16 bits, whole, where OpenCV is not installed; EXIF stays behind. Raises as Rows."""
    library("pictures of 16 bits")
    rows = Rows(path)
    return Picture(rows.next(rows.shape[0]), rows.icc)


def upscale_large(
    network: Network, source: Path, handle: BinaryIO, kind: str, mark: str, way: Way, tick: Tick = silent
) -> tuple[int, int]:
    """Write the enlarged picture to `handle`; (height, width) of it. tick: pixels done, after each strip.

    Raises DataError for files that cannot be read or formats that cannot be streamed, OSError where writing fails.
    """
    if kind not in KINDS:
        raise DataError(f"a picture of this size cannot be written as {kind}", where=str(source), hint="--format png or tiff")
    if network.whole_picture:
        raise DataError("this network looks at the whole picture at once, and this one does not fit", where=str(source))
    if way.ensemble:
        raise DataError("--self-ensemble needs the whole picture in memory, and this one does not fit", where=str(source))
    rows, done = Rows(source), 0
    tile = bounded_tile(network, rows.shape, rows.dtype, way)
    del rows

    def counted(pixels: int) -> None:
        nonlocal done
        done += pixels
        tick(pixels)

    while True:
        try:
            return _stream(network, source, handle, kind, mark, tile, way.depth, counted)
        except (MemoryError, OutOfMemory) as fault:
            if way.tile != "auto" or not isinstance(tile, int) or tile <= LEAST_TILE:
                raise OutOfMemory(f"out of memory at tile {tile}", where=str(source), hint=_advice(way)) from fault
            smaller = max(tile // 2, LEAST_TILE)
            log.warning("%s: out of memory at tile %d, once more with %d", source, tile, smaller)
            tile = smaller
        # from the beginning: what was read ahead is gone
        counted(-done)
        handle.seek(0)
        handle.truncate()


def _advice(way: Way) -> str:
    return "free some, or use a smaller network" if way.tile == "auto" else "--tile auto, or a smaller tile"


def _stream(
    network: Network, source: Path, handle: BinaryIO, kind: str, mark: str, tile: Tile, depth: int | None, tick: Tick
) -> tuple[int, int]:
    rows = Rows(source)
    height, width, channels = rows.shape
    scale = network.scale
    # read a second time, at its own pace: how far the network reads ahead is its own business
    alpha = Alpha(Rows(source), scale) if channels in (2, 4) else None
    out = open_rows(handle, kind, (height * scale, width * scale, channels), rows.dtype, mark, rows.icc)
    for band in network.rows((to_input(strip) for strip in rows), width, height, tile, depth):
        for top in range(0, len(band), ROWS_AT_ONCE * scale):  # whole rows of the input: bands are
            made = from_output(band[top : top + ROWS_AT_ONCE * scale], channels, rows.dtype)
            out.write(made if alpha is None else np.concatenate([made, alpha.next(len(made) // scale)], axis=2))
            tick(made.shape[0] * made.shape[1])
    out.close()
    return height * scale, width * scale


def bounded_tile(network: Network, shape: tuple[int, int, int], dtype: np.dtype[Any], way: Way) -> Tile:
    """What is asked for, else a tile so that a strip of the result is within STRIP_BYTES and a run within RUN_BYTES."""
    if way.tile != "auto":
        return way.tile
    height, width, _ = shape
    row_bytes = network.scale**2 * width * 3 * (1 if dtype == np.uint8 else 4)
    tile = LARGEST_TILE
    while tile > LEAST_TILE and (tile * row_bytes > STRIP_BYTES or network.memory(height, width, tile, way.depth) > RUN_BYTES):
        tile -= LEAST_TILE
    return tile


class Alpha:
    """The last channel of a picture, enlarged by bicubic interpolation, in strips equal to the whole."""

    AROUND = 2  # pixels that bicubic interpolation looks at

    def __init__(self, rows: Rows, scale: int) -> None:
        self._rows, self._scale = rows, scale
        self._kept = rows.next(0)[:, :, -1]
        self._first = self._top = 0  # the first row in memory, the next to give

    def next(self, count: int) -> NDArray[Any]:
        """Of the next `count` rows of the input: (s count, s w, 1)."""
        begin = max(0, self._top - self.AROUND)
        end = self._top + count + self.AROUND
        fresh = self._rows.next(end - self._first - len(self._kept))[:, :, -1]
        self._kept, self._first = np.concatenate([self._kept[begin - self._first :], fresh]), begin
        made = enlarge_alpha(self._kept, self._scale)
        top = (self._top - begin) * self._scale
        self._top += count
        return made[top : top + count * self._scale, :, None]

"""PNG and TIFF files written row by row, 8 or 16 bits, 1 to 4 channels: what Pillow cannot (16-bit colour) or only at once.

    with open(path, "wb") as handle:
        rows = PngRows(handle, width, height, channels=3, dtype=np.uint8)
        rows.write(pixels)          # (n, width, channels), any number of times
        rows.close()

Both need no more memory than what they are given at once plus one strip.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    from concurrent.futures import Future

STRIP_BYTES = 1 << 20  # of a TIFF strip before compression
CLASSIC_TIFF = 0xF000_0000  # more raw bytes than this are written as BigTIFF, whose offsets have 64 bits
PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
LEVEL = 2
"""zlib's. Of a photograph's rows 2 packs 63 MB a second into 44 %, 3: 38 MB into 42 %, 6: 14 MB into 40 %."""
AHEAD = 8  # strips of a TIFF that are compressed or waiting to be


class RowFile(Protocol):
    def write(self, rows: NDArray[np.unsignedinteger]) -> None: ...

    def close(self) -> None: ...


class PngRows:
    """texts: keyword -> Latin-1 text. icc: a colour profile. exif: without the leading Exif\\0\\0."""

    def __init__(
        self, handle: BinaryIO, width: int, height: int, channels: int, dtype: DTypeLike, *,
        texts: dict[str, str] | None = None, icc: bytes | None = None, exif: bytes | None = None,
    ) -> None:  # fmt: skip
        self._handle, self._shape, self._left = handle, (width, channels), height
        self._wide = np.dtype(dtype) == np.uint16
        self._packer = zlib.compressobj(LEVEL)
        self._above = np.zeros((1, width * channels * (2 if self._wide else 1)), np.uint8)
        handle.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16 if self._wide else 8, PNG_COLOURS[channels], 0, 0, 0))
        if icc:
            self._chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))
        if exif:
            self._chunk(b"eXIf", exif)
        for keyword, text in (texts or {}).items():
            self._chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + text.encode("latin-1", "replace"))

    def write(self, rows: NDArray[np.unsignedinteger]) -> None:
        """(n, width, channels) of the dtype that was announced."""
        n = len(rows)
        _check(rows, self._shape, self._left)
        raw = rows.astype(">u2").view(np.uint8) if self._wide else rows
        raw = raw.reshape(n, -1)  # (n, bytes of a row)
        # filter 2, Up: each byte less the one above it, modulo 256
        filtered = np.empty((n, 1 + raw.shape[1]), np.uint8)
        filtered[:, 0] = 2
        np.subtract(raw[:1], self._above, out=filtered[:1, 1:])
        np.subtract(raw[1:], raw[:-1], out=filtered[1:, 1:])
        self._above = raw[-1:].copy()
        self._left -= n
        self._data(self._packer.compress(filtered.data))

    def close(self) -> None:
        """Write what is left; ValueError if rows are missing."""
        _check_complete(self._left)
        self._data(self._packer.flush())
        self._chunk(b"IEND", b"")

    def _data(self, packed: bytes) -> None:
        if packed:
            self._chunk(b"IDAT", packed)

    def _chunk(self, name: bytes, data: bytes) -> None:
        self._handle.write(struct.pack(">I", len(data)) + name)
        self._handle.write(data)
        self._handle.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))


class TiffRows:
    """Strips compressed by Deflate with horizontal differences. description: ASCII, tag 270. The handle must seek."""

    def __init__(
        self, handle: BinaryIO, width: int, height: int, channels: int, dtype: DTypeLike, *,
        description: str = "", icc: bytes | None = None,
    ) -> None:  # fmt: skip
        self._handle, self._shape, self._height, self._left = handle, (width, channels), height, height
        self._dtype = np.dtype(dtype).newbyteorder("<")
        row_bytes = width * channels * self._dtype.itemsize
        self._big = row_bytes * height > CLASSIC_TIFF
        self._rows_per_strip = min(height, max(1, STRIP_BYTES // row_bytes))
        self._waiting: list[NDArray[np.unsignedinteger]] = []
        self._n_waiting = 0
        self._strips: list[tuple[int, int]] = []  # (offset, bytes)
        from concurrent.futures import ThreadPoolExecutor

        # zlib lets go of the interpreter, and strips do not depend on each other
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)
        self._packing: deque[Future[bytes]] = deque()
        self._description, self._icc = description, icc
        handle.write(b"II\x2b\0\x08\0\0\0" + bytes(8) if self._big else b"II\x2a\0" + bytes(4))

    def write(self, rows: NDArray[np.unsignedinteger]) -> None:
        """(n, width, channels) of the dtype that was announced."""
        _check(rows, self._shape, self._left)
        self._left -= len(rows)
        self._waiting.append(rows)
        self._n_waiting += len(rows)
        if self._n_waiting < self._rows_per_strip:
            return
        block = np.concatenate(self._waiting) if len(self._waiting) > 1 else self._waiting[0]
        whole = len(block) // self._rows_per_strip * self._rows_per_strip
        for top in range(0, whole, self._rows_per_strip):
            self._strip(block[top : top + self._rows_per_strip])
        rest = block[whole:].copy()  # not a view that keeps the block alive
        self._waiting, self._n_waiting = ([rest], len(rest)) if len(rest) else ([], 0)

    def close(self) -> None:
        """Write the last strip and the directory; ValueError if rows are missing."""
        _check_complete(self._left)
        if self._n_waiting:
            self._strip(np.concatenate(self._waiting))
        self._put(0)
        self._pool.shutdown()
        self._directory()

    def _strip(self, rows: NDArray[np.unsignedinteger]) -> None:
        self._packing.append(self._pool.submit(_packed_strip, rows, self._dtype))
        self._put(AHEAD)

    def _put(self, most: int) -> None:
        """Write strips, in order, until at most so many are left."""
        while len(self._packing) > most:
            packed = self._packing.popleft().result()
            self._strips.append((self._handle.tell(), len(packed)))
            self._handle.write(packed)

    def _directory(self) -> None:
        width, channels = self._shape
        bits = 8 * self._dtype.itemsize
        offset_type = 16 if self._big else 4  # LONG8 or LONG
        entries: list[tuple[int, int, list[int] | bytes]] = [
            (256, 4, [width]), (257, 4, [self._height]), (258, 3, [bits] * channels), (259, 3, [8]),
            (262, 3, [1 if channels < 3 else 2]), (270, 2, self._description.encode("ascii", "replace") + b"\0"),
            (273, offset_type, [offset for offset, _ in self._strips]), (277, 3, [channels]),
            (278, 4, [self._rows_per_strip]), (279, offset_type, [size for _, size in self._strips]),
            (284, 3, [1]), (317, 3, [2]),
        ]  # fmt: skip
        if channels in (2, 4):
            entries.append((338, 3, [2]))  # alpha that colours are not multiplied by
        if self._icc:
            entries.append((34675, 7, self._icc))
        code = {3: "H", 4: "I", 16: "Q"}
        word, count, room = ("Q", "Q", 8) if self._big else ("I", "H", 4)
        table = []
        for tag, kind, values in entries:
            data = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{code[kind]}", *values)
            if len(data) > room:
                self._align()
                at = self._handle.tell()
                self._handle.write(data)
                data = struct.pack(f"<{word}", at)
            table.append(struct.pack(f"<HH{word}", tag, kind, len(values)) + data.ljust(room, b"\0"))
        self._align()
        at = self._handle.tell()
        self._handle.write(struct.pack(f"<{count}", len(table)) + b"".join(table) + struct.pack(f"<{word}", 0))
        self._handle.seek(8 if self._big else 4)
        self._handle.write(struct.pack(f"<{word}", at))

    def _align(self) -> None:
        self._handle.write(bytes(-self._handle.tell() % 8))


def _packed_strip(rows: NDArray[np.unsignedinteger], dtype: np.dtype[Any]) -> bytes:
    differences = rows.astype(dtype)  # a copy
    differences[:, 1:] -= rows[:, :-1]  # modulo 2^8 or 2^16
    return zlib.compress(differences.data, LEVEL)


def _check(rows: NDArray[np.unsignedinteger], shape: tuple[int, int], left: int) -> None:
    if rows.shape[1:] != shape or len(rows) > left:
        raise ValueError(f"found rows {rows.shape}, expected at most {left} of {shape}")


def _check_complete(left: int) -> None:
    if left:
        raise ValueError(f"{left} rows are missing")

"""The file itself: a safetensors container with one metadata key, `qsr`, that holds the header as JSON.

safetensors proves that every byte of the file belongs to one tensor; what the bytes mean is text.py's and check.py's
business. Nothing is mapped: a mapped file that another process cuts short would kill the reader.

>>> header, tensors = read("net.qsr")                               # doctest: +SKIP
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from qsr.errors import FormatError
from qsr.files import write_atomic
from qsr.runtime.packed.check import check
from qsr.runtime.packed.codes import Tensors
from qsr.runtime.packed.ops import PackedHeader
from qsr.runtime.packed.parts import TOO_LARGE
from qsr.runtime.packed.text import parse, strict_json, to_text

METADATA_KEY = "qsr"
DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype("u1"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
LENGTH_BYTES = 8  # in front of a safetensors file: the length of its JSON header
MAX_TABLE = 8 << 20  # bytes of that header: our metadata, with every quote escaped, and the tensors' places
MAX_ENTRIES = 1 << 17  # commas in that header: what JSON makes of them takes tens of times their bytes
MAX_RANK = 4  # sizes of a tensor's shape
ENTRY_KEYS = {"dtype", "shape", "data_offsets"}
PIECE = 1 << 20
LONGEST_QUOTE = 200  # characters of somebody else's message
MAX_FILE = 1 << 29  # bytes; a thousand times the networks that this is for


def read(path: Path | str) -> tuple[PackedHeader, dict[str, NDArray[Any]]]:
    """Header and tensors (arrays of our own) of a file, all checked: what comes out is safe to build from.

    Raises FormatError naming the file and what is wrong with it.
    """
    where = str(path)
    try:
        with open(path, "rb") as handle:
            content = _content(handle, where)
    except OSError as fault:
        raise FormatError(f"cannot be read: {fault.strerror or fault}", where=where) from fault
    return from_bytes(content, where)


def _content(handle: BinaryIO, where: str) -> bytes:
    """All of a file, of a pipe too, unless it is larger than any network."""
    size = os.fstat(handle.fileno()).st_size
    if size <= MAX_FILE:
        content = handle.read(size + 1)  # allocates no more than that
        while len(content) <= MAX_FILE and (more := handle.read(PIECE)):
            content += more
        if len(content) <= MAX_FILE:
            return content
    raise FormatError(f"larger than {MAX_FILE} bytes", where=where, hint=TOO_LARGE)


def from_bytes(content: bytes, where: str = "packed file") -> tuple[PackedHeader, dict[str, NDArray[Any]]]:
    """`read` of a file's bytes."""
    table = _table(content, where)
    text = _metadata(table, where)
    try:
        for name, entry in table.items():
            _check_entry(name, entry)
        _check_length(table, content)
        stored = deserialize(content)  # type: ignore[no-untyped-call]
    except SafetensorError as fault:
        raise FormatError(f"not a safetensors file, or damaged: {printable(str(fault))}", where=where) from fault
    except FormatError as fault:
        raise FormatError(fault.message, where=where) from None
    tensors: dict[str, NDArray[Any]] = {}
    for name, entry in stored:
        flat: NDArray[Any] = np.frombuffer(entry["data"], dtype=DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    header = parse(text, where)
    try:
        check(header, tensors)
    except FormatError as fault:
        raise FormatError(fault.message, where=where, hint=fault.hint) from fault
    return header, tensors


def to_bytes(header: PackedHeader, tensors: Tensors) -> bytes:
    """The file's bytes; the same network gives the same. Raises FormatError for what `read` would refuse."""
    check(header, tensors)
    text = to_text(header)
    parse(text, "header")  # a header made by hand may break the grammar
    from safetensors.numpy import save  # only those who write need it

    arrays = {name: np.ascontiguousarray(tensors[name]).reshape(tensors[name].shape) for name in sorted(tensors)}
    return save(arrays, {METADATA_KEY: text})


def write(path: Path | str, header: PackedHeader, tensors: Tensors) -> int:
    """Write atomically; the file's size in bytes. Raises as `to_bytes`, and EnvironmentFault where it cannot be written."""
    content = to_bytes(header, tensors)
    write_atomic(path, content)
    return len(content)


def printable(text: str) -> str:
    r"""Foreign text for a message: escaped, for it may hold what a terminal obeys, and short.

    >>> printable("a\x1b[2J")
    'a\\x1b[2J'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:LONGEST_QUOTE])


def _table(content: bytes, where: str) -> dict[str, Any]:
    """The container's own header: the metadata, and an entry for each tensor."""
    if len(content) < LENGTH_BYTES:
        raise FormatError(f"not a safetensors file: {len(content)} bytes", where=where)
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    if length > len(content) - LENGTH_BYTES:
        raise FormatError("not a safetensors file, or cut short: its header is longer than the file", where=where)
    if length > MAX_TABLE:
        raise FormatError(f"header of {length} bytes, expected at most {MAX_TABLE}", where=where, hint=TOO_LARGE)
    if (entries := content.count(b",", LENGTH_BYTES, LENGTH_BYTES + length)) >= MAX_ENTRIES:
        raise FormatError(f"header of {entries} entries, expected at most {MAX_ENTRIES}", where=where, hint=TOO_LARGE)
    try:
        table = strict_json(content[LENGTH_BYTES : LENGTH_BYTES + length].decode(), where)
    except UnicodeDecodeError as fault:
        raise FormatError(f"not a safetensors file: {fault}", where=where) from fault
    if not isinstance(table, dict):
        raise FormatError(f"header: found a {type(table).__name__}, expected an object", where=where)
    return table


def _metadata(table: dict[str, Any], where: str) -> str:
    """The text under our key, taken out of the table."""
    metadata = table.pop("__metadata__", None)
    if not isinstance(metadata, dict) or metadata.keys() != {METADATA_KEY} or type(metadata[METADATA_KEY]) is not str:
        raise FormatError(f"expected one metadata key, {METADATA_KEY!r}: not a packed network", where=where)
    text: str = metadata[METADATA_KEY]
    return text


def _check_entry(name: str, entry: Any) -> None:
    """What safetensors lets pass: other keys, types that are not ours, shapes that numpy has no arrays for."""
    at = f"tensor {name[:80]!r}"
    if not isinstance(entry, dict) or entry.keys() != ENTRY_KEYS:
        found = printable(", ".join(entry)) if isinstance(entry, dict) else type(entry).__name__
        raise FormatError(f"{at}: found {found or 'nothing'}, expected {', '.join(sorted(ENTRY_KEYS))}")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if type(kind) is not str or kind not in DTYPES:
        raise FormatError(f"{at}: found type {printable(str(kind))}, expected {', '.join(DTYPES)}")
    for key, value, counts in (("shape", shape, range(1, MAX_RANK + 1)), ("data_offsets", offsets, (2,))):
        if type(value) is not list or len(value) not in counts or any(type(n) is not int or n < 0 for n in value):
            raise FormatError(f"not a safetensors file, or damaged: {at}: {key}: found {str(value)[:60]}")
    if 0 in shape:
        raise FormatError(f"{at}: is empty")
    if offsets[1] - offsets[0] != math.prod(shape) * DTYPES[kind].itemsize:  # safetensors would name no tensor
        what = f"{at}: data_offsets: found {str(offsets)[:60]}, expected the size of {str(shape)[:60]} {kind}"
        raise FormatError(f"not a safetensors file, or damaged: {what}")


def _check_length(table: dict[str, Any], content: bytes) -> None:
    """Whether all bytes are there; that each belongs to one tensor is for safetensors to say."""
    there = len(content) - LENGTH_BYTES - int.from_bytes(content[:LENGTH_BYTES], "little")
    if (wanted := max((entry["data_offsets"][1] for entry in table.values()), default=0)) != there:
        raise FormatError(f"not a safetensors file, or damaged: tensors of {there} bytes, its header says {wanted}")


def is_packed(path: Path | str) -> bool:
    """Whether a file looks like a packed one, of any version: by its name, or by what its header begins with."""
    path = Path(path)
    if path.suffix == ".qsr" or not path.is_file():
        return path.suffix == ".qsr"
    with open(path, "rb") as handle:
        length = int.from_bytes(handle.read(LENGTH_BYTES), "little")
        return length <= MAX_TABLE and b'\\"format\\":\\"qsr.packed/' in handle.read(length)

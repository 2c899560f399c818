"""Pictures out of a zip, a tar or a folder, without trusting a single name in it.

A member whose name is absolute or climbs out with `..` refuses the whole archive: no honest one has any. Links,
devices and files that are no pictures are left where they are.
"""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from qsr.data.formats import SUFFIXES
from qsr.data.image import MAX_PIXELS
from qsr.errors import DataError

MAX_MEMBER = 8 * MAX_PIXELS
"""Bytes of one member: what 16-bit RGBA of the largest picture takes. A zip bomb claims more, or is cut off here."""

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """One picture: its relative path inside the source, and how to copy its bytes to an open file."""

    path: PurePosixPath
    copy_to: Callable[[IO[bytes]], None]


def pictures_in(source: Path) -> Iterator[Member]:
    """Every picture of a folder, zip or tar (also compressed), in the source's order.

    Copy a member before asking for the next. Raises DataError for a hostile name or a damaged archive.
    """
    if source.is_dir():
        yield from _of_folder(source)
        return
    with _unpacking(source):
        if zipfile.is_zipfile(source):
            yield from _of_zip(source)
        elif tarfile.is_tarfile(source):
            yield from _of_tar(source)
        else:
            raise DataError("neither a folder nor a zip nor a tar", where=str(source))


def safe_path(name: str, source: Path) -> PurePosixPath:
    """`name` as a relative path that stays where it is unpacked; DataError otherwise."""
    path = PurePosixPath(name.replace("\\", "/"))
    drive = PureWindowsPath(name).drive
    if "\0" in name or path.is_absolute() or drive or ".." in path.parts:
        raise DataError(f"the member name {name[:200]!r} leads out of it", where=str(source), hint="do not use this archive")
    return path


@contextmanager
def _unpacking(source: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, RuntimeError) as fault:
        # RuntimeError: an encrypted zip, or (NotImplementedError) a compression that Python does not know
        raise DataError(f"cannot unpack: {fault}", where=str(source)) from fault


def _of_folder(source: Path) -> Iterator[Member]:
    for path in sorted(source.rglob("*")):
        relative = PurePosixPath(path.relative_to(source).as_posix())
        if _is_picture(relative) and path.is_file():

            def copy(out: IO[bytes], path: Path = path) -> None:
                with open(path, "rb") as handle:
                    _copy(handle, out, path.name, source)

            yield Member(relative, copy)


def _of_zip(source: Path) -> Iterator[Member]:
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            relative = safe_path(info.filename, source)
            if _is_picture(relative) and not info.is_dir():

                def copy(out: IO[bytes], info: zipfile.ZipInfo = info) -> None:
                    with _unpacking(source), archive.open(info) as handle:
                        _copy(handle, out, info.filename, source)

                yield Member(relative, copy)


def _of_tar(source: Path) -> Iterator[Member]:
    with tarfile.open(source) as archive:
        for info in archive:
            relative = safe_path(info.name, source)
            handle = archive.extractfile(info) if info.isreg() and _is_picture(relative) else None
            if handle is not None:

                def copy(out: IO[bytes], handle: IO[bytes] = handle, name: str = info.name) -> None:
                    with _unpacking(source):
                        _copy(handle, out, name, source)

                yield Member(relative, copy)


def _is_picture(path: PurePosixPath) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


def _copy(handle: IO[bytes], out: IO[bytes], name: str, source: Path) -> None:
    # counted while copying: the size that an archive announces is a stranger's word
    copied = 0
    while data := handle.read(_BLOCK):
        copied += len(data)
        if copied > MAX_MEMBER:
            raise DataError(
                f"{name!r} is larger than {MAX_MEMBER:,} bytes, more than any picture that is read",
                where=str(source),
                hint="leave it out, or unpack the archive yourself and name the folder",
            )
        out.write(data)

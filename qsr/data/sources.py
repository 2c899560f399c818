"""From the paths of an option file to stores: folder or LMDB, restricted by a list, LR matched to HR by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qsr.data.image import list_pictures
from qsr.data.layout import fill, find_hr, match_folder
from qsr.data.store import FolderStore, LmdbStore, Store, listing, unique_stems
from qsr.errors import DataError


def open_store(path: Path, listed: Sequence[str] | None, hr_names: Sequence[str] | None = None, tmpl: str = "{}") -> Store:
    """A folder of pictures, or an LMDB when the name ends in .lmdb or the folder holds data.mdb.

    `listed`: only these stems, in this order (HR side). `hr_names` and `tmpl`: exactly the pictures that belong to
    these HR stems (LR side). Raises DataError naming what is missing.
    """
    if path.suffix == ".lmdb" or (path / "data.mdb").is_file():
        wanted = listed if hr_names is None else [fill(tmpl, name) for name in hr_names]
        return LmdbStore(path, wanted)
    if hr_names is not None:
        return FolderStore(match_folder(path, hr_names, [tmpl]))
    pictures = list_pictures(find_hr(path))
    if listed is not None:
        pictures = match_folder(find_hr(path), listed, ["{}"])
    unique_stems(pictures)
    return FolderStore(pictures)


def keep_listed(meta_info: str | Path | None) -> list[str] | None:
    """Stems named by a meta_info_file (one name per line, the rest of a line after a blank ignored); None for None."""
    if meta_info is None:
        return None
    try:
        lines = listing(meta_info)
    except (OSError, ValueError) as fault:
        raise DataError(f"cannot read: {fault}", where=str(meta_info)) from fault
    names = [Path(line.split(" ")[0]).stem for line in lines if line.strip()]
    if not names:
        raise DataError("names no picture", where=str(meta_info))
    return names

"""The folder layouts that are found in the wild, and which LR picture belongs to which HR picture.

    NAME/HR/*.png   NAME/GTmod12/*.png   NAME/*.png                            HR
    NAME/LR_bicubic/X2/{name}x2.png   NAME/LRbicx2/{name}.png   ...            LR, when a set ships it

DIV2K's own folders (DIV2K_train_HR beside DIV2K_train_LR_bicubic/X2) are recognised too.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

from qsr.data.image import list_pictures
from qsr.errors import DataError

HR_FOLDERS = ("HR", "GTmod12", "GT", "original")
LR_FOLDERS = ("LR_bicubic/X{scale}", "LR_bicubic/x{scale}", "LRbicx{scale}", "LR/X{scale}", "LR/x{scale}")
LR_NAMES = ("{name}x{scale}", "{name}", "{name}_LRBI_x{scale}")


def find_hr(root: Path) -> Path:
    """The folder below `root` that holds the HR pictures, or `root` itself; DataError when there are none."""
    if not root.is_dir():
        raise DataError("no such folder", where=str(root))
    candidates = [root / name for name in HR_FOLDERS]
    candidates += sorted(root.glob("*_HR"))
    candidates.append(root)
    for folder in candidates:
        if folder.is_dir() and list_pictures(folder):
            return folder
    wanted = ", ".join(f"{name}/" for name in HR_FOLDERS)
    raise DataError(f"no pictures in {wanted} or the folder itself", where=str(root))


def find_lr(root: Path, scale: int, names: Sequence[str]) -> list[Path] | None:
    """Shipped LR pictures for the HR `names` (stems), in that order; None when the set ships none for this scale.

    Raises DataError when a folder for the scale is there but holds only some of the pictures.
    """
    folder = lr_folder(root, scale)
    return match_folder(folder, names, lr_patterns(scale)) if folder else None


def lr_folder(root: Path, scale: int) -> Path | None:
    """The folder with the LR pictures that a set ships for `scale`, or None."""
    candidates = [root / pattern.format(scale=scale) for pattern in LR_FOLDERS]
    candidates += [folder / f"X{scale}" for folder in sorted(root.glob("*_LR_bicubic"))]
    return next((folder for folder in candidates if folder.is_dir()), None)


def lr_patterns(scale: int) -> list[str]:
    """How LR names follow from HR names, with the scale filled in."""
    return [pattern.replace("{scale}", str(scale)) for pattern in LR_NAMES]


def match_folder(folder: Path, names: Sequence[str], patterns: Sequence[str]) -> list[Path]:
    """For each of `names` the picture in `folder` whose stem is the pattern filled in; one pattern must fit all.

    A pattern holds `{name}` or, as in option files, `{}`. Raises DataError that lists what is missing.
    """
    found = {path.stem: path for path in list_pictures(folder)}
    wanted = [fill(best_pattern(found, names, patterns), name) for name in names]
    missing = [stem for stem in wanted if stem not in found]
    if not missing:
        return [found[stem] for stem in wanted]
    shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    raise DataError(
        f"{len(missing)} of {len(names)} pictures are missing, for instance {shown}",
        where=str(folder),
        hint=f"names tried: {', '.join(patterns)}",
    )


def best_pattern(found: Container[str], names: Sequence[str], patterns: Sequence[str]) -> str:
    """The pattern that finds the most of `names` among the stems `found`; the first of equals."""
    return max(patterns, key=lambda pattern: sum(fill(pattern, name) in found for name in names))


def fill(pattern: str, name: str) -> str:
    """Put `name` where the pattern has `{}` or `{name}`; nothing else of str.format is understood."""
    return pattern.replace("{name}", name).replace("{}", name)

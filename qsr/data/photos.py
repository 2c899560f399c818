"""The colour photographs that scikit-image ships inside its package: enough to try training without a download.

They are read as files, by path; scikit-image itself is not imported. Two are held out for validation, and both
pictures of the stereo pair are on the training side, so nothing of the held-out scenes is trained on.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from qsr.data.image import read_rgb, write_png
from qsr.errors import EnvironmentFault

# Two pictures of scikit-image are left out: retina.jpg (mostly black and blurred) and color.png (synthetic).
TRAINING = (
    "astronaut.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "rocket.jpg",
)
HELD_OUT = ("chelsea.png", "coffee.png")


def write_photos(folder: Path | str) -> tuple[Path, Path]:
    """Write the photographs as PNG to `folder`/train and `folder`/val and return these two; what is there stays.

    Raises EnvironmentFault when scikit-image is missing or does not ship them any more.
    """
    source = _shipped_folder()
    places = Path(folder) / "train", Path(folder) / "val"
    for place, names in zip(places, (TRAINING, HELD_OUT)):
        for name in names:
            target = place / f"{Path(name).stem}.png"
            if not target.exists():
                write_png(target, read_rgb(source / name))
    return places


def training_photos() -> list[Path]:
    """The files on the training side, where the package has them. EnvironmentFault as `write_photos`."""
    folder = _shipped_folder()
    return [folder / name for name in TRAINING]


def _shipped_folder() -> Path:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise EnvironmentFault("scikit-image is not installed", hint="pip install scikit-image")
    folder = Path(spec.origin).parent / "data"
    missing = [name for name in TRAINING + HELD_OUT if not (folder / name).is_file()]
    if missing:
        raise EnvironmentFault(
            f"this scikit-image does not ship {', '.join(missing)}",
            where=str(folder),
            hint="install scikit-image 0.26",
        )
    return folder

"""Which packed network enlarges: a .qsr file, a released model by its name, or the default of a scale."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from qsr.errors import FormatError, OptionsError
from qsr.upscale.enlarge import Network
from qsr.upscale.names import printable

DEFAULT_SCALE = 2
PACKED = ".qsr"


def find_model(asked: str | None = None, scale: int | None = None, folder: Path | None = None) -> Path:
    """The packed file of `asked` (a path, a released name, None: the default of `scale`). Nothing is downloaded.

    Raises OptionsError for names that are not there, FormatError for files that are not packed. folder: of the index.
    """
    if asked is not None and (Path(asked).suffix == PACKED or Path(asked).exists() or "/" in asked):
        return _file(Path(asked))
    from qsr.zoo.index import default_model, find, zoo_folder

    folder = folder or zoo_folder()
    model = find(asked, folder) if asked is not None else default_model(scale or DEFAULT_SCALE, folder)
    if scale is not None and model.scale != scale:
        raise OptionsError(f"--scale is {scale}, but {model.name} is for x{model.scale}", hint="leave one of the two out")
    packed = folder / f"{model.name}{PACKED}"
    if not packed.is_file():
        source = folder / model.file
        raise FormatError(
            f"the released model {model.name} has no packed file here",
            where=str(packed),
            hint=f"qsr export {printable(source)} --packed -o {printable(packed)}",
        )
    return packed


def _file(path: Path) -> Path:
    if not path.exists():
        raise OptionsError("no such model", where=printable(path), hint="`qsr zoo list` names the released ones")
    if path.suffix == PACKED and path.is_file():
        return path
    raise FormatError(
        "not a packed network; the file that was trained is not what runs here",
        where=printable(path),
        hint=f"qsr export {printable(path)} --packed -o {printable(path.with_suffix(PACKED).name)}",
    )


def fingerprint(path: Path) -> str:
    """12 hex digits of the file's SHA-256: two networks of one name differ in it."""
    return sha256(path.read_bytes()).hexdigest()[:12]


def mark(path: Path, scale: int, depth: int | None, ensemble: bool) -> str:
    """What a result says about its making; equal marks mean equal pixels, up to the tile of attention networks."""
    parts = [f"x{scale}", f"model {fingerprint(path)}"]
    parts += [f"depth {depth}"] if depth is not None else []
    return ", ".join(parts + (["self-ensemble"] if ensemble else []))


def open_network(path: Path, threads: int | None = None) -> Network:
    """The network of a packed file, checked; FormatError for a damaged one."""
    from qsr.runtime.model import load

    return load(path, threads=threads)

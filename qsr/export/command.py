"""What `qsr export --packed` does: load, pack, write, read back, compare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qsr.archs.modelfile import find_model, load_model
from qsr.data.formats import SUFFIXES
from qsr.data.image import read_rgb
from qsr.errors import DataError, FormatError, OptionsError
from qsr.export.packed import write_packed
from qsr.export.sizes import Sizes, sizes
from qsr.export.unpack import read_packed, to_network
from qsr.export.verify import VerifyReport, verify


@dataclass(frozen=True)
class Exported:
    """path: the file written. model_bytes: size of the model file that it was made from. verified: None if not asked."""

    path: Path
    model: Path
    model_bytes: int
    layers: int
    sizes: Sizes
    verified: VerifyReport | None

    def to_json(self) -> dict[str, Any]:
        return {
            "file": str(self.path),
            "bytes": self.sizes.file,
            "model_file": str(self.model),
            "model_bytes": self.model_bytes,
            "layers": self.layers,
            "sizes": self.sizes.to_json(),
            "verify": self.verified.to_json() if self.verified else None,
        }

    def text(self) -> str:
        """What was written and how large it is, beside the float model file."""
        ratio = self.model_bytes / self.sizes.file
        head = (
            f"{self.path}: {self.sizes.file:,} bytes, {self.layers} quantized layers",
            f"{self.model}: {self.model_bytes:,} bytes in float32, {ratio:.2f} times as large",
        )
        return "\n".join((*head, self.verified.table() if self.verified else self.sizes.table()))

    def check(self) -> None:
        """Raises FormatError if the comparison found a difference."""
        if self.verified is not None and not self.verified.passed:
            raise FormatError("the packed file is not the trained network; the table says where", where=str(self.path))


def export_packed(model: Path, out: Path | None = None, depth: int | None = None, pictures: Path | None = None) -> Exported:
    """Write the packed file of a model file or experiment and read it back.

    out: None writes NAME.qsr (NAME_depthN.qsr) beside the model file. depth: one depth of several; None: all.
    pictures: LR picture or folder to compare with. Raises OptionsError, FormatError, DataError as the parts do.
    """
    found = find_model(model)
    out = out or found.with_name(f"{found.stem}{f'_depth{depth}' if depth is not None else ''}.qsr")
    if out.exists() and out.samefile(found):
        raise OptionsError("the packed file would replace the model file itself", where=str(out), hint="choose another -o")
    named = _pictures(pictures) if pictures is not None else []
    network, info = load_model(found, depth=depth)
    write_packed(out, network, info, depth)
    packed = read_packed(out)
    if named:
        report = verify(network, packed, (read_rgb(path) for path in named))
    else:
        report = None
        to_network(packed)
    return Exported(out, found, found.stat().st_size, len(packed.header.layers), sizes(packed), report)


def _pictures(place: Path) -> list[Path]:
    """The picture itself, or a folder's, by name. Raises DataError if there is none."""
    if place.is_file():
        return [place]
    found = sorted(path for path in place.glob("*") if path.suffix.lower() in SUFFIXES) if place.is_dir() else []
    if not found:
        raise DataError("no picture to verify with", where=str(place))
    return found

"""What `qsr export --packed` does: load, prepare, lower, write, read back, compare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from qsr.archs.modelfile import find_model, load_model
from qsr.data.image import read_rgb
from qsr.errors import FormatError, OptionsError
from qsr.export.lower import Lowered, Precision, Tail, lower
from qsr.export.pictures import calibration, picture_files
from qsr.export.prepare import TAIL_BITS, Cost, fixed_choices, is_dynamic, quantized_tail, rounding_cost
from qsr.export.sizes import Sizes, layers, sizes
from qsr.export.verify import verify
from qsr.export.verify_report import VerifyReport
from qsr.runtime.packed import container
from qsr.runtime.packed.ops import FloatWeight


@dataclass(frozen=True)
class Packing:
    """How a network is packed.

    depth: one depth of several; None: all. floats: how full-precision weights are stored. tail: storage and arithmetic of
    head and tail. calibration: HR pictures that a tail in codes and CADyQ's choices are set on; None: scikit-image's.
    verify: LR picture or folder to compare with.
    """

    depth: int | None = None
    floats: Precision = "fp32"
    tail: Tail = "fp32"
    calibration: Path | None = None
    verify: Path | None = None


PLAIN = Packing()


@dataclass(frozen=True)
class Exported:
    """path: the file written. model_bytes: size of the model file that it was made from. layers: those with codes.
    costs: of what was given up to be packed. verified: None if not asked."""

    path: Path
    model: Path
    model_bytes: int
    layers: int
    sizes: Sizes
    costs: tuple[Cost, ...]
    verified: VerifyReport | None

    def to_json(self) -> dict[str, Any]:
        return {
            "file": str(self.path),
            "bytes": self.sizes.file,
            "model_file": str(self.model),
            "model_bytes": self.model_bytes,
            "layers": self.layers,
            "sizes": self.sizes.to_json(),
            "costs": [cost.to_json() for cost in self.costs],
            "verify": self.verified.to_json() if self.verified else None,
        }

    def text(self) -> str:
        """What was written and how large it is, beside the float model file."""
        ratio = self.model_bytes / self.sizes.file
        head = (
            f"{self.path}: {self.sizes.file:,} bytes, {self.layers} quantized layers",
            f"{self.model}: {self.model_bytes:,} bytes in float32, {ratio:.2f} times as large",
            *(cost.text() for cost in self.costs),
        )
        return "\n".join((*head, self.verified.table() if self.verified else self.sizes.table()))

    def check(self) -> None:
        """Raises FormatError if the comparison found a difference."""
        if self.verified is not None and not self.verified.passed:
            raise FormatError("the packed file is not the trained network; the table says where", where=str(self.path))


def export_packed(model: Path, out: Path | None = None, how: Packing = PLAIN) -> Exported:
    """Write the packed file of a model file or experiment, atomically, and read it back.

    out: None writes NAME.qsr (NAME_depthN.qsr) beside the model file. Raises OptionsError, FormatError, DataError as the
    parts do; nothing is written then.
    """
    found = find_model(model)
    suffix = f"_depth{how.depth}" if how.depth is not None else ""
    out = out or found.with_name(f"{found.stem}{suffix}.qsr")
    if out.exists() and out.samefile(found):
        raise OptionsError("the packed file would replace the model file itself", where=str(out), hint="choose another -o")
    named = picture_files(how.verify) if how.verify is not None else []
    network, lowered, costs = _lowered(found, how)
    size = container.write(out, lowered.header, lowered.tensors)
    report = verify(network, lowered, out, (read_rgb(path) for path in named)) if named else None
    if report is None:
        container.read(out)
    measured = sizes(lowered.header, lowered.tensors, size)
    return Exported(out, found, found.stat().st_size, _coded_layers(lowered), measured, costs, report)


def lowered_model(model: Path, how: Packing) -> tuple[Path, Lowered]:
    """The model file of an experiment (or the file itself), and its network as operations; nothing is written."""
    found = find_model(model)
    return found, _lowered(found, how)[1]


def _lowered(found: Path, how: Packing) -> tuple[nn.Module, Lowered, tuple[Cost, ...]]:
    """(the network that is in the file, its operations, what it gave up)."""
    network, info = load_model(found, depth=how.depth)
    costs: list[Cost] = []
    in_codes, half = how.tail in TAIL_BITS, "fp16" in (how.tail, how.floats)
    dynamic = is_dynamic(network)
    pictures = calibration(how.calibration, network.scale) if dynamic or in_codes or half else None
    if pictures is not None and dynamic:
        network, cost = fixed_choices(network, pictures)
        costs.append(cost)
    if pictures is not None and in_codes:
        network, cost = quantized_tail(network, how.tail, pictures)
        costs.append(cost)
    lowered = lower(network, info, how.depth, how.floats, how.tail)
    if pictures is not None and half:
        costs.append(rounding_cost(network, lowered.rounded, pictures))
    return network, lowered, tuple(costs)


def _coded_layers(lowered: Lowered) -> int:
    found = {layer.name: layer for program in lowered.header.programs for op in program.ops for layer in layers(op)}
    return sum(layer.act is not None or not isinstance(layer.weight, FloatWeight) for layer in found.values())

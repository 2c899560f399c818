"""What `qsr export --onnx` does: a trained network, or a packed file, into an ONNX file, checked where an engine is at hand."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.errors import EnvironmentFault, FormatError, OptionsError
from qsr.export.command import PLAIN, Packing, lowered_model
from qsr.files import write_atomic
from qsr.runtime.interpreter import Interpreter
from qsr.runtime.packed import container
from qsr.runtime.packed.codes import Tensors
from qsr.runtime.packed.ops import PackedHeader, Program

TOLERANCE = 1e-3  # of the range 0..1: a rounding that falls the other way moves a code, and a code moves pixels
SIZES = ((24, 32), (17, 23))  # of the check's pictures: two sizes through one graph


@dataclass(frozen=True)
class ExportedOnnx:
    """integer, grid: layers with 8-bit QuantizeLinear nodes, and those of float weights on the quantized grid.

    difference: largest, on 0..1, of onnxruntime's picture from ours; None without onnxruntime.
    """

    path: Path
    bytes: int
    integer: int
    grid: int
    difference: float | None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}

    def text(self) -> str:
        lines = [f"{self.path}: {self.bytes:,} bytes, height and width are free"]
        if self.integer:
            lines.append(f"{self.integer} layers carry 8-bit QuantizeLinear nodes: integer engines run them in integers")
        if self.grid:
            lines.append(
                f"{self.grid} layers have float weights on the quantized grid: the same picture, but neither small nor fast "
                "(no ONNX engine has convolutions below 8 bits; `qsr export --packed` does)"
            )
        checked = f"largest difference from qsr {self.difference:.1e} of 0..1" if self.difference is not None else None
        lines.append(f"onnxruntime: {checked}" if checked else "not checked: onnxruntime is not installed")
        return "\n".join(lines)


def export_onnx(model: Path, out: Path | None = None, how: Packing = PLAIN) -> ExportedOnnx:
    """Write NAME.onnx (or `out`) atomically; model: experiment, model file or packed file (*.qsr).

    Raises OptionsError, FormatError as the parts do, EnvironmentFault without the package onnx, and FormatError where
    onnxruntime's picture is not ours; nothing is written then.
    """
    if importlib.util.find_spec("onnx") is None:
        raise EnvironmentFault("the package onnx is not installed", where="--onnx", hint="pip install 'qsr[onnx]'")
    from qsr.export.onnx_graph import integer_layers, to_onnx

    if model.suffix == ".qsr":
        source, (header, tensors) = model, container.read(model)
    else:
        source, lowered = lowered_model(model, how)
        header, tensors = lowered.header, lowered.tensors
    program = _program(header, how.depth)
    out = out or source.with_suffix(".onnx")
    content = to_onnx(header, tensors, program).SerializeToString()
    difference = _difference(content, header, tensors, program)
    if difference is not None and difference > TOLERANCE:
        raise FormatError(
            f"onnxruntime's picture differs by {difference:.1e}, expected at most {TOLERANCE:.0e}", where=str(out)
        )
    write_atomic(out, content)
    return ExportedOnnx(out, len(content), *integer_layers(program), difference)


def _program(header: PackedHeader, depth: int | None) -> Program:
    if depth is None:
        return header.programs[0]
    for program in header.programs:
        if program.depth == depth:
            return program
    known = ", ".join(str(program.depth) for program in header.programs)
    raise OptionsError(f"found depth {depth}, this network has {known}", where="--depth")


def _difference(content: bytes, header: PackedHeader, tensors: Tensors, program: Program) -> float | None:
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    ours = Interpreter(header, tensors, program)
    largest = 0.0
    for height, width in SIZES:
        x = _picture(height, width)
        found = session.run(None, {"x": np.ascontiguousarray(x.transpose(2, 0, 1)[None])})[0][0].transpose(1, 2, 0)
        padded = x[_reflected(height, header.window)][:, _reflected(width, header.window)]
        expected = ours.run(padded)[: header.scale * height, : header.scale * width]
        largest = max(largest, float(np.abs(found.clip(0, 1) - expected.clip(0, 1)).max()))
    return largest


def _picture(height: int, width: int) -> NDArray[np.float32]:
    """Smooth colours with some noise: what features are calibrated for."""
    y, x, c = np.mgrid[:height, :width, :3].astype(np.float32)
    smooth = 0.5 + 0.35 * np.sin(0.4 * x + c) * np.cos(0.3 * y - c)
    noise = np.random.default_rng(0).normal(0, 0.03, smooth.shape)
    picture: NDArray[np.float32] = (smooth + noise).clip(0, 1).astype(np.float32)
    return picture


def _reflected(size: int, window: int) -> NDArray[np.int64]:
    """Rows of a picture continued by reflection to a multiple of the window."""
    period = max(2 * (size - 1), 1)
    index = np.arange(-(-size // window) * window) % period
    return np.minimum(np.minimum(index, period - index), size - 1)

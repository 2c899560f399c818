"""What a packed file says about itself, as plain values: the whole, and one row per layer. For `qsr info` and reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from qsr.runtime.executor import LayerKernel, bits_of
from qsr.runtime.model import Model
from qsr.runtime.packed.codes import Tensors, weight_shape
from qsr.runtime.packed.ops import Conv, Depthwise, Linear, PackedHeader, Program, Swin
from qsr.runtime.packed.text import FORMAT


@dataclass(frozen=True)
class LayerRow:
    """One layer of the program that runs by default. bytes: of its weight. kernel, isa: who would compute it here."""

    name: str
    op: str
    shape: tuple[int, ...]
    bits: str
    bytes: int
    kernel: str
    isa: str


def layer_rows(program: Program, tensors: Tensors, kernels: list[LayerKernel]) -> list[LayerRow]:
    """Layers in the program's order. A kernel is found by its layer's name; `-` where the executor lists none."""
    by_name = {kernel.name: kernel for kernel in kernels}
    rows = []
    for layer in layers(program):
        kernel = by_name.get(layer.name, LayerKernel(layer.name, "", "", "-", "-"))
        size = tensors[layer.weight.tensor].nbytes
        kind = "linear" if isinstance(layer, Linear) else layer.op
        bits = bits_of(layer.weight, layer.act)
        rows.append(LayerRow(layer.name, kind, weight_shape(layer), bits, size, kernel.kernel, kernel.isa))
    return rows


def layers(program: Program) -> Iterator[Conv | Depthwise | Linear]:
    """Every layer with a weight, those inside Swin too."""
    for op in program.ops:
        if isinstance(op, Conv | Depthwise):
            yield op
        elif isinstance(op, Swin):
            yield from (op.qkv, op.proj, op.fc1, op.fc2)


def summary(header: PackedHeader, tensors: Tensors) -> dict[str, Any]:
    """JSON values: format, scale, network, depths, window, receptive_field, whole_picture, operations (how many),
    layers (LayerRow), protocol, metrics, provenance.
    """
    model = Model(header, tensors)
    rows = layer_rows(header.programs[0], tensors, model.kernels())
    return {
        "format": FORMAT,
        "scale": header.scale,
        "network": header.network,
        "depths": list(model.depths),
        "window": header.window,
        "receptive_field": header.receptive_field,
        "whole_picture": header.whole_picture,
        "operations": len(header.programs[0].ops),
        "layers": [asdict(row) for row in rows],
        "protocol": header.protocol,
        "metrics": header.metrics,
        "provenance": header.provenance,
    }

"""Where a packed file's bytes are, and what the papers would have counted for the same network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from qsr.runtime.packed.codes import code_count, weight_shape
from qsr.runtime.packed.ops import (
    Conv,
    Depthwise,
    FloatWeight,
    Linear,
    Op,
    Operands,
    PackedHeader,
    SignWeight,
    Swin,
    UniformWeight,
)

Array = NDArray[Any]

NEAR = 0.05  # a file within this share of the papers' count is what they count


@dataclass(frozen=True)
class Sizes:
    """Bytes of a packed file by kind; they add up to the file.

    codes: weights of 1 to 8 bits. scales: scales and shifts beside them, those that are not one number. biases: of the
    layers that have codes. full_precision: every other tensor. header: names, shapes and metadata.
    float_weights: all weights and biases in float32. papers: codes at their bits, every other weight in float32, without
    scales, shifts and the biases of layers that have codes, as the papers count.
    """

    codes: int
    scales: int
    biases: int
    full_precision: int
    header: int
    float_weights: int
    papers: int

    @property
    def file(self) -> int:
        return self.codes + self.scales + self.biases + self.full_precision + self.header

    @property
    def as_counted(self) -> bool:
        """Whether the file is no larger than the papers' count says, but for NEAR."""
        return self.file <= (1 + NEAR) * self.papers

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "file": self.file, "as_counted": self.as_counted}

    def table(self) -> str:
        """Plain text, one line per kind."""
        rows = (
            ("weight codes", self.codes),
            ("scales and shifts", self.scales),
            ("biases of these layers", self.biases),
            ("full-precision tensors", self.full_precision),
            ("names and metadata", self.header),
            ("file", self.file),
            ("as papers count", self.papers),
            ("float32 weights", self.float_weights),
        )
        lines = [f"  {name:<28}{size:>12,} bytes  {100 * size / self.file:6.1f} %" for name, size in rows]
        over = 100 * (self.file / self.papers - 1)
        verdict = "is what the papers count" if self.as_counted else "is larger than what the papers count"
        return "\n".join((*lines, f"  the file {verdict} ({over:+.1f} %)"))


def sizes(header: PackedHeader, tensors: Mapping[str, Array], file: int) -> Sizes:
    """Sizes of a file of `file` bytes with this header and these tensors."""
    coded: set[str] = set()
    scales: set[str] = set()
    biases: set[str] = set()
    weights: dict[str, tuple[int, int]] = {}  # by tensor: how many, and the bits that papers count
    for op in (op for program in header.programs for op in program.ops):
        scales |= _operand_tensors(op)
        for layer in layers(op):
            scales |= _names(layer.act, "shift", "scale")
            weight = layer.weight
            count = math.prod(weight_shape(layer))
            if isinstance(weight, FloatWeight):
                weights[weight.tensor] = (count, 32 * count)
                continue
            coded.add(weight.tensor)
            biases |= {layer.bias} if isinstance(layer.bias, str) else set()
            scales |= {name for name in _scales(weight) if isinstance(name, str)}
            bits = 1 if isinstance(weight, SignWeight) else weight.bits
            weights[weight.tensor] = (count, bits * code_count(layer))
    kinds = {"codes": coded, "scales": scales, "biases": biases}
    bytes_of = {kind: sum(tensors[name].nbytes for name in names) for kind, names in kinds.items()}
    rest = [value for name, value in tensors.items() if name not in coded | scales | biases]
    plain = sum(value.size for name, value in tensors.items() if name not in weights and name not in scales | biases)
    return Sizes(
        **bytes_of,
        full_precision=sum(value.nbytes for value in rest),
        header=file - sum(value.nbytes for value in tensors.values()),
        float_weights=4 * (sum(count for count, _ in weights.values()) + plain) + bytes_of["biases"],
        papers=sum((bits + 7) // 8 for _, bits in weights.values()) + 4 * plain,
    )


def layers(op: Op) -> Iterator[Conv | Depthwise | Linear]:
    """The convolution, or the layers of Swin."""
    if isinstance(op, Conv | Depthwise):
        yield op
    elif isinstance(op, Swin):
        yield from (op.qkv, op.proj, op.fc1, op.fc2)


def _scales(weight: UniformWeight | SignWeight) -> tuple[float | str, ...]:
    return weight.scale if isinstance(weight, SignWeight) else (weight.scale,)


def _operand_tensors(op: Op) -> set[str]:
    if not isinstance(op, Swin) or not isinstance(op.operands, Operands):
        return set()
    operands = op.operands
    return (
        _names(operands.q, "shift") | _names(operands.k, "shift") | _names(operands.v, "shift") | _names(operands.map, "step")
    )


def _names(part: object, *keys: str) -> set[str]:
    """The tensors among some fields of an act."""
    found = (getattr(part, key, None) for key in keys)
    return {name for name in found if isinstance(name, str) and name not in ("mean", "spatial")}

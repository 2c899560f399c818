"""Where a packed file's bytes are, and what the papers would have counted for the same network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from qsr.export.check import CODES
from qsr.export.header import FULL_BITS
from qsr.export.unpack import PackedModel

SCALES = (".weight.scale", ".act.scale", ".act.shift")


@dataclass(frozen=True)
class Sizes:
    """Bytes of a packed file by kind; they add up to the file.

    codes: weight codes. scales: scales and shifts of quantized layers. full_precision: every other tensor.
    header: names, shapes and metadata. float_weights: the same tensors in float32, without scales.
    honest: bits of the codes, 32 for every other number, no header (algorithms 1.5, mode `honest`).
    papers: the same without scales, shifts and the quantized layers' biases, which the papers leave out.
    """

    codes: int
    scales: int
    full_precision: int
    header: int
    float_weights: int
    honest: int
    papers: int

    @property
    def file(self) -> int:
        return self.codes + self.scales + self.full_precision + self.header

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "file": self.file}

    def table(self) -> str:
        """Plain text, one line per kind."""
        rows = (
            ("weight codes", self.codes),
            ("scales and shifts", self.scales),
            ("full-precision tensors", self.full_precision),
            ("names and metadata", self.header),
            ("file", self.file),
            ("counted honestly, no header", self.honest),
            ("as papers count", self.papers),
            ("float32 weights", self.float_weights),
        )
        return "\n".join(f"  {name:<28}{size:>12,} bytes  {100 * size / self.file:6.1f} %" for name, size in rows)


def sizes(packed: PackedModel) -> Sizes:
    """Measured and counted sizes of a file that was read."""
    owned = {layer.name + suffix for layer in packed.header.layers for suffix in (CODES, *SCALES)}
    kinds = {"codes": 0, "scales": 0, "full_precision": 0}
    for name, value in packed.tensors.items():
        kind = "full_precision" if name not in owned else "codes" if name.endswith(CODES) else "scales"
        kinds[kind] += value.nbytes
    low = [layer for layer in packed.header.layers if layer.w_bits != FULL_BITS]
    biases = sum(packed.tensors[f"{layer.name}.bias"].nbytes for layer in low if f"{layer.name}.bias" in packed.tensors)
    code_bits = sum(layer.count * layer.w_bits for layer in low)
    return Sizes(
        **kinds,
        header=packed.size - sum(kinds.values()),
        float_weights=4 * sum(layer.count for layer in low) + kinds["full_precision"],
        honest=(code_bits + 7) // 8 + kinds["scales"] + kinds["full_precision"],
        papers=(code_bits + 7) // 8 + kinds["full_precision"] - biases,
    )

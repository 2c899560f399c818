"""What `quantize_` did: one row per layer that owns parameters, quantized or not, with the reason. Plain values only.

>>> row = LayerRow("body.0", "Conv2d", 9216, w_method="rlq", w_bits=2, a_method="rlq", a_bits=2, act_at="input, before padding")
>>> LayerReport.from_json(LayerReport((row,)).to_json()).rows[0] == row
True
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from qsr.errors import FormatError

FULL_BITS = 32


@dataclass(frozen=True)
class LayerRow:
    """One layer.

    module, kind: dotted name and class name. params: its parameters, without the quantizers'.
    w_bits, a_bits: 32 is full precision. act_at: where the activation quantizer sits ("" if there is none).
    reason: why something stays in full precision ("" if nothing does).
    """

    module: str
    kind: str
    params: int
    w_method: str = ""
    w_bits: int = FULL_BITS
    a_method: str = ""
    a_bits: int = FULL_BITS
    granularity: str = ""
    act_at: str = ""
    reason: str = ""

    @property
    def quantized(self) -> bool:
        return bool(self.w_method or self.a_method)


@dataclass(frozen=True)
class LayerReport:
    """rows in the network's order; unused: patterns of rules that decided about no layer."""

    rows: tuple[LayerRow, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def quantized(self) -> tuple[LayerRow, ...]:
        return tuple(row for row in self.rows if row.quantized)

    @property
    def kept(self) -> tuple[LayerRow, ...]:
        return tuple(row for row in self.rows if not row.quantized)

    def to_json(self) -> dict[str, Any]:
        return {"rows": [asdict(row) for row in self.rows], "unused": list(self.unused)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LayerReport:
        """Raises FormatError if `data` is not what `to_json` gave."""
        try:
            return cls(tuple(LayerRow(**row) for row in data["rows"]), tuple(data["unused"]))
        except (KeyError, TypeError) as fault:
            raise FormatError(f"not a layer report ({fault})") from fault

    def table(self) -> str:
        """Plain text, one line per layer and a summary."""
        head = ("module", "kind", "params", "w", "a", "granularity", "activation quantizer", "full precision because")
        body = [
            (
                row.module or "(the network itself)",
                row.kind,
                str(row.params),
                _bits(row.w_method, row.w_bits),
                _bits(row.a_method, row.a_bits),
                row.granularity or "-",
                row.act_at or "-",
                row.reason or "-",
            )
            for row in self.rows
        ]
        widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in (head, *body)
        ]
        return "\n".join((*lines, self.summary()))

    def summary(self) -> str:
        """One sentence; a second one if rules matched nothing."""
        total, low = sum(row.params for row in self.rows), sum(row.params for row in self.quantized)
        text = f"{len(self.quantized)} of {len(self.rows)} layers quantized, {low} of {total} parameters in them."
        return f"{text} Rules that decided about no layer: {', '.join(self.unused)}." if self.unused else text


def _bits(method: str, bits: int) -> str:
    return f"{method} {bits}" if method else "fp"

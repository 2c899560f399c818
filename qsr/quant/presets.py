"""Short ways to write rules: `qsr.RLQ(w_bits=2, a_bits=2)` for a layer's pair of specs, `qsr.rules(...)` for a network.

>>> kept, body, first = rules(default=RLQ(2, 2), keep=["tail"], overrides={"body.0.*": LSQ(4, 4)})[-3:]
>>> first.weight.method, first.weight.bits
('lsq', 4)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from qsr.errors import OptionsError
from qsr.quant.base import method
from qsr.quant.report import FULL_BITS
from qsr.spec import QuantRule, QuantSpec, Scalar


@dataclass(frozen=True)
class Preset:
    """How one layer is quantized; None keeps that side in full precision."""

    weight: QuantSpec | None
    act: QuantSpec | None


def RLQ(
    w_bits: int,
    a_bits: int,
    *,
    k: float = 2.0,
    shift: bool = True,
    init: Literal["lsq", "max"] = "lsq",
    numel: Literal["sample", "batch"] = "sample",
    symmetric_narrow: bool = False,
    granularity: Literal["tensor", "channel"] = "tensor",
) -> Preset:
    """QuantSR's quantizer; bits 2 to 8, or 32 for full precision. `k=1.0` is the released code's slope."""
    common: dict[str, Scalar] = {"init": init, "k": k, "symmetric_narrow": symmetric_narrow}
    act = {**common, "numel": numel, "shift": shift}
    return Preset(_spec("rlq", w_bits, granularity, common), _spec("rlq", a_bits, "tensor", act))


def LSQ(
    w_bits: int,
    a_bits: int,
    *,
    init: Literal["lsq", "max"] = "lsq",
    numel: Literal["sample", "batch"] = "sample",
    symmetric_narrow: bool = False,
    granularity: Literal["tensor", "channel"] = "tensor",
) -> Preset:
    """Learned step size quantization; bits 2 to 8, or 32 for full precision."""
    common: dict[str, Scalar] = {"init": init, "symmetric_narrow": symmetric_narrow}
    return Preset(_spec("lsq", w_bits, granularity, common), _spec("lsq", a_bits, "tensor", {**common, "numel": numel}))


def rules(
    default: Preset,
    keep: Iterable[str] = (),
    overrides: Mapping[str, Preset] | None = None,
) -> tuple[QuantRule, ...]:
    """Rules for `quantize_`: `default` everywhere, then `keep`, then `overrides`; the last that matches a layer wins.

    keep, overrides: shell patterns over dotted layer names; a plain name also covers the layers below it.
    """
    listed = [QuantRule("*", default.weight, default.act)]
    listed += [QuantRule(match, reason="kept by request") for name in keep for match in _with_children(name)]
    for name, preset in (overrides or {}).items():
        listed += [QuantRule(match, preset.weight, preset.act) for match in _with_children(name)]
    return tuple(listed)


def _with_children(name: str) -> tuple[str, ...]:
    return (name,) if any(mark in name for mark in "*?[") else (name, f"{name}.*")


def _spec(name: str, bits: int, granularity: Literal["tensor", "channel"], params: dict[str, Scalar]) -> QuantSpec | None:
    if bits == FULL_BITS:
        return None
    low, high = method(name).w_bits
    if not low <= bits <= high:
        raise OptionsError(f"{name}: found {bits} bits, expected {low} to {high}, or {FULL_BITS} for full precision")
    return QuantSpec(name, bits, granularity, tuple(params.items()))

"""What travels instead of options: how one tensor is quantized, and which layers that concerns.

A `QuantSpec` says how one tensor (a weight, an activation) is quantized; a `QuantRule` says which layers
get which pair of specs. Both are frozen, versioned, hold only plain values and survive JSON unchanged,
so a checkpoint can carry them. No torch here.

>>> spec = QuantSpec("rlq", 2, params=(("k", 2.0),))
>>> QuantSpec.from_json(spec.to_json()) == spec
True
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from qsr.errors import FormatError

SPEC_VERSION = 1
Scalar = str | int | float | bool


@dataclass(frozen=True)
class QuantSpec:
    """How one tensor is quantized.

    method: a name of the quantizer registry (`rlq`, `lsq`, ...).
    bits: 1..8 stored bits per element.
    granularity: `tensor` (one scale) or `channel` (one scale per output channel; weights only).
    params: the method's own settings as sorted (name, value) pairs; unknown names are refused by the method.
    """

    method: str
    bits: int
    granularity: Literal["tensor", "channel"] = "tensor"
    params: tuple[tuple[str, Scalar], ...] = field(default=())

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 8:
            raise ValueError(f"bits: found {self.bits}, expected 1 to 8")
        if self.granularity not in ("tensor", "channel"):
            raise ValueError(f"granularity: found {self.granularity!r}, expected 'tensor' or 'channel'")
        object.__setattr__(self, "params", tuple(sorted(self.params)))

    def param(self, name: str, default: Scalar) -> Scalar:
        """The value of a method's own setting, or `default` where the spec does not say."""
        return dict(self.params).get(name, default)

    def to_json(self) -> dict[str, Any]:
        return {
            "version": SPEC_VERSION,
            "method": self.method,
            "bits": self.bits,
            "granularity": self.granularity,
            "params": dict(self.params),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> QuantSpec:
        """Raises FormatError on an unknown version or a missing key."""
        try:
            if data["version"] != SPEC_VERSION:
                raise FormatError(
                    f"quantizer spec of version {data['version']}, this qsr reads {SPEC_VERSION}",
                    hint="upgrade qsr",
                )
            return cls(data["method"], int(data["bits"]), data["granularity"], tuple(data["params"].items()))
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise FormatError(f"not a quantizer spec: {data!r} ({fault})") from fault


@dataclass(frozen=True)
class QuantRule:
    """Layers whose dotted name matches `match` (shell pattern, `*` also crosses dots) get these specs.

    weight or act None leaves that side in full precision; both None keeps the layer as it is, with
    `reason` shown in the layer table. Of several rules that match, the last one wins.
    """

    match: str
    weight: QuantSpec | None = None
    act: QuantSpec | None = None
    reason: str = ""

    def matches(self, name: str) -> bool:
        return fnmatchcase(name, self.match)

    @property
    def keeps(self) -> bool:
        return self.weight is None and self.act is None

    def to_json(self) -> dict[str, Any]:
        return {
            "match": self.match,
            "weight": self.weight.to_json() if self.weight else None,
            "act": self.act.to_json() if self.act else None,
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> QuantRule:
        weight, act = data.get("weight"), data.get("act")
        return cls(
            match=data["match"],
            weight=QuantSpec.from_json(weight) if weight else None,
            act=QuantSpec.from_json(act) if act else None,
            reason=data.get("reason", ""),
        )


def rule_for(name: str, rules: list[QuantRule] | tuple[QuantRule, ...]) -> QuantRule | None:
    """The rule that decides about layer `name`: the last that matches, or None."""
    for rule in reversed(rules):
        if rule.matches(name):
            return rule
    return None


@dataclass(frozen=True)
class Method:
    """One line of the quantizer registry: where the class lives and which bit-widths it is defined for.

    The class is named, not imported, so that options can be checked (and `qsr --help` printed) without torch.
    w_granularity: of weights, where the options leave it open. approximate: reconstructed from a description without
    code or equations; tables say so.
    """

    target: str
    w_bits: tuple[int, int]
    a_bits: tuple[int, int]
    title: str
    w_granularity: Literal["tensor", "channel"] = "tensor"
    approximate: bool = False


METHODS: dict[str, Method] = {
    "rlq": Method("qsr.quant.rlq:RLQ", (2, 8), (2, 8), "QuantSR's redistribution-driven learnable quantizer"),
    "lsq": Method("qsr.quant.lsq:LSQ", (2, 8), (2, 8), "Learned step size quantization (Esser et al., ICLR 2020)"),
    "srb": Method(
        "qsr.quant.srb:SRB", (1, 1), (1, 1), "FRB's second-order residual binarization (Qin et al., ICML 2024)", "channel"
    ),
    "bnn": Method("qsr.quant.bnn:BNN", (1, 1), (1, 1), "Binarized neural networks (Hubara et al., NeurIPS 2016)"),
    "xnor": Method("qsr.quant.xnor:XNOR", (1, 1), (1, 1), "XNOR-Net (Rastegari et al., ECCV 2016)", "channel"),
    "xnorpp": Method("qsr.quant.xnorpp:XNORPP", (1, 1), (1, 1), "XNOR-Net++ (Bulat and Tzimiropoulos, BMVC 2019)", "channel"),
    "bireal": Method("qsr.quant.bireal:BiReal", (1, 1), (1, 1), "Bi-Real Net (Liu et al., ECCV 2018)", "channel"),
    "dorefa": Method("qsr.quant.dorefa:DoReFa", (1, 8), (1, 8), "DoReFa-Net (Zhou et al., 2016)"),
    "pams": Method("qsr.quant.pams:PAMS", (2, 8), (2, 8), "PAMS, parameterized max scale (Li et al., ECCV 2020)"),
    "cadyq": Method("qsr.quant.cadyq:CADyQ", (2, 8), (2, 8), "CADyQ, activation bits by content (Hong et al., ECCV 2022)"),
    "lsq_plus": Method("qsr.quant.lsq_plus:LSQPlus", (2, 8), (2, 8), "LSQ+, learned offset (Bhalgat et al., CVPRW 2020)"),
    "ewgs": Method("qsr.quant.ewgs:EWGS", (2, 8), (2, 8), "EWGS, element-wise gradient scaling (Lee et al., CVPR 2021)"),
    "irnet": Method("qsr.quant.irnet:IRNet", (1, 1), (1, 1), "IR-Net (Qin et al., CVPR 2020)", "channel"),
    "recu": Method("qsr.quant.recu:ReCU", (1, 1), (1, 1), "ReCU, rectified clamp unit (Xu et al., ICCV 2021)", "channel"),
    "fda": Method("qsr.quant.fda:FDA", (1, 1), (1, 1), "FDA-BNN, frequency domain (Xu et al., NeurIPS 2021)", "channel"),
    "reactnet": Method("qsr.quant.reactnet:ReActNet", (1, 1), (1, 1), "ReActNet (Liu et al., ECCV 2020)", "channel"),
    "btm": Method("qsr.quant.btm:BTM", (1, 1), (1, 1), "BTM, without batch norm (Jiang et al., AAAI 2021)", "channel", True),
    "bam": Method("qsr.quant.bam:BAM", (1, 1), (1, 1), "BAM, bit accumulation (Xin et al., ECCV 2020)", "channel", True),
}

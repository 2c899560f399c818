"""What a comparison found: layer by layer, picture by picture, and whether the file is the trained network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from qsr.export.sizes import Sizes

EQUAL_SHARE, MOST = 0.999, 1  # of output bytes: at least equal, and the largest difference allowed, in grey levels
AS_NEAR = 3.0  # how much farther from float64 than torch's float32 the executor may be
MOVED = 2  # codes that rounding may move in the executor alone: so few are chance, in torch's float32 none may have


@dataclass(frozen=True)
class LayerCheck:
    """One layer with codes.

    codes_equal: None without weight codes. sums: integer sums compared; 0 where one side has no codes, where a scale per
    input channel stands between them, or where the depth in use leaves the layer out. sums_different: of these.
    """

    name: str
    bits: str
    codes_equal: bool | None
    sums: int
    sums_different: int

    @property
    def passed(self) -> bool:
        return self.codes_equal is not False and self.sums_different == 0


@dataclass(frozen=True)
class Agreement:
    """Output bytes over all pictures and depths: share of equal ones, and the largest difference in grey levels."""

    equal_share: float
    max_difference: int

    @property
    def close(self) -> bool:
        return self.equal_share >= EQUAL_SHARE and self.max_difference <= MOST

    def text(self) -> str:
        share = f"{100 * self.equal_share:.4f} % of output bytes equal"
        return f"{share}, largest difference {self.max_difference}"


@dataclass(frozen=True)
class VerifyReport:
    """executor: what upscaled the pictures. single: it against torch as it is, in float32.

    Where that is not close, because rounding moved a code and the layers behind made much of it (alike.py), there are also:
    double: the executor against torch in float64; own: torch's float32 against its float64; alike: the numpy executor
    against torch with the same roundings, for convolutional networks. Then the file is the network if the executor is about
    as near to float64 as torch's float32 is, and with the same roundings hardly a byte differs. reach: share of a picture
    that depends on one input pixel, hence at most changes where one code moves.
    """

    layers: tuple[LayerCheck, ...]
    executor: str
    pictures: int
    single: Agreement
    double: Agreement | None
    own: Agreement | None
    alike: Agreement | None
    sizes: Sizes
    reach: float = 0.0

    @property
    def passed(self) -> bool:
        return all(layer.passed for layer in self.layers) and (self.single.close or self._rounding_only)

    @property
    def _rounding_only(self) -> bool:
        if self.double is None or self.own is None:
            return False
        allowed = AS_NEAR * (1 - self.own.equal_share) + (1 - EQUAL_SHARE)
        if self.alike is not None:
            allowed += MOVED * self.reach
        near = 1 - self.double.equal_share <= allowed
        return self.double.close or (near and (self.alike is None or self.alike.close))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "sizes": self.sizes.to_json(), "passed": self.passed}

    def table(self) -> str:
        """Plain text: one line per layer, the pictures, the bytes."""
        width = max((len(layer.name) for layer in self.layers), default=5)
        lines = [f"  {'layer':<{width}}  {'bits':<8}  weight codes  integer sums"]
        for layer in self.layers:
            codes = "-" if layer.codes_equal is None else "equal" if layer.codes_equal else "DIFFERENT"
            sums = "-" if not layer.sums else f"{layer.sums} equal"
            if layer.sums_different:
                sums = f"{layer.sums_different} of {layer.sums} DIFFERENT"
            lines.append(f"  {layer.name:<{width}}  {layer.bits:<8}  {codes:<12}  {sums}")
        lines.append(f"  {self.pictures} pictures by {self.executor} against torch: {self.single.text()}")
        told = (
            ("it", "torch in float64", self.double),
            ("torch's own float32", "its float64", self.own),
            ("numpy", "torch, every rounding decided alike", self.alike),
        )
        lines += [f"    {one} against {other}: {found.text()}" for one, other, found in told if found is not None]
        lines += [] if self.passed else ["  FAILED"]
        return "\n".join((*lines, self.sizes.table()))

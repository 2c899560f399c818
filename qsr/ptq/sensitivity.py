"""What each layer loses at each bit-width: the network with only that layer quantized, on calibration patches.

Step sizes are those of the MSE search on the full-precision network, so one pass of statistics per bit-width serves all
layers. Operands of attention products are no layers and stay in full precision here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from qsr.errors import FormatError, OptionsError
from qsr.evaluate.subject import protocol_of
from qsr.evaluate.upscale import pick_device
from qsr.ptq.judge import Judge
from qsr.ptq.modes import full_precision, layers
from qsr.ptq.pictures import Calibration
from qsr.ptq.run import Ptq, set_steps
from qsr.ptq.source import Wanted, open_network, quantized_options
from qsr.quant import Quantizer

FORMAT = 1
FULL = 32
Sides = Literal["both", "separate"]


@dataclass(frozen=True)
class Loss:
    """One layer at one choice of bits (32: that side in full precision).

    psnr_y: dB, of the network with only this layer quantized; psnr_lost: full precision's minus that, and may be negative.
    error: mean squared change of the output, RGB in [0, 255]; never negative, and what `allocate` adds up.
    """

    layer: str
    w_bits: int
    a_bits: int
    psnr_y: float
    psnr_lost: float
    error: float


@dataclass(frozen=True)
class Sensitivity:
    """psnr_y: of the full-precision network on the same patches. quant: the `quant` section, whose bits do not count."""

    model: str
    calibration: str
    patches: int
    side: int
    psnr_y: float
    quant: dict[str, Any]
    rows: tuple[Loss, ...]

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str = "sensitivity") -> Sensitivity:
        """Raises FormatError for what `to_json` did not write."""
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise FormatError(f"not a sensitivity file of format {FORMAT}", where=where, hint="`qsr sensitivity` writes one")
        try:
            values = {entry.name: data[entry.name] for entry in fields(cls)}
            return cls(**{**values, "rows": tuple(Loss(**row) for row in data["rows"])})
        except (KeyError, TypeError) as fault:
            raise FormatError(f"damaged sensitivity file ({fault})", where=where) from fault

    def to_csv(self) -> str:
        """One line per row, with a header."""
        out = io.StringIO()
        writer = csv.DictWriter(out, [entry.name for entry in fields(Loss)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in self.rows)
        return out.getvalue()

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.layer for row in self.rows))


def measure(
    checkpoint: Path,
    calibration: Path,
    bits: Sequence[int],
    wanted: Wanted | None = None,
    how: Ptq | None = None,
    sides: Sides = "both",
    device: str = "cpu",
    notify: Callable[[str], None] = lambda line: None,
) -> Sensitivity:
    """Quantize one layer after the other of a full-precision model and say what each costs.

    bits: widths to try. sides: `both` quantizes weight and input to the same width; `separate` measures weights alone
    and inputs alone. how: patches, side, batch and seed count. Raises OptionsError, FormatError, DataError as `ptq` does.
    """
    if not bits:
        raise OptionsError("found no bit-width to measure, expected some, for instance 2,4,8")
    how = replace(how or Ptq(), method="mse", rounding=False)
    rows: list[Loss] = []
    judge = quant = None
    for width in sorted(set(bits)):
        options = quantized_options(checkpoint, replace(wanted or Wanted(), w_bits=width, a_bits=width))
        network, _ = open_network(checkpoint, options)
        network.to(pick_device(device))
        pictures = Calibration(calibration, options.scale, how.side, how.seed)
        set_steps(network, pictures, how)
        if judge is None or quant is None:
            judge = Judge(network, pictures, how.patches, how.batch, protocol_of(options))
            quant = options.to_json()["quant"]
        for name, w_bits, a_bits, active in _choices(layers(network), width, sides):
            with full_precision(network, but=active):
                score = judge(network)
            lost = judge.full_precision.psnr_y - score.psnr_y
            rows.append(Loss(name, w_bits, a_bits, score.psnr_y, lost, score.error))
            notify(f"{name} w{w_bits}a{a_bits}: {lost:+.3f} dB lost")
    assert judge is not None
    assert quant is not None
    place = {name: number for number, name in enumerate(dict.fromkeys(row.layer for row in rows))}
    rows.sort(key=lambda row: place[row.layer])
    psnr = judge.full_precision.psnr_y
    return Sensitivity(str(checkpoint), calibration.name, how.patches, how.side, psnr, quant, tuple(rows))


def _choices(
    named: Mapping[str, tuple[Quantizer | None, Quantizer | None]], width: int, sides: Sides
) -> Iterator[tuple[str, int, int, list[Quantizer]]]:
    """(layer, weight bits, activation bits, the quantizers at work) of everything to measure at one width."""
    for name, (weight, act) in named.items():
        if sides == "both":
            active = [one for one in (weight, act) if one is not None]
            yield name, width if weight else FULL, width if act else FULL, active
            continue
        if weight is not None:
            yield name, width, FULL, [weight]
        if act is not None:
            yield name, FULL, width, [act]

"""What a trained network gives up to be packed: choices by picture, and full precision in its tail where that is asked for.

Both change a copy of the network, from a few pictures and without training, so that what is exported is still a network
that torch runs: it can be measured against the one before, and the file compared with it layer by layer.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from qsr.errors import OptionsError
from qsr.export.lower import BODIES, Tail
from qsr.export.pictures import Calibration
from qsr.quant import QConv2d, calibrate, quantizers
from qsr.quant.cadyq import CADyQ
from qsr.spec import QuantSpec

TAIL_BITS: dict[Tail, tuple[int, int]] = {"int8": (8, 8), "w4a8": (4, 8), "w4a4": (4, 4)}  # of weights, of inputs
LEAST_ERROR = (("init", "mse"),)


@dataclass(frozen=True)
class Cost:
    """What one step of the preparation costs: PSNR_Y on the calibration pictures before and after it."""

    what: str
    before: float
    after: float
    pictures: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        change = self.after - self.before
        return (
            f"{self.what}: {self.before:.3f} dB -> {self.after:.3f} dB ({change:+.3f}) on {self.pictures} calibration pictures"
        )


def is_dynamic(network: nn.Module) -> bool:
    """Whether bits are chosen by the picture (CADyQ)."""
    return any(True for _ in _choosing(network))


def fixed_choices(network: nn.Module, pictures: Calibration) -> tuple[nn.Module, Cost]:
    """A copy in which every quantizer of CADyQ has the candidate that it chose most often on the pictures."""
    network = copy.deepcopy(network)
    before = pictures.psnr(network, network.scale)
    votes = {quantizer: torch.zeros(len(quantizer.space), dtype=torch.int64) for quantizer in _choosing(network)}

    def count(quantizer: CADyQ, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        votes[quantizer] += torch.bincount(quantizer.choices(inputs[0]).cpu(), minlength=len(quantizer.space))

    _watched(network, {quantizer: partial(count, quantizer) for quantizer in votes}, pictures)
    for quantizer, counted in votes.items():
        quantizer.fixed = int(counted.argmax())
    bits = sum(quantizer.space[quantizer.fixed or 0] for quantizer in votes) / len(votes)
    what = f"activation bits fixed, {bits:.2f} on average"
    return network, Cost(what, before, pictures.psnr(network, network.scale), len(pictures.lr))


def quantized_tail(network: nn.Module, tail: Tail, pictures: Calibration) -> tuple[nn.Module, Cost]:
    """A copy whose full-precision convolutions between body and last one have LSQ's codes.

    Scales, one per output channel of a weight and one per input, are those of the least squared error; then each bias
    takes up the mean error of its channel. Raises OptionsError where there is no such convolution.
    """
    w_bits, a_bits = TAIL_BITS[tail]
    before, network = network, copy.deepcopy(network)
    names = tail_layers(network)
    if not names:
        raise OptionsError(f"--tail {tail}: this network has no full-precision convolution between body and last one")
    weight, act = QuantSpec("lsq", w_bits, "channel", LEAST_ERROR), QuantSpec("lsq", a_bits, "tensor", LEAST_ERROR)
    for name in names:
        parent, _, leaf = name.rpartition(".")
        setattr(network.get_submodule(parent), leaf, QConv2d.from_float(network.get_submodule(name), weight, act))
    calibrate(network, pictures.batches())
    for name in names:
        error = _mean_output(before, name, pictures) - _mean_output(network, name, pictures)
        with torch.no_grad():
            network.get_submodule(name).bias += error
    psnr = [pictures.psnr(one, network.scale) for one in (before, network)]
    return network, Cost(f"tail at w{w_bits}a{a_bits} ({', '.join(names)})", psnr[0], psnr[1], len(pictures.lr))


def with_rounded(network: nn.Module, rounded: Mapping[str, Tensor]) -> nn.Module:
    """A copy with the weights that a file stores as float16 (Lowered.rounded), in eval mode."""
    network = copy.deepcopy(network).eval()
    with torch.no_grad():
        for name, weight in rounded.items():
            network.get_submodule(name).weight.copy_(weight)
    return network


def rounding_cost(network: nn.Module, rounded: Mapping[str, Tensor], pictures: Calibration) -> Cost:
    """Of storing weights as float16."""
    psnr = [pictures.psnr(one, network.scale) for one in (network, with_rounded(network, rounded))]
    return Cost(f"{len(rounded)} layers stored as float16", psnr[0], psnr[1], len(pictures.lr))


def tail_layers(network: nn.Module) -> tuple[str, ...]:
    """Full-precision convolutions behind the body, without the one that makes the picture."""
    convs = [name for name, layer in network.named_modules() if type(layer) is nn.Conv2d and not name.startswith(BODIES)]
    last = "conv_last" if getattr(network, "conv_last", None) is not None else "upsample.0"
    return tuple(name for name in convs if name not in ("conv_first", last))


def _choosing(network: nn.Module) -> list[CADyQ]:
    return [q for _, q in quantizers(network) if isinstance(q, CADyQ) and q.role == "act" and q.fixed is None]


def _mean_output(network: nn.Module, name: str, pictures: Calibration) -> Tensor:
    """Mean of each channel of a layer's output over the pictures, (C,)."""
    means: list[Tensor] = []

    def note(inputs: tuple[Tensor, ...], output: Tensor) -> None:
        means.append(output.mean((0, 2, 3)))

    _watched(network, {network.get_submodule(name): note}, pictures)
    return torch.stack(means).mean(0)


def _watched(network: nn.Module, watchers: dict[Any, Any], pictures: Calibration) -> None:
    """Run the pictures through the network; each watcher gets (inputs, output) of its module."""
    hooks = [
        module.register_forward_hook(lambda _, inputs, output, watch=watch: watch(inputs, output))
        for module, watch in watchers.items()
    ]
    try:
        with torch.no_grad():
            for batch in pictures.batches():
                network(batch)
    finally:
        for hook in hooks:
            hook.remove()

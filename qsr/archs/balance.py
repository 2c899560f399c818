"""The same, right start for every one-bit network: residual branches that are small against their streams.

A one-bit convolution of full-precision weights gives a branch several times as large as the stream that it is added to;
the skips drown, and the network starts far from the one that its weights come from. What a quantizer is worth shows
only once this is put right, so it is done for all of them alike, by measuring (algorithms 2.1, "Start of training").

At every sum of stream and branch (`Join` with a gain), walking through the network once: measure std(branch) / std(stream),
set the sum's `gain` to what makes it `ratio`, and let the branch count as right for everything that follows. `gain` is a
buffer: it is saved, training leaves it alone, and it folds into the layer's scale.

The weights keep their size. Scaling them instead, which methods with an analytic scale allow, makes latent weights a
hundredth of what they were: Adam's steps, which know nothing of size, then flip their signs at random, and what the
full-precision start knew is lost (docs/quantizers.md has the measurement: 36.22 dB against what gains give).

Quantizers that start from the data (windows, learned scales, steps) are set anew, since their inputs have another size
behind a balanced sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from qsr.archs.units import Join, RankNorm
from qsr.quant import calibrate
from qsr.quant.modules import QConv2d, QLinear, quantizers

Layer = QConv2d | QLinear


def balance(network: nn.Module, pictures: Tensor, ratio: float = 0.1) -> None:
    """Set the gains of a quantized network, in place, so that std(branch) = ratio * std(stream) at every sum.

    pictures: one batch of LR pictures (N, 3, h, w) in [0, 1] on the network's device, the same on every rank.
    Calibrate the network afterwards: quantizers are set here too, but from this one batch. A branch without any signal or
    without a quantized layer keeps gain 1; a network without gains is left as it is.
    """
    joins = [join for join in network.modules() if isinstance(join, Join) and join.gain is not None]
    if not joins:
        return
    for join in joins:
        _gain(join).fill_(1)
    one_bit: list[nn.Module] = []  # quantized layers that ran since the last sum

    def set_gain(join: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(join, Join)
        if not one_bit:
            return
        stream, branch = inputs[0], join.branch(*inputs[1:])
        factor = ratio * float(stream.float().std()) / max(float(branch.float().std()), 1e-30)
        if math.isfinite(factor) and 0 < factor < 1e6:
            _gain(join).fill_(factor)
        if not join.inner:
            one_bit.clear()

    layers = [module for module in network.modules() if isinstance(module, Layer)]
    handles = [layer.register_forward_hook(lambda layer, x, y: one_bit.append(layer)) for layer in layers]
    handles += [join.register_forward_pre_hook(set_gain) for join in joins]
    try:
        with _set_anew(network), _biases_kept(network):
            calibrate(network, [pictures])
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _set_anew(network: nn.Module) -> Iterator[None]:
    """Let every quantizer start from the data once more, and batch norms take their statistics from it alone."""
    set_before = [quantizer for _, quantizer in quantizers(network) if quantizer.initialised]
    norms = [module for module in network.modules() if isinstance(module, RankNorm)]
    momenta = [norm.momentum for norm in norms]
    handles = [norm.register_forward_pre_hook(_train) for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    for quantizer in set_before:
        quantizer.initialised.fill_(False)
    try:
        yield
    finally:
        for quantizer in set_before:
            quantizer.initialised.fill_(True)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for handle in handles:
            handle.remove()


@contextmanager
def _biases_kept(network: nn.Module) -> Iterator[None]:
    """Calibrating takes initial shifts off the biases, which must happen once only: when the network is calibrated."""
    kept = [
        (layer.bias, layer.bias.detach().clone())
        for layer in network.modules()
        if isinstance(layer, Layer) and layer.bias is not None
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for bias, value in kept:
                bias.copy_(value)


def _train(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    module.training = True


def _gain(join: Join) -> Tensor:
    assert join.gain is not None
    return join.gain

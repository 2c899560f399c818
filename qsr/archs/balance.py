"""The same, right start for every one-bit network: residual branches that are small against their streams.

A one-bit convolution of full-precision weights gives a branch several times as large as the stream that it is added to;
the skips drown, and the network starts far from the one that its weights come from. What a quantizer is worth shows
only once this is put right, so it is done for all of them alike, by measuring (algorithms 2.1, "Start of training").

At every sum of stream and branch (`Join` with a gain), walking through the network once per round:

1. measure std(branch) / std(stream); the branch counts as if it were right already for everything that follows;
2. scale weight and bias of the last quantized layer in the branch by what is missing, and measure again;
3. a layer whose output ignores the size of its weights (sign(w), standardised weights, batch norm after it) gets its
   weights back, because smaller latent weights would only flip more often; the factor goes into the sum's `gain`.

Learned scales (XNOR++, ReCU, LSQ: a parameter `step`) keep the size that their paper starts them with and leave the
whole factor to `gain`: Adam moves a parameter by the learning rate per step, which a scale of 0.001 would not survive.

Quantizers that start from the data (windows, learned scales, steps) are set anew in every round, since both their
weights and their inputs have another size afterwards. `gain` is a buffer: it is saved, and training leaves it alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from qsr.archs.units import Join, RankNorm
from qsr.quant import calibrate
from qsr.quant.modules import QConv2d, QLinear, quantizers

Layer = QConv2d | QLinear


def balance(network: nn.Module, pictures: Tensor, ratio: float = 0.1) -> None:
    """Scale the branches of a quantized network in place, so that std(branch) = ratio * std(stream) at every sum.

    pictures: one batch of LR pictures (N, 3, h, w) in [0, 1] on the network's device, the same on every rank.
    Calibrate the network afterwards: quantizers are set here too, but from this one batch.
    Branches without a quantized layer, or without any signal, are left as they are; so are networks without gains.
    """
    joins = [join for join in network.modules() if isinstance(join, Join) and join.gain is not None]
    if not joins:
        return
    found = _measure(network, joins, pictures, ratio)
    layers = {join: layer for join, layer in found.items() if not _learned_scale(layer)}
    if not layers:
        return
    wanted = {join: _take_gain(join) for join in layers}
    for join, layer in layers.items():
        _scale(layer, wanted[join])
    _measure(network, joins, pictures, ratio)
    ignored = [join for join in layers if _ignored(float(_gain(join)), wanted[join])]
    for join in ignored:
        _scale(layers[join], 1 / wanted[join])
    if ignored:
        _measure(network, joins, pictures, ratio)


def _measure(network: nn.Module, joins: list[Join], pictures: Tensor, ratio: float) -> dict[Join, Layer]:
    """One forward pass that sets quantizers and gains from the data; the last quantized layer of each branch.

    A layer that two nested branches end with belongs to the inner one; the outer branch has its gain alone.
    """
    last: list[Layer] = []
    found: dict[Join, Layer] = {}

    def ran(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, Layer):
            last[:] = [layer]

    def joined(join: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(join, Join)
        if not last:
            return
        stream, branch = inputs[0], join.branch(*inputs[1:])
        factor = ratio * float(stream.float().std()) / max(float(branch.float().std()), 1e-30)
        if math.isfinite(factor) and 0 < factor < 1e6:
            _gain(join).fill_(factor)
            if last[0] not in found.values():
                found[join] = last[0]
        if not join.inner:
            last.clear()

    for join in joins:
        _gain(join).fill_(1)
    handles = [module.register_forward_hook(ran) for module in network.modules() if isinstance(module, Layer)]
    handles += [join.register_forward_pre_hook(joined) for join in joins]
    try:
        with _set_anew(network), _biases_kept(network):
            calibrate(network, [pictures])
    finally:
        for handle in handles:
            handle.remove()
    return found


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


def _learned_scale(layer: Layer) -> bool:
    return isinstance(getattr(layer.weight_quant, "step", None), nn.Parameter)


def _gain(join: Join) -> Tensor:
    assert join.gain is not None
    return join.gain


def _take_gain(join: Join) -> float:
    """The gain, which goes back to 1."""
    factor = float(_gain(join))
    _gain(join).fill_(1)
    return factor


def _ignored(left: float, wanted: float) -> bool:
    """Whether scaling the weights by `wanted` left most of it to do."""
    return abs(math.log(left)) > 0.5 * abs(math.log(wanted)) + 0.01


@torch.no_grad()
def _scale(layer: Layer, factor: float) -> None:
    layer.weight.mul_(factor)
    if layer.bias is not None:
        layer.bias.mul_(factor)

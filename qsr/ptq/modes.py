"""One network, several behaviours: quantizers that stand aside for a while, so that a network is its own teacher.

Inside `full_precision(network)` a quantized network computes what it did before it was quantized: no second copy of the
weights is needed for statistics, for distillation targets or for quantizing one layer at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from qsr.quant import QConv2d, QLinear, Quantizer, quantizers


@contextmanager
def replaced(forwards: Mapping[Quantizer, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Inside, each quantizer computes the given function of its input instead of its own."""
    for quantizer, forward in forwards.items():
        quantizer.__dict__["forward"] = forward  # what the instance holds goes before the class's method
    try:
        yield
    finally:
        for quantizer in forwards:
            del quantizer.__dict__["forward"]


@contextmanager
def full_precision(network: nn.Module, but: Collection[Quantizer] = ()) -> Iterator[None]:
    """Inside, every quantizer except those of `but` passes its input through."""
    kept = set(but)
    with replaced({quantizer: _pass for _, quantizer in quantizers(network) if quantizer not in kept}):
        yield


def layers(network: nn.Module) -> dict[str, tuple[Quantizer | None, Quantizer | None]]:
    """Dotted name of each quantized layer -> (weight quantizer, activation quantizer), in the network's order."""
    return {
        name: (module.weight_quant, module.act_quant)
        for name, module in network.named_modules()
        if isinstance(module, QConv2d | QLinear)
    }


def _pass(x: Tensor) -> Tensor:
    return x

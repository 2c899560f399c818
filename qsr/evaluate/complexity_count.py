"""What a network computes and stores, module by module, counted on the real network.

Operations are counted by running the network once on meta tensors (shapes without numbers), so skipped blocks, padding
to windows and convolutions at high resolution are as they are in use, whatever the architecture. Costs in bits are
not here: complexity.py puts a price on these counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from qsr.archs import depth as depths
from qsr.archs.depth import DepthStack
from qsr.archs.swin_layers import WindowAttention
from qsr.quant.base import Quantizer
from qsr.quant.modules import initial_weights

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
OTHER_PRODUCTS = "(matrix products outside layers)"


@dataclass(frozen=True)
class Module:
    """One module's share of a forward pass and of the weights.

    kind: `conv`, `linear`, `products` (attention's matrix products), `norm`, or `other`.
    macs: multiply-accumulates of one image. bias_adds: additions of a bias. norm_elements: elements normalised.
    weights: elements of the weight of a conv or linear layer; biases: of its bias; others: any other parameters.
    """

    name: str
    kind: str
    macs: int = 0
    bias_adds: int = 0
    norm_elements: int = 0
    weights: int = 0
    biases: int = 0
    others: int = 0


def choose_depth(network: nn.Module, depth: int | None, order: Sequence[int] | None = None) -> None:
    """Activate `depth` blocks: the best of `order`, or, where the network is untrained, just any."""
    stack = depths.find_stack(network)
    if stack is not None and order is not None:
        with torch.no_grad():
            stack.order.copy_(torch.tensor(order))
    elif stack is not None and not depths.order_frozen(network):
        depths.freeze_order(network)
    depths.set_depth(network, depth)


def count(network: nn.Module, height: int, width: int, channels: int = 3) -> list[Module]:
    """The modules of a float network at its present depth, for one image (1, channels, height, width).

    The network is moved to the meta device and loses its numbers. Modules of skipped blocks are left out, except
    their shortcuts, which a sub-network still multiplies by.
    """
    names = {module: name for name, module in network.named_modules()}
    executed: dict[str, tuple[int, int, int]] = {}

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        before = executed.get(names[module], (0, 0, 0))
        executed[names[module]] = tuple(a + b for a, b in zip(before, _work(module, inputs[0], output), strict=True))  # type: ignore[assignment]

    kinds = (*CONVOLUTIONS, nn.Linear, nn.LayerNorm, WindowAttention)
    hooks = [module.register_forward_hook(record) for module in network.modules() if isinstance(module, kinds)]
    counter = FlopCounterMode(display=False)
    try:
        network.to("meta").eval()
        with torch.no_grad(), counter:
            network(torch.zeros(1, channels, height, width, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    modules = [
        Module(name, _kind(module), *executed.get(name, (0, 0, 0)), *_parameters(module))
        for name, module in _present(network)
        if name in executed or any(True for _ in module.parameters(recurse=False))
    ]
    products = counter.get_total_flops() // 2 - sum(module.macs for module in modules)
    return modules if products <= 0 else [*modules, Module(OTHER_PRODUCTS, "products", macs=products)]


def _present(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Named modules without the insides of skipped blocks."""
    skipped: list[str] = []
    for name, module in network.named_modules():
        if isinstance(module, DepthStack):
            skipped += [f"{name}.{number}." for number in range(len(module)) if number not in module.active]
    return [(name, module) for name, module in network.named_modules() if not name.startswith(tuple(skipped))]


def _work(module: nn.Module, x: Tensor, output: Tensor) -> tuple[int, int, int]:
    """(macs, bias additions, elements normalised) of one call."""
    if isinstance(module, WindowAttention):
        windows, n, c = x.shape
        return 2 * windows * n * n * c, 0, 0  # q k^T and attention v, each windows x heads x n x n x (c / heads)
    if isinstance(module, nn.LayerNorm):
        return 0, 0, output.numel()
    weight: Tensor = module.weight
    transposed = "Transpose" in type(module).__name__
    # each output (input, if transposed) element meets the weights of one output (input) channel
    places = x.numel() if transposed else output.numel()
    return places * weight.numel() // weight.shape[0], output.numel() if module.bias is not None else 0, 0


def _kind(module: nn.Module) -> str:
    if isinstance(module, CONVOLUTIONS):
        return "conv"
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, WindowAttention):
        return "products"
    return "norm" if isinstance(module, nn.LayerNorm) else "other"


def _parameters(module: nn.Module) -> tuple[int, int, int]:
    """(weights, biases, others) that the module itself owns."""
    own = {name: parameter.numel() for name, parameter in module.named_parameters(recurse=False)}
    if _kind(module) not in ("conv", "linear"):
        return 0, 0, sum(own.values())
    return own.pop("weight", 0), own.pop("bias", 0), sum(own.values())


@dataclass(frozen=True)
class Stored:
    """What a layer's quantizers add: `values` of 32 bits (steps, shifts, scales), `planes` of codes per weight."""

    values: int = 0
    planes: int = 1


def stored(network: nn.Module) -> dict[str, Stored]:
    """Dotted name of a layer of a quantized network -> what its quantizers store.

    One-bit methods that compute their scales from the latent weights have no parameter for them, but a packed model
    holds them all the same: they are counted as they are encoded.
    """
    found: dict[str, Stored] = {}
    initial_weights(network)  # some scales start from the weights
    for name, module in network.named_modules():
        if not isinstance(module, Quantizer):
            continue
        owner = name.rpartition(".")[0]
        before = found.get(owner, Stored())
        values = sum(math.prod(p.shape) for p in module.parameters(recurse=False))  # modules inside serve training only
        if module.role == "weight" and not values and module.spec.bits == 1:
            values = module.encode(network.get_submodule(owner).weight).scale.numel()  # type: ignore[arg-type]
        planes = module.planes if module.role == "weight" else before.planes
        found[owner] = Stored(before.values + values, planes)
    return found

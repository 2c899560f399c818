"""Torch's run of a network in which every rounding that could go either way goes as in the runtime.

Two float programs never have the same last bit, and in front of a quantizer that bit decides, once in some million values,
which of two codes comes out. Layers behind make much of it: torch's float32 and float64 disagree in a percent of the bytes
of some trained networks. So where torch's value at the input of a quantizer is the runtime's but for rounding, the runtime's
is taken; whatever then differs is a difference between the networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from qsr.export.builder import Array
from qsr.export.pictures import Picture, as_bytes, as_input
from qsr.quant import QConv2d
from qsr.quant.bam import BAM
from qsr.runtime.interpreter import Interpreter, to_bytes
from qsr.runtime.packed.ops import Conv, PackedHeader, Program

ROUNDING = 1e-5  # of a feature map's largest value: what two orders of summation may differ by, with room


def run_alike(
    network: nn.Module, header: PackedHeader, tensors: Mapping[str, Array], program: Program, picture: Picture
) -> tuple[Picture, Picture]:
    """(torch's picture, that of the runtime in numpy). network: convolutional, in eval mode, at the program's depth."""
    values: dict[int, Array] = {}
    found = Interpreter(header, tensors, program).run(
        picture, trace=lambda number, _, value, sums: values.update({number: value})
    )
    read = {op.name: values[op.inputs[0]] for op in program.ops if isinstance(op, Conv) and op.act is not None}
    undo = [
        _follow(module, torch.from_numpy(np.ascontiguousarray(read[name])).permute(2, 0, 1)[None])
        for name, module in network.named_modules()
        if name in read and isinstance(module, QConv2d)
    ]
    try:
        with torch.inference_mode():
            expected = network(as_input(picture))
    finally:
        for one in undo:
            one()
    return as_bytes(expected), to_bytes(found)


def taken(x: Tensor, runtime: Tensor) -> Tensor:
    """The runtime's values where x is the same but for rounding, else x; both (1, c, h, w)."""
    near = (x - runtime).abs() <= ROUNDING * runtime.abs().max()
    return torch.where(near, runtime, x)


def _follow(layer: QConv2d, runtime: Tensor) -> Callable[[], None]:
    """Let the layer's quantizer read what the runtime read; call the result to undo it."""
    quantizer = layer.act_quant
    assert quantizer is not None
    if isinstance(quantizer, BAM):  # the runtime's value has what was said before taken off already
        own = quantizer.latent
        quantizer.latent = lambda x: taken(own(x), runtime)  # type: ignore[method-assign]
        return partial(delattr, quantizer, "latent")
    handle = quantizer.register_forward_pre_hook(lambda _, inputs: (taken(inputs[0], runtime),))
    return handle.remove  # type: ignore[no-any-return]

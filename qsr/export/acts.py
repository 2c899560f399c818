"""How a layer's input is quantized, from the trained quantizer of whatever method."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from qsr.errors import OptionsError
from qsr.export.builder import Builder, Said, Shared, numbers
from qsr.quant import Quantizer
from qsr.quant.bam import BAM, Chain
from qsr.quant.base import SignCodes
from qsr.quant.cadyq import CADyQ
from qsr.quant.elastic import ElasticMap, Operand
from qsr.quant.xnor import XNOR
from qsr.runtime.packed.ops import Act, Add, ElasticAct, Quantize, SignAct, UniformAct


def input_of(b: Builder, x: int, name: str, quantizer: Quantizer | None) -> tuple[int, Act | None]:
    """(the value that the layer `name` quantizes, how); None: it takes the value as it is."""
    if quantizer is None:
        return x, None
    act = act_of(b.shared, name, quantizer)
    if isinstance(quantizer, BAM) and quantizer.chain is not None:
        x = _unsaid(b, x, name, quantizer, quantizer.chain, act)
    return x, act


def act_of(shared: Shared, name: str, quantizer: Quantizer) -> Act:
    """Shifts and scales per channel become tensors NAME.act.*. OptionsError for what no operation expresses."""
    if isinstance(quantizer, CADyQ) and quantizer.fixed is None:
        raise OptionsError("cadyq chooses its bits by the picture; fix its choices first", where=f"layer {name}")
    zeros = _zeros(quantizer)
    codes = quantizer.encode(zeros)
    shift = 0.0 if codes.shift is None else shared.vector(f"{name}.act.shift", codes.shift)
    if isinstance(codes, SignCodes):
        measured = _measured(quantizer)
        if measured is None and not torch.equal(codes.scale, _scale(quantizer, zeros + 1)):
            raise OptionsError(f"{quantizer.spec.method}'s activation scale cannot be packed", where=f"layer {name}")
        return SignAct(shift, measured or shared.vector(f"{name}.act.scale", codes.scale))
    offset = 0.0
    if codes.offset is not None:
        offset = float(numbers(codes.offset).reshape(()))
        shift = -offset
    bits = codes.bits if not isinstance(quantizer, CADyQ) or quantizer.fixed is None else quantizer.space[quantizer.fixed]
    step = float(numbers(codes.scale).reshape(()))
    return UniformAct(bits, codes.signed, step, codes.narrow and codes.signed, shift, offset)


def map_of(shared: Shared, name: str, quantizer: Quantizer) -> UniformAct | ElasticAct:
    """The same for the attention map."""
    if isinstance(quantizer, ElasticMap):
        return ElasticAct(shared.vector(f"{name}.act.step", _scale(quantizer, quantizer.step)))
    act = act_of(shared, name, quantizer)
    assert isinstance(act, UniformAct), "rules.matmul_spec gives one-bit maps a quantizer of their own"
    return act


def _zeros(quantizer: Quantizer) -> Tensor:
    """Some input, with the channels where the quantizer expects them; no parameter depends on it."""
    channels = getattr(quantizer, "channels", 1)
    shape = (1, channels, 1, 1) if getattr(quantizer, "channel_dim", 1) == 1 else (1, channels)
    return torch.zeros(shape, device=quantizer.initialised.device)


def _scale(quantizer: Quantizer, x: Tensor) -> Tensor:
    return quantizer.encode(x).scale


def _measured(quantizer: Quantizer) -> Literal["mean", "spatial"] | None:
    """What a scale is that follows the input; None where it does not."""
    if isinstance(quantizer, XNOR):
        spatial = quantizer.channel_dim == 1 and quantizer.spec.param("act_scale", "sample") == "spatial"
        return "spatial" if spatial else "mean"
    return "mean" if isinstance(quantizer, Operand) else None


def _unsaid(b: Builder, x: int, name: str, quantizer: BAM, chain: Chain, act: Act) -> int:
    """a - c * A, where A is what the layers before this one have made of their inputs; a where nothing is taken off.

    A is only put together where a layer takes it off. It begins anew as `Chain` says: at another size, and where the
    layer is not behind the last one.
    """
    said = b.chains.get(chain)
    if said is None or quantizer.place <= said.place or said.enlarged != b.enlarged(x):
        said = Said(quantizer.place, b.enlarged(x))
    elif quantizer.c is not None and quantizer.c.any():
        for value, before in said.waiting:
            part = b.add(Quantize((value,), before))
            said.total = part if said.total is None else b.add(Add((said.total, part)))
        said.waiting.clear()
        assert said.total is not None
        x = b.add(Add((x, b.affine(said.total, f"{name}.act.chain", -quantizer.c))))
    said.place = quantizer.place
    said.waiting.append((x, act))
    b.chains[chain] = said
    return x

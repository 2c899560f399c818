"""Stored activations quantize as the trained quantizers do, for every method and width."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qsr.errors import OptionsError
from qsr.export.acts import act_of, input_of, map_of
from qsr.export.builder import Builder, Shared
from qsr.quant import create
from qsr.quant.bam import BAM
from qsr.quant.base import SignCodes
from qsr.quant.bnn import BNN
from qsr.quant.cadyq import CADyQ
from qsr.quant.elastic import ElasticMap, Operand
from qsr.runtime.interpreter_layers import quantize
from qsr.runtime.packed.ops import Add, Affine, ElasticAct, Quantize, SignAct, UniformAct
from qsr.spec import METHODS, QuantSpec

CASES = [
    (m, bits, kind) for m, e in METHODS.items() for bits in range(e.a_bits[0], e.a_bits[1] + 1) for kind in ("conv", "linear")
]


def ready(method: str, bits: int, kind: str, signed: bool = True, **params: object):
    torch.manual_seed(1)
    spec = QuantSpec(method, bits, params=tuple(params.items()))
    quantizer = create(spec, "act", 5, 1 if kind == "conv" else -1).train()
    x = torch.randn((1, 5, 6, 4) if kind == "conv" else (7, 5))
    quantizer(x if signed else x.abs())
    with torch.no_grad():
        for name in ("shift", "c"):
            if isinstance(getattr(quantizer, name, None), nn.Parameter):
                getattr(quantizer, name).normal_(0, 0.3)
        if isinstance(quantizer, CADyQ):
            quantizer.fixed = len(quantizer.space) - 1
    return quantizer.eval(), x if signed else x.abs()


def channels_last(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x[0].permute(1, 2, 0).numpy() if x.dim() == 4 else x.numpy())


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("method", "bits", "kind"), CASES)
def test_every_method(method: str, bits: int, kind: str, signed: bool) -> None:
    quantizer, x = ready(method, bits, kind, signed)
    shared = Shared(half=lambda name: False)
    act = act_of(shared, "layer", quantizer)
    found = quantize(act, channels_last(x), shared.tensors, "map" if kind == "conv" else "last")
    with torch.no_grad():
        np.testing.assert_allclose(found.values(), channels_last(quantizer(x)), rtol=1e-6)
        codes = quantizer.encode(x)
    np.testing.assert_array_equal(found.codes, channels_last(codes.q[0] if isinstance(codes, SignCodes) else codes.q))
    assert isinstance(act, SignAct if bits == 1 else UniformAct)


def test_xnor_is_measured_where_it_says() -> None:
    shared = Shared(half=lambda name: False)
    scales = [
        act_of(shared, "layer", ready("xnor", 1, kind, act_scale=scale)[0]).scale
        for kind in ("conv", "linear")
        for scale in ("sample", "spatial")
    ]
    assert scales == ["mean", "spatial", "mean", "mean"]


def test_a_scale_that_follows_the_input_in_another_way_is_refused() -> None:
    class Peak(BNN):
        def scale_of(self, x: Tensor) -> Tensor:
            return x.abs().amax()

    with pytest.raises(OptionsError, match=r"layer body\.0: bnn's activation scale cannot be packed"):
        act_of(Shared(half=lambda name: False), "body.0", Peak(QuantSpec("bnn", 1), "act", 5, 1))


def test_maps_and_operands() -> None:
    shared = Shared(half=lambda name: False)
    elastic = ElasticMap(2).train()
    elastic(torch.rand(3, 2, 4, 4))
    act = map_of(shared, "attn", elastic.eval())
    assert isinstance(act, ElasticAct)
    np.testing.assert_array_equal(shared.tensors["attn.act.step"], elastic.step.detach().numpy().ravel())
    learned, _ = ready("lsq", 4, "conv", signed=False)
    found = map_of(shared, "attn", learned)
    assert isinstance(found, UniformAct)
    assert not found.signed
    operand = Operand(2, 3).train()
    operand(torch.randn(4, 2, 5, 3))
    with torch.no_grad():
        operand.shift.normal_()
    act = act_of(shared, "attn.q", operand.eval())
    assert act == SignAct("attn.q.act.shift", "mean")
    np.testing.assert_array_equal(shared.tensors["attn.q.act.shift"], operand.shift.detach().numpy().ravel())


def chain(length: int) -> list[BAM]:
    layers = [create(QuantSpec("bam", 1), "act", 5, 1) for _ in range(length)]
    BAM.link(layers, nn.Identity())
    for number, layer in enumerate(layers):
        layer.initialised.fill_(True)
        if layer.c is not None:
            nn.init.constant_(layer.c, number / 10)
    return layers


def test_a_chain_is_put_together_where_it_is_read() -> None:
    first, second, third = chain(3)
    nn.init.zeros_(second.c)
    b = Builder(Shared(half=lambda name: False))
    assert [input_of(b, 0, "l", quantizer)[0] for quantizer in (first, second)] == [0, 0]
    assert len(b.ops) == 1, "nothing is taken off yet, so nothing is added up"
    value, _ = input_of(b, 0, "third", third)
    assert [type(op) for op in b.ops[1:]] == [Quantize, Quantize, Add, Affine, Add]
    assert b.ops[4] == Affine((3,), -float(np.float32(0.2)), 0.0)
    assert b.ops[value] == Add((0, 4))


def test_a_chain_begins_anew_at_another_size_and_where_it_began() -> None:
    from qsr.runtime.packed.ops import Shuffle

    first, second, third = chain(3)
    b = Builder(Shared(half=lambda name: False))
    input_of(b, 0, "first", first)
    large = b.add(Shuffle((0,), 2))
    assert input_of(b, large, "second", second)[0] == large
    assert input_of(b, large, "third", third)[0] != large
    assert input_of(b, 0, "first", first)[0] == 0


def test_without_a_quantizer() -> None:
    assert input_of(Builder(Shared(half=lambda name: False)), 0, "l", None) == (0, None)

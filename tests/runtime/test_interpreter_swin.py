"""A Swin layer against qsr.archs.swin_layers.SwinLayer, full precision and one bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qsr.archs.swin_layers import Extras, SwinLayer
from qsr.archs.windows import partition, relative_positions, shift_mask
from qsr.quant.elastic import ElasticMap, Operand
from qsr.runtime import interpreter_swin as swin
from qsr.runtime.packed.ops import ElasticAct, FloatWeight, Linear, Operands, SignAct, Swin

SEED = 8


def lowered(layer: SwinLayer, dim: int, window: int, heads: int) -> tuple[Swin, dict[str, np.ndarray]]:
    """The packed form of a torch layer, for which the exporter has its own code."""
    tensors = {name: value.detach().numpy() for name, value in layer.state_dict().items()}

    def linear(name: str, module: torch.nn.Linear) -> Linear:
        weight = FloatWeight(f"{name}.weight")
        return Linear(name, module.in_features, module.out_features, weight, None, f"{name}.bias")

    operands = None
    if layer.attn.q_quant is not None:
        acts = []
        for key in "qkv":
            tensors[key] = getattr(layer.attn, f"{key}_quant").shift.detach().numpy().ravel()
            acts.append(SignAct(key, "mean"))
        tensors["map"] = layer.attn.attn_quant.step.detach().abs().numpy().ravel()
        operands = Operands(*acts, ElasticAct("map"))
    op = Swin(
        (0,),
        "layer",
        dim,
        window,
        layer.shift,
        heads,
        "attn.relative_position_bias_table",
        ("norm1.weight", "norm1.bias"),
        ("norm2.weight", "norm2.bias"),
        layer.norm1.eps,
        qkv=linear("attn.qkv", layer.attn.qkv),
        proj=linear("attn.proj", layer.attn.proj),
        fc1=linear("mlp.fc1", layer.mlp.fc1),
        fc2=linear("mlp.fc2", layer.mlp.fc2),
        proj_skip=layer.attn.join is not None,
        gain1=1.0 if layer.join1.gain is None else float(layer.join1.gain),
        gain2=1.0 if layer.join2.gain is None else float(layer.join2.gain),
        operands=operands,
    )
    return op, tensors


@pytest.mark.parametrize("shift", [0, 2, 3])
@pytest.mark.parametrize("extras", [Extras(), Extras(linear_skip=True), Extras(balanced=True)])
@pytest.mark.parametrize("binary", [False, True])
def test_against_torch(shift: int, extras: Extras, binary: bool) -> None:
    torch.manual_seed(SEED)
    dim, window, heads = 12, 4, 3
    layer = SwinLayer(dim, heads, window, shift, 2.0, extras).eval()
    with torch.no_grad():
        for value in layer.state_dict().values():
            value.copy_(torch.rand_like(value) - 0.3)
        if binary:
            for key in "qkv":
                setattr(layer.attn, f"{key}_quant", Operand(heads, dim // heads))
                getattr(layer.attn, f"{key}_quant").shift.normal_(0, 0.1)
                getattr(layer.attn, f"{key}_quant").initialised.fill_(True)
            layer.attn.attn_quant = ElasticMap(heads)
            layer.attn.attn_quant.step.copy_(torch.tensor([0.1, 0.05, 0.2]).view(1, heads, 1, 1))
            layer.attn.attn_quant.initialised.fill_(True)
    op, tensors = lowered(layer, dim, window, heads)
    x = torch.randn(1, 8, 12, dim)
    with torch.no_grad():
        expected = layer.eval()(x, shift_mask(8, 12, window, shift, x))[0].numpy()
    found = swin.SwinLayer(op, tensors)(x[0].numpy())
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()


def test_windows_positions_and_mask() -> None:
    x = np.random.default_rng(SEED).random((8, 12, 3), np.float32)
    cut = swin.partition(x, 4)
    assert np.array_equal(cut, partition(torch.from_numpy(x[None]), 4).numpy())
    assert np.array_equal(swin.merge(cut, 4, 8, 12), x)
    assert np.array_equal(swin.positions(5), relative_positions(5).numpy())
    assert np.array_equal(swin.mask(8, 12, 4, 2), shift_mask(8, 12, 4, 2, torch.zeros(1)).numpy())

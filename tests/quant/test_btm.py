"""BTM: standardised weights that keep their size."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from qsr.options import load
from qsr.options.schema import SRResNet
from qsr.quant.btm import BTM
from qsr.spec import METHODS, QuantSpec

DRAW = torch.Generator().manual_seed(15)
W, G = (torch.randn(3, 2, 3, 3, generator=DRAW, dtype=torch.float64) for _ in range(2))


def weights() -> BTM:
    return BTM(QuantSpec("btm", 1, "channel"), "weight", 3, 0)


def test_gradients_of_weights() -> None:
    w = (0.1 * W + 0.05).requires_grad_()
    out = weights()(w)
    out.backward(G)
    for row, upstream, found, grad in zip(*(t.detach().flatten(1).numpy() for t in (w, G, out, w.grad)), strict=True):
        centred, n = row - row.mean(), row.size
        deviation = math.sqrt((centred**2).sum() / (n - 1))
        size = deviation + 1e-5
        u = upstream * (np.abs(centred / size) <= 1)
        inner = u / size - centred * (u * centred).sum() / (size**2 * (n - 1) * deviation)
        assert np.abs(grad - inner + inner.mean()).max() < 1e-11
        assert np.abs(found - np.abs(row).mean() * np.where(centred >= 0, 1, -1)).max() < 1e-15


def test_gradients_of_activations() -> None:
    x = W.clone().requires_grad_()
    BTM(QuantSpec("btm", 1), "act", 2, 1)(x).backward(G)
    assert (x.grad - G * (2 - 2 * W.abs()) * (W.abs() < 1)).abs().max() < 1e-14


def test_a_layer_keeps_the_size_of_its_weights() -> None:
    assert torch.allclose(weights()(0.01 * W), 0.01 * weights()(W))


def test_signs_are_balanced_in_every_channel() -> None:
    shares = (weights().encode(W + 5).q[0] > 0).double().mean((1, 2, 3))
    assert ((shares > 0.25) & (shares < 0.75)).all()


def test_tables_say_that_it_is_approximate() -> None:
    assert METHODS["btm"].approximate


def test_the_ready_options_have_the_rest_of_the_method(repository: Path) -> None:
    found = load(repository / "options" / "btm_x2_w1a1.yml").options
    assert isinstance(found.network_g, SRResNet)
    assert (found.network_g.block, found.network_g.activation) == ("unit", "lrelu")
    assert found.train.activations_first > 0
    assert [term.weight for term in found.train.distill] == [1e-4]

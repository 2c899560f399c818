"""FDA-BNN: the sign's derivative by its Fourier series, and the noise that stands for the rest."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from qsr.quant import parameter_groups, quantize_
from qsr.quant.fda import FDA, Fourier
from qsr.quant.modules import QConv2d, QLinear
from qsr.spec import QuantRule, QuantSpec

DRAW = torch.Generator().manual_seed(13)
WEIGHT, ACT = QuantSpec("fda", 1, "channel"), QuantSpec("fda", 1)


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=DRAW, dtype=torch.float64)


def series(x: np.ndarray, n: int) -> np.ndarray:
    """The sum as the paper writes it."""
    total = sum(np.cos((2 * i + 1) * 0.1 * x) for i in range(n + 1))
    return 4 * 0.1 / math.pi * total * (np.abs(x) <= 1)


@pytest.mark.parametrize(("n", "at_zero"), [(9, 1.2732), (18, 2.4192)])
def test_golden_gradient_at_zero(n: int, at_zero: float) -> None:
    assert round(Fourier(n)(torch.zeros(1, dtype=torch.float64)).item(), 4) == at_zero


@pytest.mark.parametrize("n", range(9, 19))
def test_the_closed_form_is_the_series(n: int) -> None:
    x = torch.cat([torch.linspace(-1.2, 1.2, 4001, dtype=torch.float64), torch.tensor([0.0, 1e-200, 1, -1, 10 * math.pi, 1e9])])
    assert np.abs(Fourier(n)(x).numpy() - series(x.numpy(), n)).max() < 1e-12
    assert Fourier(n)(torch.tensor([math.inf, -math.inf])).tolist() == [0, 0]


@pytest.mark.parametrize(("progress", "n", "alpha"), [(0, 9, 0.1), (0.5, 13, 0.05), (0.3, 11, None), (1, 18, 0.0)])
def test_the_schedules(progress: float, n: int, alpha: float | None) -> None:
    quantizer = FDA(ACT, "act", 4, 1)
    quantizer.set_progress(progress)
    assert quantizer.surrogate.n == n
    assert quantizer.alpha == pytest.approx(
        alpha if alpha is not None else 0.05 * (1 + math.cos(math.pi * progress)), abs=1e-15
    )


def test_every_ninth_adds_a_term() -> None:
    quantizer, found = FDA(ACT, "act", 4, 1), []
    for step in range(10):
        quantizer.set_progress(step / 9)
        found.append(quantizer.surrogate.n)
    assert found == list(range(9, 19))


@pytest.mark.parametrize(("channel_dim", "shape"), [(1, (2, 8, 3, 5)), (-1, (2, 4, 8))])
def test_activations_in_training(channel_dim: int, shape: tuple[int, ...]) -> None:
    quantizer = FDA(ACT, "act", 8, channel_dim).double().train()
    quantizer.set_progress(0.3)
    x, g = draw(*shape), draw(*shape)
    leaf = x.clone().requires_grad_()
    out = quantizer(leaf)
    out.backward(g)
    rows, upstream, found, grads = (t.movedim(channel_dim, -1).reshape(-1, 8).numpy() for t in (x, g, out.detach(), leaf.grad))
    expect_noise(quantizer, rows, upstream, found, grads, np.where(rows >= 0, 1.0, -1.0))


@pytest.mark.parametrize("linear", [False, True])
def test_weights_in_training(linear: bool) -> None:
    kind = (
        QLinear.from_float(nn.Linear(12, 5), WEIGHT, None) if linear else QConv2d.from_float(nn.Conv2d(3, 5, 2), WEIGHT, None)
    )
    quantizer = kind.weight_quant.double().train()
    quantizer.set_progress(0.1)
    w, g = kind.weight.detach().double(), draw(*kind.weight.shape)
    leaf = w.clone().requires_grad_()
    out = quantizer(leaf)
    out.backward(g)
    rows, upstream, found, grads = (t.flatten(1).numpy() for t in (w, g, out.detach(), leaf.grad))
    expect_noise(quantizer, rows, upstream, found, grads, np.where(rows >= 0, 1, -1) * np.abs(rows).mean(1, keepdims=True))


def expect_noise(quantizer: FDA, z: np.ndarray, g: np.ndarray, out: np.ndarray, grad: np.ndarray, clean: np.ndarray) -> None:
    """Output and gradients of rows z by hand; `clean` is the output without noise."""
    first, second = (layer.weight.detach().numpy() for layer in (quantizer.noise.fc1, quantizer.noise.fc2))
    alpha, hidden = quantizer.alpha, np.maximum(z @ first.T, 0)
    assert np.abs(out - clean - alpha * (hidden @ second.T + 0.1 * np.sin(z))).max() < 1e-12
    back = (g @ second) * (z @ first.T > 0)
    expected = g * series(z, quantizer.surrogate.n) + alpha * (back @ first + 0.1 * np.cos(z) * g)
    assert np.abs(grad - expected).max() < 1e-12
    assert np.abs(quantizer.noise.fc2.weight.grad.numpy() - alpha * g.T @ hidden).max() < 1e-12
    assert np.abs(quantizer.noise.fc1.weight.grad.numpy() - alpha * back.T @ z).max() < 1e-12


def test_only_signs_are_deployed() -> None:
    layer = QConv2d.from_float(nn.Conv2d(3, 5, 3), WEIGHT, ACT)
    x = torch.randn(2, 3, 6, 6)
    assert layer.train().act_quant(x).unique().numel() > 2
    layer.eval()
    assert layer.act_quant(x).unique().tolist() == [-1, 1]
    assert torch.equal(layer.weight_quant(layer.weight), layer.weight_quant.encode(layer.weight).decode())
    assert layer.weight_quant.stored_bits(100) == 100


def test_the_optimiser_sees_the_noise_before_the_first_forward_pass() -> None:
    network = nn.Sequential(nn.Conv2d(64, 70, 3), nn.Linear(3, 3))
    quantize_(network, [QuantRule("*", WEIGHT, ACT)])
    shapes = {name: tuple(p.shape) for name, p in parameter_groups(network)["weights"] if "noise" in name}
    assert shapes == {
        "0.weight_quant.noise.fc1.weight": (9, 576),
        "0.weight_quant.noise.fc2.weight": (576, 9),
        "0.act_quant.noise.fc1.weight": (1, 64),
        "0.act_quant.noise.fc2.weight": (64, 1),
        "1.weight_quant.noise.fc1.weight": (1, 3),
        "1.weight_quant.noise.fc2.weight": (3, 1),
        "1.act_quant.noise.fc1.weight": (1, 3),
        "1.act_quant.noise.fc2.weight": (3, 1),
    }


def test_autocast_leaves_the_noise_exact() -> None:
    quantizer, x = FDA(ACT, "act", 8, 1).train(), torch.randn(2, 8, 3, 3)
    plain = quantizer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(quantizer(x), plain)

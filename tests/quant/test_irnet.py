"""IR-Net: standardised weights, powers of two, and a surrogate that hardens."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qsr.errors import OptionsError
from qsr.quant.base import Role
from qsr.quant.irnet import ErrorDecay, IRNet, standardised
from qsr.spec import QuantSpec, Scalar

DRAW = torch.Generator().manual_seed(11)
W, G = (torch.randn(3, 2, 3, 3, generator=DRAW, dtype=torch.float64) for _ in range(2))


def irnet(role: Role, **params: Scalar) -> IRNet:
    return IRNet(QuantSpec("irnet", 1, "channel" if role == "weight" else "tensor", tuple(params.items())), role, 3, 0)


def slope(x: np.ndarray, t: float) -> np.ndarray:
    return max(1 / t, 1) * t * (1 - np.tanh(t * x) ** 2)


def through_standardisation(upstream: np.ndarray, w: np.ndarray) -> np.ndarray:
    """dL/dw of one channel from dL/dw', written out by hand."""
    centred, n = w - w.mean(), w.size
    deviation = math.sqrt((centred**2).sum() / (n - 1))
    size = deviation + 1e-5
    inner = upstream / size - centred * (upstream * centred).sum() / (size**2 * (n - 1) * deviation)
    return inner - inner.mean()


@pytest.mark.parametrize(("progress", "t", "k"), [(0.0, 1e-3, 1000), (0.5, 0.1, 10), (0.75, 1.0, 1), (1.0, 10, 1)])
def test_golden_values_of_the_schedule(progress: float, t: float, k: float) -> None:
    found = ErrorDecay(progress)
    assert (found.t, found.k) == (pytest.approx(t, rel=1e-12), pytest.approx(k, rel=1e-12))
    assert found(torch.zeros(1, dtype=torch.float64)).item() == pytest.approx(k * t)


def test_the_papers_own_start_is_an_option() -> None:
    assert irnet("act", t_min=0.01).surrogate.t == pytest.approx(0.01)
    with pytest.raises(OptionsError, match=r"expected 0\.001 or 0\.01"):
        irnet("act", t_min=0.1)


@pytest.mark.parametrize("progress", [0.0, 0.4, 1.0])
def test_gradients_of_weights(progress: float) -> None:
    quantizer = irnet("weight")
    quantizer.set_progress(progress)
    w = W.clone().requires_grad_()
    quantizer(w).backward(G)
    t = 10 ** (-3 + 4 * progress)
    for channel, upstream, found in zip(W.flatten(1).numpy(), G.flatten(1).numpy(), w.grad.flatten(1), strict=True):
        w_std = (channel - channel.mean()) / (channel.std(ddof=1) + 1e-5)
        expected = through_standardisation(upstream * slope(w_std, t), channel)
        assert np.abs(found.numpy() - expected).max() < 1e-12


@pytest.mark.parametrize("progress", [0.0, 0.4, 1.0])
def test_gradients_of_activations(progress: float) -> None:
    quantizer = irnet("act")
    quantizer.set_progress(progress)
    x = W.clone().requires_grad_()
    quantizer(x).backward(G)
    assert np.abs(x.grad.numpy() - G.numpy() * slope(W.numpy(), 10 ** (-3 + 4 * progress))).max() < 1e-12


def test_scales_are_the_nearest_powers_of_two() -> None:
    spread = torch.cat([W[:1], W[1:2] ** 7, torch.sign(W[2:])])  # ordinary, heavy-tailed, two-valued
    scale = irnet("weight").encode(spread).scale.flatten()
    sizes = standardised(spread).flatten(1).abs().mean(1)
    assert scale.tolist() == [2.0 ** round(math.log2(size)) for size in sizes.tolist()]
    assert scale[1] < scale[0] == 1


def test_the_size_and_the_mean_of_weights_do_not_matter() -> None:
    assert torch.equal(irnet("weight")(0.01 * W + 3), irnet("weight")(W))


def test_a_constant_channel_is_zero_with_a_finite_gradient() -> None:
    w = torch.full((3, 2, 1, 1), 0.25).requires_grad_()
    out = irnet("weight")(w)
    out.sum().backward()
    assert not out.any()
    assert torch.isfinite(w.grad).all()


def test_one_weight_per_channel_is_allowed() -> None:
    assert torch.isfinite(irnet("weight")(torch.randn(3, 1, 1, 1))).all()

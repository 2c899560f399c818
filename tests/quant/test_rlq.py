"""RLQ's redistribution function: golden values of algorithms 10, the identities of 1.1.3, its settings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qsr.errors import OptionsError
from qsr.quant.base import Role, create
from qsr.quant.fused import Levels, fused_quantize
from qsr.quant.lsq import StraightThrough
from qsr.quant.rlq import RLQ, Redistribution, phi, slope_polynomial
from qsr.spec import QuantSpec


@pytest.mark.parametrize(("k", "values"), [(2.0, (0.0640, 0.2506, 0.5, 0.7494)), (1.0, (0.0889, 0.2864, 0.5, 0.7136))])
def test_golden_values_of_phi(k: float, values: tuple[float, ...]) -> None:
    found = phi(torch.tensor([0.1, 0.3, 0.5, 0.7], dtype=torch.float64), k)
    assert [round(value, 4) for value in found.tolist()] == list(values)


@pytest.mark.parametrize(("k", "at_integers", "half_way"), [(2.0, 0.5514, 1.3130), (1.0, 0.8509, 1.0820)])
def test_golden_slopes(k: float, at_integers: float, half_way: float) -> None:
    found = Redistribution(k)(torch.tensor([0.0, 0.5, -0.5], dtype=torch.float64))
    assert [round(value, 4) for value in found.tolist()] == [at_integers, half_way, half_way]


def test_the_slope_is_phis_derivative_with_mean_one() -> None:
    u = torch.linspace(-3, 3, 6001, dtype=torch.float64)[1::2].requires_grad_()
    derivative = torch.autograd.grad(phi(u, 2.0).sum(), u)[0]
    offset = (u - u.round()).detach()
    assert (Redistribution(2.0)(offset.clone()) - derivative).abs().max() < 1e-12
    assert derivative.mean().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("k", [1e-3, 1.0, 2.0, 8.0])
def test_phi_fixes_integers_and_halves_is_monotone_and_never_changes_a_code(k: float) -> None:
    n = torch.arange(-8, 8, dtype=torch.float64)
    assert (phi(n, k) - n).abs().max() < 1e-12
    assert (phi(n + 0.5, k) - n - 0.5).abs().max() < 1e-12
    u = torch.linspace(-8, 8, 100_003, dtype=torch.float64)
    assert (phi(u, k).diff() > 0).all()
    assert torch.equal(phi(u, k).round(), u.round())


def test_why_the_slides_formula_is_rejected() -> None:
    def literal(u: float) -> float:
        f = u - math.floor(u)
        return math.tanh(2 * f - 1) / math.tanh(1) + math.floor(u) + 0.5

    assert round(literal(7)) == 6  # the clipped value of a 4-bit code would lose a level
    assert phi(torch.tensor(7.0), 2.0).round() == 7


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_small_k_is_lsq(dtype: torch.dtype) -> None:
    x = torch.linspace(-2, 2, 1001, dtype=dtype)
    grads = []
    for slope in (Redistribution(1e-3), StraightThrough()):
        leaves = x.clone().requires_grad_(), torch.tensor(0.3, dtype=dtype, requires_grad=True)
        out = fused_quantize(*leaves, None, Levels(-4, 3, 0.02), slope)
        grads.append(torch.autograd.grad((out * x).sum(), leaves))
    assert (grads[0][0] - grads[1][0]).abs().max() < 1e-6
    assert grads[0][1].item() == pytest.approx(grads[1][1].item(), abs=1e-6 * x.abs().sum().item())


@pytest.mark.parametrize("k", [1e-3, 0.5, 1.0, 2.0])
def test_the_polynomial_is_the_slope(k: float) -> None:
    offset = torch.linspace(-0.5, 0.5, 997, dtype=torch.float64)
    z = (0.5 - offset.abs()).numpy() ** 2
    polynomial = slope_polynomial(k)
    assert polynomial is not None
    found = np.polynomial.polynomial.polyval(z, polynomial)
    assert np.abs(found - Redistribution(k)(offset.clone()).numpy()).max() < 2e-7  # 1e-7, and the coefficients' float32


def test_a_steep_slope_has_no_short_polynomial() -> None:
    assert slope_polynomial(12.0) is None


@pytest.mark.parametrize(("channel_dim", "shape"), [(1, (1, 5, 1, 1)), (-1, (1, 5))])
def test_activations_have_a_shift_per_input_channel_that_starts_at_zero(channel_dim: int, shape: tuple[int, ...]) -> None:
    quantizer = create(QuantSpec("rlq", 4), "act", 5, channel_dim)
    assert tuple(quantizer.shift.shape) == shape
    assert not quantizer.shift.any()


@pytest.mark.parametrize(("role", "params"), [("weight", ()), ("act", (("shift", False),))])
def test_no_shift_for_weights_or_on_request(role: Role, params: tuple) -> None:
    quantizer = create(QuantSpec("rlq", 4, params=params), role, 5, 1)
    assert [name for name, _ in quantizer.named_parameters()] == ["step"]


def test_the_shift_is_added_and_never_taken_off() -> None:
    quantizer = RLQ(QuantSpec("rlq", 4), "act", 2, -1)
    x = torch.tensor([[1.0, 1.0]])
    quantizer(x)
    with torch.no_grad():
        quantizer.step.fill_(0.5)
        quantizer.shift.copy_(torch.tensor([[0.0, 1.0]]))
    assert quantizer(x).tolist() == [[1.0, 2.0]]
    assert quantizer.encode(x).shift is quantizer.shift or torch.equal(quantizer.encode(x).shift, quantizer.shift)


@pytest.mark.parametrize("k", [0, -1.0, 21, True, "2"])
def test_k_is_a_positive_number(k: object) -> None:
    with pytest.raises(OptionsError, match=r"expected a number in \(0, 20\]"):
        RLQ(QuantSpec("rlq", 4, params=(("k", k),)), "weight", 4, 0)


def test_one_bit_is_refused() -> None:
    with pytest.raises(OptionsError, match="undefined for 1 bit"):
        RLQ(QuantSpec("rlq", 1), "weight", 4, 0)

"""The closed-form gradients against autograd through the composed form, and the raw step parameter."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from qsr.quant.fused import STEP_FLOOR, Levels, codes, fused_quantize, positive
from qsr.quant.lsq import StraightThrough
from qsr.quant.rlq import Redistribution, phi

SIGNED_2 = Levels(-2, 1, 0.125)


def composed(x: Tensor, v: Tensor, shift: Tensor, levels: Levels, k: float) -> Tensor:
    """Algorithms 1.1.1: v (sg(round(u_hat) - phi(u_hat)) + phi(u_hat)) by plain autograd, s_g applied to v's gradient."""
    v = v * levels.grad_scale + (v - v * levels.grad_scale).detach()
    u_hat = ((x + shift) / v).clamp(levels.qmin, levels.qmax)
    smooth = phi(u_hat, k)
    return ((u_hat.round() - smooth).detach() + smooth) * v


@pytest.mark.parametrize("k", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("levels", [SIGNED_2, Levels(0, 3, 0.3), Levels(-8, 7, 1.0), Levels(0, 255, 0.01)])
def test_gradients_equal_autograd_through_the_composition(k: float, levels: Levels) -> None:
    random = torch.Generator().manual_seed(1)
    x = 3 * torch.randn(2, 3, 9, 8, generator=random, dtype=torch.float64)
    upstream = torch.randn(x.shape, generator=random, dtype=torch.float64)
    step, shift = torch.tensor(0.37, dtype=torch.float64), 0.3 * torch.randn(1, 3, 1, 1, generator=random, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad(function(*leaves), leaves, upstream)
        for function, leaves in (
            (
                lambda x, v, t: fused_quantize(x, v, t, levels, Redistribution(k)),
                [t.clone().requires_grad_() for t in (x, step, shift)],
            ),
            (lambda x, v, t: composed(x, v, t, levels, k), [t.clone().requires_grad_() for t in (x, step, shift)]),
        )
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() < 1e-12


def test_step_gradient_has_lsqs_three_cases() -> None:
    x = torch.tensor([-9.0, 0.3, 9.0], dtype=torch.float64)  # below, inside, above
    for upstream, expected in ((0, -2.0), (1, 0 - 0.3 / 0.5 + 1), (2, 1.0)):
        step = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        fused_quantize(x, step, None, SIGNED_2, StraightThrough())[upstream].backward()
        assert step.grad.item() == pytest.approx(0.125 * expected, abs=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_step_per_channel_gets_its_own_gradient(dtype: torch.dtype) -> None:
    x = torch.linspace(-2, 2, 24, dtype=dtype).view(3, 8)
    step = torch.tensor([[0.2], [0.5], [1.0]], dtype=dtype, requires_grad=True)
    fused_quantize(x, step, None, SIGNED_2, Redistribution(2.0)).sum().backward()
    for row in range(3):
        alone = step.detach()[row, 0].clone().requires_grad_()
        fused_quantize(x[row], alone, None, SIGNED_2, Redistribution(2.0)).sum().backward()
        assert step.grad[row, 0].item() == pytest.approx(alone.grad.item(), rel=1e-6)


def test_a_negative_raw_step_means_its_magnitude_and_its_gradient_turns_round() -> None:
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)
    steps = [torch.tensor(sign * 0.3, dtype=torch.float64, requires_grad=True) for sign in (1, -1)]
    up, down = (fused_quantize(x, step, None, SIGNED_2, StraightThrough()) for step in steps)
    assert torch.equal(up, down)
    (up**2).sum().backward()
    (down**2).sum().backward()
    assert steps[0].grad == -steps[1].grad != 0


def test_a_step_at_zero_stays_positive_and_can_leave() -> None:
    step = torch.tensor(0.0, requires_grad=True)
    assert positive(step) == pytest.approx(STEP_FLOOR)
    fused_quantize(torch.ones(3), step, None, SIGNED_2, StraightThrough()).sum().backward()
    assert step.grad.item() == pytest.approx(3 * 0.125)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_and_infinity_reach_the_output(dtype: torch.dtype) -> None:
    x = torch.tensor([math.nan, math.inf, -math.inf, 0.1], dtype=dtype)
    out = fused_quantize(x, torch.tensor(1.0, dtype=dtype), None, SIGNED_2, StraightThrough())
    assert out[0].isnan()
    assert out[1:].tolist() == [1.0, -2.0, 0.0]


def test_codes_are_the_integers_behind_the_forward() -> None:
    x = torch.linspace(-3, 3, 50)
    v, shift = torch.tensor(0.4), torch.full((1, 50), 0.1)
    q = codes(x[None], v, shift, SIGNED_2)
    assert set(q.unique().tolist()) == {-2.0, -1.0, 0.0, 1.0}
    assert torch.equal(q * v, fused_quantize(x[None], v, shift, SIGNED_2, StraightThrough()))

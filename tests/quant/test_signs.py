"""sign, its surrogates, and the one autograd function that joins them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from qsr.quant import signs

POINTS = torch.tensor([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 1.5])


def test_sign_of_either_zero_is_plus_one() -> None:
    assert signs.sign(POINTS).tolist() == [-1, -1, -1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_sign_keeps_the_dtype(dtype: torch.dtype) -> None:
    assert signs.sign(POINTS.to(dtype)).dtype == dtype


def test_surrogates_at_given_points() -> None:
    assert signs.identity(POINTS).tolist() == [1] * 8
    assert signs.ste(POINTS).tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    assert signs.poly(POINTS).tolist() == [0, 0, 1, 2, 2, 1, 0, 0]
    assert signs.Windowed(2.0)(POINTS).tolist() == [0, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("surrogate", [signs.poly, signs.Windowed(0.25), signs.Windowed(torch.tensor(3.0))])
def test_every_window_integrates_to_the_height_of_the_jump(surrogate: signs.Surrogate) -> None:
    x = torch.linspace(-4, 4, 80_001, dtype=torch.float64)
    assert torch.trapezoid(surrogate(x), x).item() == pytest.approx(2.0, abs=1e-6)


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("shape", [(), (3, 1), (1, 4), (1,)])
def test_gradients_are_the_documented_sums(chained: bool, shape: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(3)
    x, g = (torch.randn(3, 4, generator=draw, dtype=torch.float64) for _ in range(2))
    scale = torch.rand(shape, generator=draw, dtype=torch.float64)
    leaf, raw = x.clone().requires_grad_(), scale.clone().requires_grad_()
    out = signs.binarize(leaf, signs.poly, raw, chained)
    out.backward(g)
    jump = torch.tensor([[1.0 if value >= 0 else -1.0 for value in row] for row in x.tolist()], dtype=torch.float64)
    wide = scale.expand(3, 4)
    assert torch.equal(out, wide * jump)
    expected = g * (2 - 2 * x.abs()).clamp(min=0) * (wide if chained else 1)
    assert torch.allclose(leaf.grad, expected, rtol=1e-14)
    assert torch.allclose(raw.grad, (g * jump).sum_to_size(shape), rtol=1e-12)


def test_a_surrogate_without_scale_and_with_a_frozen_one() -> None:
    for scale in (None, torch.tensor(3.0)):
        x = POINTS.clone().requires_grad_()
        signs.binarize(x, signs.ste, scale).sum().backward()
        assert x.grad.tolist() == [0, 1, 1, 1, 1, 1, 1, 0]


def test_identity_is_not_written_into() -> None:
    """The backward pass multiplies in place; what a surrogate returns must be its own tensor."""
    x = POINTS.clone().requires_grad_()
    g: Tensor = torch.full_like(POINTS, 2.0)
    signs.binarize(x, signs.identity).backward(g)
    assert torch.equal(x.detach(), POINTS)
    assert torch.equal(g, torch.full_like(POINTS, 2.0))


def test_a_learned_scale_is_positive_and_its_derivative_never_zero() -> None:
    raw = torch.tensor([-0.5, -1e-9, 0.0, 1e-9, 2.0], requires_grad=True)
    scale = signs.learned_scale(raw)
    scale.sum().backward()
    assert scale.tolist() == pytest.approx([0.5, signs.SCALE_FLOOR, signs.SCALE_FLOOR, signs.SCALE_FLOOR, 2.0], rel=1e-4)
    assert raw.grad.tolist() == [-1, -1, 1, 1, 1]

"""Binarized operands of attention: levels, gradients from the written equations, first values, states."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from qsr.errors import OptionsError
from qsr.quant.elastic import ElasticMap, Operand

HEADS, N, FEATURES = 2, 4, 3


@pytest.fixture
def attention() -> Tensor:
    """(b, heads, n, n) probabilities, float64."""
    logits = 2 * torch.randn(3, HEADS, N, N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return logits.softmax(-1)


@pytest.fixture
def operand() -> Tensor:
    return torch.randn(3, HEADS, N, FEATURES, generator=torch.Generator().manual_seed(1))


def ready_map(steps: tuple[float, float] = (0.5, 0.25)) -> ElasticMap:
    quantizer = ElasticMap(HEADS)
    with torch.no_grad():
        quantizer.step.copy_(torch.tensor(steps).view(1, HEADS, 1, 1))
    quantizer.initialised.fill_(True)
    return quantizer.eval()


def test_levels_are_zero_and_s() -> None:
    p = torch.tensor([0.0, 0.2499, 0.25, 0.6]).view(1, 1, 2, 2).expand(1, HEADS, 2, 2)
    assert ready_map()(p)[0].flatten(1).tolist() == [[0, 0, 0.5, 0.5], [0, 0.25, 0.25, 0.25]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_map_is_its_integer_form(attention: Tensor, dtype: torch.dtype) -> None:
    quantizer, p = ready_map((0.5, -0.25)), attention.to(dtype)
    codes = quantizer.encode(p)
    assert torch.equal(quantizer(p), codes.decode().to(dtype))
    assert (codes.bits, codes.signed, codes.qmin, codes.qmax) == (1, False, 0, 1)
    assert codes.scale.flatten().tolist() == [0.5, 0.25]
    assert set(codes.q.unique().tolist()) == {0, 1}


def test_gradients_of_the_map(attention: Tensor) -> None:
    """The docstring's equations, element by element."""
    quantizer, p = ready_map().double(), attention.requires_grad_()
    g = torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(2))
    quantizer(p).backward(g)
    expected_p, expected_s = torch.zeros_like(p), torch.zeros(HEADS, dtype=p.dtype)
    for b in range(p.shape[0]):
        for head, s in enumerate((0.5, 0.25)):
            for i in range(N):
                for j in range(N):
                    u, up = p[b, head, i, j].item() / s, g[b, head, i, j].item()
                    expected_p[b, head, i, j] = up if u <= 1 else 0.0
                    expected_s[head] += up * ((1.0 if u >= 0.5 else 0.0) - (u if u <= 1 else 0.0)) / math.sqrt(N * N)
    torch.testing.assert_close(p.grad, expected_p)
    torch.testing.assert_close(quantizer.step.grad.flatten(), expected_s)


def test_s_starts_at_the_mean_of_the_largest_of_each_row(attention: Tensor) -> None:
    quantizer = ElasticMap(HEADS).eval()
    quantizer.begin_calibration()
    quantizer(attention)
    quantizer(attention / 2)
    quantizer.end_calibration()
    expected = 0.75 * attention.amax(-1).mean((0, 2))
    torch.testing.assert_close(quantizer.step.flatten().double(), expected, rtol=1e-6, atol=0)
    assert quantizer.initialised


def test_first_training_forward_sets_s_once(attention: Tensor) -> None:
    quantizer = ElasticMap(HEADS)
    quantizer(attention)
    first = quantizer.step.detach().clone()
    quantizer(attention / 2)
    assert torch.equal(quantizer.step, first)


def test_uninitialised_map_is_refused(attention: Tensor) -> None:
    with pytest.raises(OptionsError, match="not initialised"):
        ElasticMap(HEADS).eval()(attention)


def test_operand_is_scaled_per_window_and_head(operand: Tensor) -> None:
    quantizer = Operand(HEADS, FEATURES)
    with torch.no_grad():
        quantizer.shift.normal_()
    expected = operand.abs().mean((2, 3), keepdim=True) * torch.where(operand + quantizer.shift >= 0, 1.0, -1.0)
    assert torch.equal(quantizer(operand), expected)
    codes = quantizer.eval().encode(operand)
    assert torch.equal(codes.decode(), expected)
    assert codes.scale.shape == (1, 3, HEADS, 1, 1)


def test_operand_does_not_depend_on_other_windows(operand: Tensor) -> None:
    quantizer = Operand(HEADS, FEATURES)
    quantizer(operand)
    quantizer.eval()
    assert torch.equal(quantizer(operand)[:1], quantizer(operand[:1]))


def test_shift_of_every_feature_learns(operand: Tensor) -> None:
    quantizer = Operand(HEADS, FEATURES)
    quantizer(operand).square().sum().add(quantizer(operand).sum()).backward()
    assert quantizer.shift.grad.shape == (1, HEADS, 1, FEATURES)
    assert (quantizer.shift.grad != 0).all()


def test_state_round_trip(attention: Tensor) -> None:
    trained, loaded = ready_map((0.3, 0.1)), ElasticMap(HEADS).eval()
    loaded.load_state_dict(trained.state_dict())
    assert torch.equal(loaded(attention), trained(attention))

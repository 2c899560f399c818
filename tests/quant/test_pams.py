"""PAMS: symmetric levels up to a learned maximum for activations, up to the real one for weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from qsr.errors import NumericalError, OptionsError
from qsr.quant.base import create
from qsr.quant.pams import FIRST_ALPHA, PAMS
from qsr.spec import QuantSpec


def make(bits: int = 4, role: str = "act", granularity: str = "tensor") -> PAMS:
    return create(QuantSpec("pams", bits, granularity), role, 3, 0 if role == "weight" else 1)


def features(seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def ready(alpha: float, bits: int = 4) -> PAMS:
    quantizer = make(bits)
    quantizer(features())
    with torch.no_grad():
        quantizer.step.fill_(alpha)
    return quantizer


def reference(x: Tensor, g: Tensor, alpha: float, q: int) -> tuple[Tensor, Tensor, float]:
    """(x_hat, dL/dx, dL/dalpha) of the module's equations, element by element."""
    x_hat, grad_x, grad_alpha = torch.empty_like(x), torch.empty_like(x), 0.0
    for place in range(x.numel()):
        value, gradient = float(x.view(-1)[place]), float(g.view(-1)[place])
        inside = abs(value) < alpha
        u = min(max(value, -alpha), alpha) * q / alpha
        x_hat.view(-1)[place] = round(u) * alpha / q
        grad_x.view(-1)[place] = gradient if inside else 0.0
        grad_alpha += gradient * ((round(u) - u) / q if inside else (1.0 if value > 0 else -1.0))
    return x_hat, grad_x, grad_alpha


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_gradients_are_those_of_the_equations(dtype: torch.dtype, bits: int) -> None:
    quantizer = ready(1.109375, bits).to(dtype)
    x = features(1, torch.float64)
    g = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x_hat, grad_x, grad_alpha = reference(x, g, 1.109375, 2 ** (bits - 1) - 1)
    assert (grad_x == 0).any()

    leaf = x.to(dtype).requires_grad_()
    out = quantizer(leaf)
    out.backward(g.to(dtype))
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(out, x_hat.to(dtype), **close)
    torch.testing.assert_close(leaf.grad, grad_x.to(dtype), **close)
    torch.testing.assert_close(quantizer.step.grad, torch.tensor(grad_alpha, dtype=dtype), **close)


def test_alpha_starts_as_the_mean_of_the_pictures_largest_values() -> None:
    quantizer = make()
    assert quantizer.step.item() == FIRST_ALPHA == 10
    x = torch.zeros(2, 3, 4, 4)
    x[0, 1, 2, 3], x[1, 0, 0, 0] = -3.0, 1.0
    quantizer(x)
    assert quantizer.step.item() == 2.0


def test_a_single_vector_is_one_picture() -> None:
    quantizer = create(QuantSpec("pams", 4), "act", 3, 0)
    quantizer(torch.tensor([1.0, -3.0, 2.0]))
    assert quantizer.step.item() == 3.0


def test_calibration_counts_pictures_and_not_batches() -> None:
    quantizer = make().eval()
    quantizer.begin_calibration()
    quantizer(torch.full((1, 3, 2, 2), 4.0))
    quantizer(torch.full((3, 3, 2, 2), -1.0))
    quantizer.end_calibration()
    assert quantizer.step.item() == pytest.approx((4 + 3 * 1) / 4)


def test_zeros_leave_the_papers_alpha_and_nan_is_refused() -> None:
    quantizer = make()
    quantizer(torch.zeros(1, 3, 2, 2))
    assert quantizer.step.item() == FIRST_ALPHA
    with pytest.raises(NumericalError):
        make()(torch.full((1, 3, 2, 2), torch.nan))


def test_codes_are_symmetric_even_of_positive_features() -> None:
    quantizer = make(3)
    codes = quantizer.encode(torch.rand(1, 3, 4, 4))
    assert codes.signed
    assert (codes.qmin, codes.qmax) == (-3, 3)
    assert quantizer.encode(torch.full((1, 3, 1, 1), -50.0)).q.unique().tolist() == [-3]


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_weights_reach_their_maximum_and_the_gradient_goes_through(granularity: str) -> None:
    quantizer = make(3, "weight", granularity)
    weight = torch.tensor([[1.5, -0.6], [0.2, 0.1], [0.0, 0.0]], requires_grad=True)
    out = quantizer(weight)
    rows = [[1.5, -0.5], [0.0, 0.0], [0.0, 0.0]] if granularity == "tensor" else [[1.5, -0.5], [0.2, 0.4 / 3], [0.0, 0.0]]
    torch.testing.assert_close(out, torch.tensor(rows))
    g = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    out.backward(g)
    assert torch.equal(weight.grad, g)  # at the maximum too
    assert list(quantizer.parameters()) == []


def test_weights_need_no_calibration() -> None:
    quantizer = make(4, "weight").eval()
    assert quantizer.initialised
    assert quantizer(torch.randn(3, 2)).shape == (3, 2)


def test_a_tiny_weight_keeps_its_levels() -> None:
    weight = 1e-9 * torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(4))
    assert make(4, "weight").encode(weight).q.unique().numel() > 8


def test_the_unit_of_its_learning_rate_is_alpha() -> None:
    assert ready(-2.5).unit() == 2.5
    assert make(role="weight").unit() == 1.0


def test_it_has_no_settings() -> None:
    with pytest.raises(OptionsError, match="pams has no setting 'init'"):
        create(QuantSpec("pams", 4, params=(("init", "lsq"),)), "act", 3, 1)


def test_state_survives_a_strict_round_trip() -> None:
    quantizer, fresh = ready(1.3), make().eval()
    assert set(quantizer.state_dict()) == {"step", "initialised", "signed"}
    fresh.load_state_dict(quantizer.state_dict(), strict=True)
    assert torch.equal(fresh(features(5)), quantizer(features(5)))

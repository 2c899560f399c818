"""SRB: residual binarization of weights, its single gradient rule, and the window of the activations' surrogate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from qsr.errors import OptionsError
from qsr.quant import parameter_groups
from qsr.quant.base import create
from qsr.quant.modules import QConv2d
from qsr.quant.srb import H_FLOOR, SRB
from qsr.spec import QuantSpec, Scalar

DRAW = torch.Generator().manual_seed(7)
W, G = (torch.randn(3, 2, 3, 3, generator=DRAW, dtype=torch.float64) for _ in range(2))
A, GA = (torch.randn(2, 3, 4, 5, generator=DRAW, dtype=torch.float64) for _ in range(2))


def weights(order: int = 2, granularity: str = "channel", **params: Scalar) -> SRB:
    return SRB(QuantSpec("srb", 1, granularity, (("order", order), *params.items())), "weight", 3, 0)


def activations(**params: Scalar) -> SRB:
    return SRB(QuantSpec("srb", 1, params=tuple(params.items())), "act", 3, 1).double()


def jump(x: Tensor) -> Tensor:
    return (x >= 0).to(x.dtype) * 2 - 1


# --- weights ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("order", "error"), [(1, 0.364), (2, 0.130)])
def test_relative_error_on_gaussian_weights(order: int, error: float) -> None:
    w = torch.randn(64, 576, generator=torch.Generator().manual_seed(0))
    quantizer = SRB(QuantSpec("srb", 1, "channel", (("order", order),)), "weight", 64, 0)
    assert ((w - quantizer(w)).square().sum() / w.square().sum()).item() == pytest.approx(error, abs=0.003)


def test_scales_of_a_unit_gaussian() -> None:
    w = torch.randn(1, 200_000, generator=torch.Generator().manual_seed(0))
    assert weights().encode(w).scale.flatten().tolist() == pytest.approx([0.80, 0.48], abs=0.01)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_planes_are_the_residuals_signs_and_mean_sizes(order: int, granularity: str) -> None:
    residual, expected = W, []
    for _ in range(order):
        size = residual.abs().mean((1, 2, 3), keepdim=True) if granularity == "channel" else residual.abs().mean()
        expected.append(size * jump(residual))
        residual = residual - expected[-1]
    quantizer = weights(order, granularity)
    codes = quantizer.encode(W)
    assert codes.planes == quantizer.planes == order
    assert codes.scale.shape == (order, 3 if granularity == "channel" else 1, 1, 1, 1)
    assert torch.allclose(codes.q * codes.scale, torch.stack(expected), rtol=1e-12)
    assert torch.allclose(quantizer(W), sum(expected), rtol=1e-12)


def test_two_planes_are_the_two_bit_code() -> None:
    """The same tensor from sign w and |w| > alpha_1: values +-alpha_1 +- alpha_2."""
    codes = weights().encode(W)
    first, second = codes.scale
    positive, outer = W >= 0, W.abs() > first
    table = torch.where(positive, 1.0, -1.0) * (first + torch.where(outer, second, -second))
    assert torch.equal(codes.decode(), table)
    assert torch.equal(codes.q[1] == 1, outer == positive)
    assert all(channel.unique().numel() == 4 for channel in codes.decode())


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_gradient_is_that_of_one_sign_whatever_the_order(order: int) -> None:
    """With each sign straight-through and the residual chain kept, 1 + (1 - 1) + ... = 1; never 2 g."""
    clipped, whole = W.clone().requires_grad_(), W.clone().requires_grad_()
    weights(order)(clipped).backward(G)
    weights(order, clip=False)(whole).backward(G)
    assert torch.equal(clipped.grad, torch.where(W.abs() <= 1, G, 0.0))
    assert torch.equal(whole.grad, G)


def test_the_gradient_is_that_of_the_residual_chain_in_autograd() -> None:
    w = W.clone().requires_grad_()
    residual, total = w, torch.zeros_like(w)
    for _ in range(2):
        plane = residual.detach().abs().mean((1, 2, 3), keepdim=True) * jump(residual.detach())
        through = residual + (plane - residual).detach()
        total, residual = total + through, residual - through
    total.backward(G)
    own = W.clone().requires_grad_()
    weights(clip=False)(own).backward(G)
    assert torch.allclose(own.grad, w.grad, atol=1e-14)


def test_stored_weights_count_every_plane() -> None:
    assert weights(3).stored_bits(100) == 300


# --- activations ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("h", [1.0, 0.5, 4])
def test_activations_against_the_equations(h: float) -> None:
    quantizer, a = activations(h=h), A.clone().requires_grad_()
    shift = torch.tensor([0.3, -0.2, 0.0], dtype=torch.float64).view(1, 3, 1, 1)
    quantizer.shift.data.copy_(shift)
    out = quantizer(a)
    out.backward(GA)
    z = (A + shift) / h
    slope = (2 - 2 * z.abs()).clamp(min=0) / h
    assert torch.equal(out, jump(A + shift))
    assert torch.allclose(a.grad, GA * slope, rtol=1e-12)
    assert torch.allclose(quantizer.shift.grad, (GA * slope).sum((0, 2, 3), keepdim=True), rtol=1e-10)


def test_linear_inputs_have_one_shift_per_feature() -> None:
    quantizer = SRB(QuantSpec("srb", 1, params=(("h", 1.0),)), "act", 5, -1).double()
    quantizer.shift.data[0, 2] = 100.0
    quantizer(-A.abs()).sum().backward()
    assert quantizer.shift.grad.shape == (1, 5)
    assert (quantizer(-A.abs()) > 0).sum((0, 1, 2)).tolist() == [0, 0, 24, 0, 0]


def test_the_automatic_window_follows_the_features() -> None:
    quantizer = activations()
    quantizer(A)
    first = 2 * A.abs().mean()
    assert torch.allclose(quantizer.h, first)
    quantizer(10 * A)
    assert torch.allclose(quantizer.h, 0.99 * first + 0.01 * 10 * first)


def test_each_backward_pass_uses_the_window_of_its_own_forward() -> None:
    quantizer, a = activations(shift=False), A.clone().requires_grad_()
    out = quantizer(a)
    h = quantizer.h.clone()
    quantizer(1000 * A)
    out.backward(GA)
    assert torch.allclose(a.grad, GA * (2 - 2 * (A / h).abs()).clamp(min=0) / h, rtol=1e-12)


def test_the_window_rests_in_eval_mode_and_where_it_is_given() -> None:
    given, automatic = activations(h=1.0), activations()
    automatic(A)
    before = automatic.h.clone()
    automatic.eval()(10 * A)
    given(10 * A)
    assert torch.equal(automatic.h, before)
    assert given.h.item() == 1.0
    assert given.initialised


def test_the_window_does_not_touch_the_codes() -> None:
    wide, narrow = activations(h=100.0), activations(h=0.01)
    assert torch.equal(wide(A), narrow(A))


def test_a_dead_layer_keeps_a_window() -> None:
    quantizer = activations()
    quantizer(torch.zeros_like(A))
    assert quantizer.h.item() == pytest.approx(H_FLOOR)


def test_the_shift_is_a_shift_for_the_optimiser_and_can_be_left_out() -> None:
    spec = QuantSpec("srb", 1)
    layer = QConv2d.from_float(torch.nn.Conv2d(3, 4, 3), QuantSpec("srb", 1, "channel"), spec)
    assert [name for name, _ in parameter_groups(layer)["shift"]] == ["act_quant.shift"]
    assert list(activations(shift=False).parameters()) == []


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [
        ("weight", "order", 4),
        ("weight", "h", 1.0),
        ("act", "h", 0),
        ("act", "h", "wide"),
        ("act", "h", True),
        ("act", "order", 2),
    ],
)
def test_settings_outside_their_range_are_refused(role: str, name: str, value: Scalar) -> None:
    with pytest.raises(OptionsError, match=f"'{name}'|found {name} = "):
        create(QuantSpec("srb", 1, params=((name, value),)), role, 3, 1)

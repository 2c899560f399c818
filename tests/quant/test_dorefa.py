"""DoReFa for one bit and for k, with the ranges of the paper and with those that super-resolution needs."""

from __future__ import annotations

import pytest
import torch

from qsr.errors import OptionsError
from qsr.quant.base import Codes, Role, SignCodes
from qsr.quant.dorefa import DoReFa
from qsr.spec import QuantSpec, Scalar

DRAW = torch.Generator().manual_seed(8)
W, G = (0.4 * torch.randn(3, 2, 3, 3, generator=DRAW, dtype=torch.float64) for _ in range(2))
A, GA = (torch.randn(2, 3, 4, 5, generator=DRAW, dtype=torch.float64) for _ in range(2))


def make(bits: int, role: Role, granularity: str = "tensor", **params: Scalar) -> DoReFa:
    return DoReFa(QuantSpec("dorefa", bits, granularity, tuple(params.items())), role, 3, 0 if role == "weight" else 1).double()


# --- one bit ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("clip", [True, False])
def test_one_bit_weights(granularity: str, clip: bool) -> None:
    w = (3 * W).requires_grad_()
    out = make(1, "weight", granularity, clip=clip)(w)
    out.backward(G)
    size = w.detach().abs().mean((1, 2, 3), keepdim=True) if granularity == "channel" else w.detach().abs().mean()
    assert torch.allclose(out, torch.copysign(size.expand_as(W), W), rtol=1e-14)
    assert torch.equal(w.grad, torch.where(w.abs() <= 1, G, 0.0) if clip else G)


def test_one_bit_activations() -> None:
    a = A.clone().requires_grad_()
    out = make(1, "act")(a)
    out.backward(GA)
    assert torch.equal(out, torch.copysign(torch.ones_like(A), A))
    assert torch.equal(a.grad, torch.where(A.abs() <= 1, GA, 0.0))
    assert isinstance(make(1, "act").encode(A), SignCodes)


# --- k bits: weights --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("range_act", [True, False])
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_weights_against_the_equations(bits: int, range_act: bool, granularity: str) -> None:
    w = W.clone().requires_grad_()
    out = make(bits, "weight", granularity, range_act=range_act)(w)
    out.backward(G)
    axes = (1, 2, 3) if granularity == "channel" else (0, 1, 2, 3)
    n, largest = 2**bits - 1, W.tanh().abs().amax(axes, keepdim=True)
    stretched = 2 * (n * (W.tanh() / (2 * largest) + 0.5)).round() / n - 1
    s = W.abs().mean(axes, keepdim=True) / stretched.abs().mean(axes, keepdim=True) if range_act else 1.0
    assert torch.allclose(out, s * stretched, rtol=1e-12, atol=1e-14)
    assert torch.allclose(w.grad, G * s * (1 - W.tanh() ** 2) / largest, rtol=1e-12)


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_weight_codes_fill_the_range_with_odd_levels(bits: int) -> None:
    codes = make(bits, "weight", range_act=False).encode(W)
    assert isinstance(codes, Codes)
    assert (codes.qmin, codes.qmax) == (0, 2**bits - 1)
    largest = W.flatten()[W.abs().argmax()]
    assert codes.q.flatten()[W.abs().argmax()] == (codes.qmax if largest > 0 else 0)
    assert codes.decode().abs().amax().item() == pytest.approx(1.0)
    assert (codes.decode() != 0).all()


def test_rescaled_weights_keep_their_mean_size() -> None:
    assert make(2, "weight")(W).abs().mean().item() == pytest.approx(W.abs().mean().item())


def test_zero_weights_stay_zero() -> None:
    assert not make(4, "weight")(torch.zeros_like(W)).any()


# --- k bits: activations ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_activations_of_the_paper(bits: int) -> None:
    a = A.clone().requires_grad_()
    quantizer = make(bits, "act", range_act=False)
    out = quantizer.eval()(a)
    out.backward(GA)
    n = 2**bits - 1
    assert torch.allclose(out, (n * A.clamp(0, 1)).round() / n, atol=1e-7)  # the step is stored in float32
    assert torch.equal(a.grad, torch.where((A >= 0) & (A <= 1), GA, 0.0))


@pytest.mark.parametrize(("bits", "signed"), [(2, False), (2, True), (4, False), (4, True), (8, True)])
def test_activations_with_their_own_range(bits: int, signed: bool) -> None:
    x = A if signed else A.abs()
    a = (1.2 * x).requires_grad_()  # some values lie outside the range, which the first batch has set
    quantizer = make(bits, "act")
    quantizer(x)
    out = quantizer.eval()(a)
    out.backward(GA)
    c = x.abs().max()
    n, low = (2 ** (bits - 1) - 1, -1) if signed else (2**bits - 1, 0)
    u = a.detach() / c
    assert torch.allclose(out, c * (n * u.clamp(low, 1)).round() / n, rtol=1e-12)
    assert torch.equal(a.grad, torch.where((u >= low) & (u <= 1), GA, 0.0))
    codes = quantizer.encode(x)
    assert (codes.qmin, codes.qmax) == (low * n, n)


def test_the_range_is_an_average_of_largest_values() -> None:
    quantizer = make(4, "act")
    quantizer(A)
    quantizer(3 * A)
    assert quantizer.limit.item() == pytest.approx((0.99 + 0.03) * A.abs().max().item())


def test_signedness_is_decided_before_the_first_step() -> None:
    quantizer = make(4, "act")
    quantizer.begin_calibration()
    quantizer(A.abs())
    assert not quantizer.signed
    quantizer(-A.abs())
    quantizer.end_calibration()
    assert quantizer.signed
    trained = make(4, "act")
    trained(A.abs())
    trained(-A.abs())
    assert not trained.signed


def test_set_anew_it_forgets_the_sign() -> None:
    quantizer = make(4, "act")
    quantizer(A)
    quantizer.initialised.fill_(False)
    quantizer.begin_calibration()
    quantizer(A.abs())
    assert not quantizer.signed


def test_eval_without_a_range_is_refused_only_where_one_is_learned() -> None:
    with pytest.raises(OptionsError, match="no range yet"):
        make(4, "act").eval()(A)
    for ready in (make(4, "act", range_act=False), make(1, "act")):
        assert ready.eval().initialised

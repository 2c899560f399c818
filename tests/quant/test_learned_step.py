"""Initial step sizes, signedness, what is persisted, and when a quantizer refuses to guess."""

from __future__ import annotations

import copy
import math
from unittest import mock

import pytest
import torch

from qsr.errors import NumericalError, OptionsError
from qsr.quant import learned_step
from qsr.quant.base import Role, create
from qsr.quant.learned_step import LearnedStep
from qsr.spec import QuantSpec, Scalar


def make(bits: int = 4, role: Role = "act", granularity: str = "tensor", method: str = "lsq", **params: Scalar) -> LearnedStep:
    return create(QuantSpec(method, bits, granularity, tuple(params.items())), role, 3, 0 if role == "weight" else 1)


@pytest.mark.parametrize(("init", "expected"), [("lsq", 2 * 0.75 / math.sqrt(7)), ("max", 1.5 / 7)])
def test_initial_step(init: str, expected: float) -> None:
    quantizer = make(4, "weight", init=init)
    quantizer(torch.tensor([[-1.5], [0.0], [0.75]]))
    assert quantizer.step.item() == pytest.approx(expected)


def test_initial_step_per_channel() -> None:
    quantizer = make(4, "weight", "channel")
    x = torch.tensor([[1.0, -1.0], [0.5, 0.5], [0.0, 0.0]])
    assert quantizer(x).shape == x.shape
    assert quantizer.step.tolist() == pytest.approx([2 / math.sqrt(7), 1 / math.sqrt(7), 1.0])  # a dead channel gets 1


@pytest.mark.parametrize(("lowest", "signed"), [(0.0, False), (-0.9e-5, False), (-1.1e-5, True)])
def test_activations_are_signed_below_the_threshold_only(lowest: float, signed: bool) -> None:
    quantizer = make()
    quantizer(torch.tensor([[lowest, 1.0, 2.0]]))
    assert bool(quantizer.signed) is signed
    assert quantizer.encode(torch.zeros(1, 3)).qmin == (-8 if signed else 0)


def test_weights_are_signed_even_if_positive() -> None:
    quantizer = make(role="weight")
    quantizer(torch.ones(3, 2))
    assert quantizer.encode(torch.ones(3, 2)).signed


def test_signedness_looks_at_the_shifted_values() -> None:
    quantizer = make(method="rlq")
    with torch.no_grad():
        quantizer.shift.fill_(-1.0)
    quantizer(torch.full((1, 3, 1, 1), 0.5))
    assert quantizer.signed


def test_the_first_training_batch_decides_and_later_ones_do_not() -> None:
    quantizer = make()
    quantizer(torch.ones(1, 3))
    before = quantizer.step.item()
    quantizer(torch.full((1, 3), -100.0))
    assert (quantizer.step.item(), bool(quantizer.signed)) == (before, False)


def test_state_survives_a_strict_round_trip() -> None:
    quantizer, fresh = make(method="rlq"), make(method="rlq").eval()
    quantizer(torch.randn(2, 3, 4, 4))
    assert set(quantizer.state_dict()) == {"step", "shift", "initialised", "signed"}
    fresh.load_state_dict(quantizer.state_dict(), strict=True)
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(fresh(x), quantizer(x))


def test_loading_over_a_used_quantizer_takes_effect() -> None:
    positive, signed = make(), make()
    positive(torch.rand(1, 3))
    signed(torch.randn(8, 3))
    positive.load_state_dict(signed.state_dict())
    assert torch.equal(positive(-torch.ones(1, 3)), signed(-torch.ones(1, 3)))


def test_a_copy_stands_on_its_own() -> None:
    quantizer = make()
    quantizer(torch.rand(1, 3))
    twin = copy.deepcopy(quantizer)
    twin.signed.fill_(True)
    assert twin.encode(torch.zeros(1, 3)).signed
    assert not quantizer.encode(torch.zeros(1, 3)).signed


def test_eval_before_initialisation_is_refused() -> None:
    with pytest.raises(OptionsError, match=r"no step size yet.*qsr\.calibrate"):
        make().eval()(torch.ones(1, 3))


def test_calibration_merges_batches() -> None:
    quantizer = make(8).eval()
    quantizer.begin_calibration()
    quantizer(torch.full((1, 3), 2.0))
    quantizer(torch.full((3, 3), -1.0))
    quantizer.end_calibration()
    assert quantizer.signed
    assert quantizer.step.item() == pytest.approx(2 * 1.25 / math.sqrt(127))  # mean |x| over all 12 elements


def test_an_all_zero_tensor_gets_step_one() -> None:
    quantizer = make()
    quantizer(torch.zeros(1, 3))
    assert quantizer.step.item() == 1.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_at_initialisation_is_a_numerical_error(bad: float) -> None:
    quantizer = make()
    with pytest.raises(NumericalError, match="act quantizer"):
        quantizer(torch.tensor([[bad, 1.0, 1.0]]))
    assert not quantizer.initialised


def test_several_processes_must_calibrate_first() -> None:
    with mock.patch.object(learned_step, "world_size", return_value=2):
        with pytest.raises(OptionsError, match="before wrapping"):
            make()(torch.ones(1, 3))
        make(role="weight")(torch.ones(3, 2))  # the same on every rank


@pytest.mark.parametrize(("numel", "n"), [("sample", 3 * 4), ("batch", 5 * 3 * 4)])
def test_gradient_scale_counts_a_sample_or_the_batch(numel: str, n: int) -> None:
    quantizer = make(4, numel=numel)
    x = torch.rand(5, 3, 4)
    quantizer(x)
    assert quantizer._levels(x, False).grad_scale == pytest.approx(1 / math.sqrt(n * 15))


def test_gradient_scale_of_a_weight_counts_what_shares_a_step() -> None:
    x = torch.randn(3, 4)
    for granularity, n in (("tensor", 12), ("channel", 4)):
        quantizer = make(4, "weight", granularity)
        quantizer(x)
        assert quantizer._levels(x, True).grad_scale == pytest.approx(1 / math.sqrt(n * 7))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_arithmetic_is_at_least_float32_and_the_dtype_comes_back(dtype: torch.dtype) -> None:
    quantizer = make(method="rlq")
    x = torch.rand(2, 3, 5, 5).to(dtype)
    out = quantizer(x)
    assert out.dtype == dtype
    wide = quantizer.encode(x).decode()
    assert wide.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(out, wide.to(dtype))


def test_symmetric_narrow_drops_the_lowest_level() -> None:
    quantizer = make(2, "weight", symmetric_narrow=True)
    x = torch.tensor([-9.0, 0.1, 9.0])
    quantizer(x)
    codes = quantizer.encode(x)
    assert (codes.qmin, codes.qmax) == (-1, 1)
    assert codes.q.min() == -1

"""Initial steps of least error and centring shifts, against brute force and on whole layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import qsr
from qsr.errors import OptionsError
from qsr.quant.base import create, level_range
from qsr.quant.initial import CANDIDATES, centring_shift, least_error_step, subsample
from qsr.spec import QuantRule, QuantSpec


def test_the_step_is_the_best_of_all_candidates() -> None:
    torch.manual_seed(0)
    rows = torch.randn(1, 5000)
    qmin, qmax = level_range(2, signed=True)
    start = 2 * rows.abs().mean()
    errors = {}
    for factor in CANDIDATES.tolist():
        v = factor * float(start)
        errors[factor] = float(((rows / v).round().clamp(qmin, qmax) * v - rows).square().mean())
    found = float(least_error_step(rows, start, qmin, qmax) / start)
    assert found == pytest.approx(min(errors, key=errors.__getitem__))
    assert found < 0.9  # LSQ's own start is too coarse for 2 bits


def test_each_row_gets_its_own_step() -> None:
    torch.manual_seed(0)
    rows = torch.randn(3, 4000) * torch.tensor([[0.1], [1.0], [10.0]])
    start = 2 * rows.abs().mean(1)
    steps = least_error_step(rows, start, -2, 1)
    assert torch.allclose(steps[2] / steps[0], torch.tensor(100.0), rtol=0.15)


def test_a_centred_channel_uses_all_levels() -> None:
    middle = torch.tensor([[3.0], [-1.0]])
    shift = centring_shift(middle, torch.tensor(0.5), -2, 1)
    assert torch.allclose((middle + shift) / 0.5, torch.full((2, 1), -0.5))


def test_subsampling_keeps_rows_and_depends_on_the_shape_alone() -> None:
    rows = torch.arange(60.0).view(3, 20)
    assert torch.equal(subsample(rows, 30), rows[:, ::2])
    assert torch.equal(subsample(rows, 1000), rows)


def calibrated(**settings: str) -> tuple[nn.Module, nn.Module, torch.Tensor]:
    """(quantized, float twin, input) of one convolution whose input has a different mean in each channel."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1))
    twin = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1))
    twin.load_state_dict(network.state_dict())
    x = torch.randn(2, 4, 24, 24) + torch.tensor([-2.0, 0.0, 1.0, 4.0]).view(1, 4, 1, 1)
    qsr.quantize_(network, [QuantRule("0", None, QuantSpec("rlq", 2, params=tuple(settings.items())))])
    qsr.calibrate(network, [x])
    return network.eval(), twin.eval(), x


def test_the_bias_takes_off_what_centring_adds_except_at_the_padded_border() -> None:
    network, twin, x = calibrated(init="mse", shift_init="centre")
    with torch.no_grad():
        error = (network(x) - twin(x))[..., 1:-1, 1:-1]
        plain = calibrated(init="mse")
        plain_error = (plain[0](x) - twin(x))[..., 1:-1, 1:-1]
    assert abs(float(error.mean())) < 0.02
    assert float(error.square().mean()) < 0.35 * float(plain_error.square().mean())


def test_values_after_a_relu_are_not_centred() -> None:
    quantizer = create(QuantSpec("rlq", 2, params=(("shift_init", "centre"),)), "act", 4, 1)
    quantizer.begin_calibration()
    quantizer(torch.randn(1, 4, 8, 8).relu())
    quantizer.end_calibration()
    assert not quantizer.signed
    assert not quantizer.shift.any()


def test_centring_without_a_shift_is_refused() -> None:
    with pytest.raises(OptionsError, match="needs a shift"):
        create(QuantSpec("rlq", 2, params=(("shift", False), ("shift_init", "centre"))), "act", 4, 1)

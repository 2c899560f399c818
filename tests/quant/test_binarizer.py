"""The frame of the one-bit methods, filled with the smallest method that uses all of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from qsr.errors import OptionsError
from qsr.quant.base import Role
from qsr.quant.binarizer import Binarizer, channel_mean
from qsr.quant.bireal import BiReal
from qsr.quant.signs import ste
from qsr.spec import QuantSpec


class Centred(Binarizer):
    """sign of the distance from the first batch's mean, times a constant."""

    needs_data = True

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.surrogate = ste
        self.shift = nn.Parameter(torch.tensor(0.0))

    def latent(self, x: Tensor) -> Tensor:
        return x + self.shift

    def scale_of(self, x: Tensor) -> Tensor | None:
        return torch.full(self.channel_shape(x), 2.0)

    def observe(self, x: Tensor) -> None:
        self.shift.copy_(-x.mean())


def make(role: Role = "act") -> Centred:
    return Centred(QuantSpec("bnn", 1), role, 3, 0 if role == "weight" else 1)


def test_forward_and_codes_are_scale_times_sign_of_the_latent() -> None:
    quantizer, x = make(), torch.tensor([[1.0, 2.0, 6.0]])
    assert quantizer(x).tolist() == [[-2.0, -2.0, 2.0]]
    codes = quantizer.encode(x)
    assert codes.q.tolist() == [[[-1, -1, 1]]]
    assert codes.scale.shape == (1, 1, 3)
    assert codes.shift.item() == -3.0
    assert not codes.shift.requires_grad


def test_the_latent_carries_the_gradient_to_its_parameters() -> None:
    quantizer, x = make(), torch.tensor([[-1.5, 0.5, 1.0]], requires_grad=True)
    quantizer(x).sum().backward()
    assert x.grad.tolist() == [[0.0, 1.0, 1.0]]
    assert quantizer.shift.grad.item() == 2.0


def test_only_the_first_batch_and_calibration_are_observed() -> None:
    quantizer = make()
    quantizer(torch.full((1, 3), 5.0))
    quantizer(torch.full((1, 3), 9.0))
    assert quantizer.shift.item() == -5.0
    quantizer.eval().begin_calibration()
    quantizer(torch.full((1, 3), 9.0))
    quantizer.end_calibration()
    quantizer(torch.full((1, 3), 1.0))
    assert quantizer.shift.item() == -9.0


def test_eval_before_any_data_is_refused() -> None:
    with pytest.raises(OptionsError, match=r"not initialised.*qsr\.calibrate"):
        make().eval()(torch.ones(1, 3))


def test_more_than_one_bit_is_refused() -> None:
    with pytest.raises(OptionsError, match="one-bit method, found 2 bits"):
        Centred(QuantSpec("bnn", 2), "act", 3, 1)


def test_activations_have_no_scale_per_channel() -> None:
    with pytest.raises(OptionsError, match="'channel' is for weights"):
        Centred(QuantSpec("bnn", 1, "channel"), "act", 3, 1)


def test_magnitude_goes_by_granularity() -> None:
    w = torch.tensor([[1.0, -3.0], [0.0, 0.0]])
    per_channel, per_tensor = (BiReal(QuantSpec("bireal", 1, g), "weight", 2, 0) for g in ("channel", "tensor"))
    assert per_channel.magnitude(w).tolist() == [[2.0], [0.0]]
    assert per_tensor.magnitude(w).tolist() == 1.0
    assert channel_mean(w.view(2, 1, 2, 1)).shape == (2, 1, 1, 1)


def test_channel_shape_follows_the_axis() -> None:
    x = torch.zeros(2, 3, 4, 5)
    assert make("weight").channel_shape(torch.zeros(3, 4)) == (3, 1)
    assert make().channel_shape(x) == (1, 3, 1, 1)
    assert Centred(QuantSpec("bnn", 1), "act", 5, -1).channel_shape(x) == (1, 1, 1, 5)


def test_arithmetic_under_autocast_is_float32() -> None:
    quantizer, x = make(), torch.randn(2, 3)
    exact = quantizer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantizer(x), exact)
        assert quantizer(x.bfloat16()).dtype == torch.bfloat16

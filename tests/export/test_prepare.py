"""What is given up to be packed, and that the copy which gave it up is a network like any other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from qsr.errors import OptionsError
from qsr.export.lower import lower
from qsr.export.pictures import Calibration
from qsr.export.prepare import Cost, fixed_choices, is_dynamic, quantized_tail, rounding_cost, tail_layers, with_rounded
from qsr.quant import is_calibrated, quantizers
from qsr.quant.bam import BAM
from qsr.quant.cadyq import CADyQ
from qsr.runtime.packed.ops import Conv, UniformAct, UniformWeight


@pytest.fixture
def pictures() -> Calibration:
    generator = np.random.default_rng(3)
    make = lambda side: tuple(generator.integers(0, 256, (side, side, 3), np.uint8) for _ in range(3))  # noqa: E731
    return Calibration(make(12), make(24))


@pytest.mark.parametrize(
    ("backbone", "settings", "expected"),
    [
        ("srresnet", {}, ("conv_after_body", "upsample.0")),
        ("msr", {}, ("upconv1", "conv_hr")),
        ("swinir", {}, ("conv_after_body",)),
        ("swinir", {"upsampler": "pixelshuffle"}, ("conv_after_body", "conv_before_upsample.0", "upsample.0")),
    ],
)
def test_the_tail_is_what_lies_between_body_and_last_convolution(trained, backbone, settings, expected) -> None:
    assert tail_layers(trained(backbone, None, **settings)[0]) == expected


def test_what_training_quantized_is_no_tail(trained) -> None:
    assert tail_layers(trained("srresnet", {})[0]) == ("upsample.0",)


@pytest.mark.parametrize("tail", ["int8", "w4a8", "w4a4"])
def test_a_tail_in_codes(trained, pictures: Calibration, tail) -> None:
    network, info = trained("srresnet", {"method": "bam", "w_bits": 1, "a_bits": 1})
    chain = [q.c.clone() for _, q in quantizers(network) if isinstance(q, BAM) and q.c is not None]
    changed, cost = quantized_tail(network, tail, pictures)
    assert type(network.upsample[0]) is nn.Conv2d
    assert is_calibrated(changed)
    kept = [q.c for _, q in quantizers(changed) if isinstance(q, BAM) and q.c is not None]
    assert all(torch.equal(a, b) for a, b in zip(chain, kept, strict=True)), "linking anew would have set them to 0"
    ops = {op.name: op for op in lower(changed, info).header.programs[0].ops if isinstance(op, Conv)}
    bits = {"int8": (8, 8), "w4a8": (4, 8), "w4a4": (4, 4)}[tail]
    for name in ("conv_after_body", "upsample.0"):
        weight, act = ops[name].weight, ops[name].act
        assert isinstance(weight, UniformWeight)
        assert isinstance(act, UniformAct)
        assert (weight.bits, act.bits) == bits
        assert isinstance(weight.scale, str), "one scale per output channel"
    assert cost.pictures == 3
    assert cost.before == pictures.psnr(network, 2)
    assert cost.after == pictures.psnr(changed, 2)
    assert f"tail at w{bits[0]}a{bits[1]} (conv_after_body, upsample.0)" in cost.text()


def output_of(network: nn.Module, pictures: Calibration) -> torch.Tensor:
    """Of the upsampler's convolution, on all pictures."""
    seen: list[torch.Tensor] = []
    handle = network.upsample[0].register_forward_hook(lambda _, x, y: seen.append(y))
    with torch.no_grad():
        for batch in pictures.batches():
            network(batch)
    handle.remove()
    return torch.cat(seen)


def test_more_bits_are_nearer_and_biases_take_up_the_mean(trained, pictures: Calibration) -> None:
    network, _ = trained("srresnet", None)
    errors = []
    for tail in ("w4a4", "w4a8", "int8"):
        changed, _ = quantized_tail(network, tail, pictures)
        seen = [output_of(one, pictures) for one in (network, changed)]
        before, after = seen
        errors.append(float((before - after).square().mean()))
        np.testing.assert_allclose((before - after).mean((0, 2, 3)), 0, atol=1e-3 * float(before.std()))
    assert errors[0] > errors[1] > errors[2]


def test_no_tail_left(trained, pictures: Calibration) -> None:
    network, _ = trained("srresnet", {"rules": [{"match": "upsample.0"}]})
    with pytest.raises(OptionsError, match="--tail int8: this network has no full-precision convolution"):
        quantized_tail(network, "int8", pictures)


def test_choices_are_fixed_to_the_most_frequent(trained, pictures: Calibration) -> None:
    network, info = trained("srresnet", {"method": "cadyq", "w_bits": 4, "a_bits": 4})
    choosing = [q for _, q in quantizers(network) if isinstance(q, CADyQ) and q.role == "act"]
    assert not is_dynamic(network)
    for number, quantizer in enumerate(choosing):
        quantizer.fixed = None
        with torch.no_grad():
            quantizer.select_weight.zero_()
            quantizer.select_bias.copy_(torch.eye(3)[number % 3])
    assert is_dynamic(network)
    with pytest.raises(OptionsError, match=r"layer body\.0\.conv1: cadyq chooses its bits by the picture"):
        lower(network, info)
    changed, cost = fixed_choices(network, pictures)
    assert all(quantizer.fixed is None for quantizer in choosing)
    fixed = [q.fixed for _, q in quantizers(changed) if isinstance(q, CADyQ) and q.role == "act"]
    assert fixed == [number % 3 for number in range(len(fixed))]
    assert cost.before == cost.after
    assert "activation bits fixed, 3.60 on average" in cost.text()
    lowered = lower(changed, info)
    bits = [op.act.bits for op in lowered.header.programs[0].ops if isinstance(op, Conv) and isinstance(op.act, UniformAct)]
    assert bits == [(2, 4, 6)[number] for number in fixed]
    assert lowered.header.network["a_bits_fixed_mean"] == 3.6


def test_cost_in_words() -> None:
    assert Cost("tail", 30.0, 29.9, 6).text() == "tail: 30.000 dB -> 29.900 dB (-0.100) on 6 calibration pictures"
    assert Cost("tail", 30.0, 29.9, 6).to_json()["after"] == 29.9


def test_float16_costs_what_the_rounded_weights_cost(trained, pictures: Calibration) -> None:
    network, info = trained("srresnet", {})
    rounded = lower(network, info, tail="fp16").rounded
    assert set(rounded) == {"conv_first", "upsample.0", "conv_last"}
    copied = with_rounded(network, rounded)
    assert torch.equal(copied.conv_last.weight, rounded["conv_last"])
    assert not torch.equal(network.conv_last.weight, rounded["conv_last"])
    cost = rounding_cost(network, rounded, pictures)
    assert (cost.before, cost.after) == (pictures.psnr(network, 2), pictures.psnr(copied, 2))
    assert cost.what == "3 layers stored as float16"

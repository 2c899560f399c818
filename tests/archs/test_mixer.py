"""The MLP-like backbone: sizes, reach, the two blocks, and that it is quantized, balanced and counted like the others."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qsr import archs
from qsr.archs.mixer import Mixer, ResidualMixer, UnitMixer, averaged, repeated
from qsr.archs.srresnet import BlockSettings
from qsr.archs.units import RPReLU
from qsr.errors import OptionsError
from qsr.evaluate.complexity import complexity
from qsr.options import load
from qsr.options.ready import ready_file
from qsr.quant import calibrate, quantizers
from tests.archs.reach import assert_receptive_field

UNIT = BlockSettings("unit")
MIXER = {"type": "Mixer", "num_feat": 8, "num_block": 2}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_parameter_counts(scale: int) -> None:
    network = Mixer(scale=scale)
    blocks = 16 * (64 * 10 + 64 * 128 + 128 + 128 * 64 + 64)
    ends = 64 * 27 + 64 + 9 * 64 * 3 * scale**2 + 3 * scale**2
    assert sum(p.numel() for p in network.parameters()) == blocks + ends


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("block", [BlockSettings(), UNIT])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 3)])
def test_any_size(scale: int, block: BlockSettings, size: tuple[int, int]) -> None:
    image = Mixer(num_feat=4, num_block=1, expansion=3, scale=scale, block=block)(torch.rand(2, 3, *size))
    assert image.shape == (2, 3, scale * size[0], scale * size[1])
    assert torch.isfinite(image).all()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_receptive_field_is_exact(scale: int) -> None:
    network = Mixer(num_feat=2, num_block=2, scale=scale)
    assert_receptive_field(network, scale)


def test_repeated_and_averaged_let_a_stream_through() -> None:
    x = torch.randn(2, 3, 4, 5)
    twice = repeated(x, 2)
    assert twice.shape == (2, 6, 4, 5)
    assert torch.equal(twice[:, 4], x[:, 1])
    assert torch.equal(averaged(twice, 2), x)
    twice[:, 3:] += 1
    torch.testing.assert_close(averaged(twice, 2), x + 0.5)


def test_blocks_are_what_they_say() -> None:
    x, plain = torch.randn(1, 4, 5, 5), Mixer(num_feat=4, num_block=1).body[0]
    assert isinstance(plain, ResidualMixer)
    y = x + plain.dw(x)
    torch.testing.assert_close(plain(x), y + plain.conv2(torch.relu(plain.conv1(y))))
    unit = Mixer(num_feat=4, num_block=1, block=UNIT).body[0]
    assert isinstance(unit, UnitMixer)
    assert isinstance(unit.act1, RPReLU)
    y = x + unit.dw(x)
    h = torch.cat((y, y), 1) + unit.act1(unit.conv1(y))
    torch.testing.assert_close(unit(x), (h[:, :4] + h[:, 4:]) / 2 + unit.act2(unit.conv2(h)))


def test_depthwise_looks_at_its_own_channel_only() -> None:
    block, x = Mixer(num_feat=4, num_block=1).body[0], torch.zeros(1, 4, 5, 5)
    x[0, 2, 2, 2] = 1
    with torch.no_grad():
        assert (block.dw(x) != 0).any((2, 3)).tolist() == [[False, False, True, False]]


def test_weights_of_the_base_fit_the_units(make_options) -> None:
    options = make_options(MIXER | {"block": "unit", "activation": "prelu"}, quant={"w_bits": 1, "a_bits": 1, "method": "bnn"})
    base, unit = archs.build_base(options), archs.build(options)
    assert isinstance(base.body[0], ResidualMixer)
    assert isinstance(base.body[0].act, nn.ReLU)
    archs.start_from(unit, base)
    assert torch.equal(unit.body[1].conv2.weight, base.body[1].conv2.weight)


def test_the_two_1x1_are_quantized_and_the_rest_says_why_not(make_options) -> None:
    options = make_options(MIXER, quant=True)
    network = archs.build(options)
    report = archs.quantize(network, options)
    assert [row.module for row in report.quantized] == [f"body.{n}.conv{m}" for n in (0, 1) for m in (1, 2)]
    assert {row.module: row.reason for row in report.kept} == {
        "conv_first": "head",
        "body.0.dw": "depthwise: 9 weights per channel",
        "body.1.dw": "depthwise: 9 weights per channel",
        "conv_last": "tail: upsampler",
    }
    assert len(list(quantizers(network))) == 8


@pytest.mark.parametrize(
    ("block", "method"),
    # BNN's signs are all +1 behind a ReLU: in the plain block it learns nothing, here as in SRResNet
    [
        *(("unit", method) for method in ("srb", "bnn", "xnor", "reactnet", "fda")),
        ("residual", "srb"),
        ("residual", "reactnet"),
    ],
)
def test_one_bit_starts_and_learns(make_options, block: str, method: str) -> None:
    """Balanced, calibrated, and every parameter gets a gradient that is a number."""
    one_bit = {"method": method, "w_bits": 1, "a_bits": 1, "start": "balanced"}
    options = make_options(MIXER | {"block": block}, quant=one_bit)
    network = archs.build(options)
    archs.start_from(network, archs.build_base(options))
    archs.quantize(network, options)
    x = torch.rand(2, 3, 12, 12)
    archs.balance(network, x)
    calibrate(network, [x])
    gains = [float(value) for name, value in network.named_buffers() if name.endswith("gain")]
    assert len(gains) == (4 if block == "unit" else 2)
    assert all(gain not in (0.0, 1.0) for gain in gains)
    network.train()(x).mean().backward()
    for name in ("dw", "conv1", "conv2"):
        gradient = network.body[0].get_submodule(name).weight.grad
        assert torch.isfinite(gradient).all(), name
        assert gradient.any(), name


def test_depthwise_counts_at_full_precision(make_options) -> None:
    """9 products per place and channel at 32 bits; the two 1x1 at the bits they have."""
    section = MIXER | {"num_block": 1}
    report = complexity(make_options(section, quant={"w_bits": 4, "a_bits": 4}), height=10, width=20)
    by_name = {layer.name: layer for layer in report.layers}
    dw, inner = by_name["body.0.dw"], by_name["body.0.conv1"]
    assert (dw.w_bits, dw.a_bits, dw.macs, dw.weights) == (32, 32, 200 * 9 * 8, 9 * 8)
    assert dw.ops == dw.macs
    assert (inner.w_bits, inner.macs, inner.ops) == (4, 200 * 8 * 16, 200 * 8 * 16 / 4)


def test_no_supernet(make_options) -> None:
    with pytest.raises(OptionsError) as caught:
        make_options(MIXER, depths=(4, 2))
    assert any("Mixer has no depth to vary" in line for line in caught.value.problems)


def test_ready_files_are_the_small_family() -> None:
    base, one_bit = (load(ready_file(f"small/{name}.yml")).options for name in ("fp_mixer_x2", "frb_mixer_x2_w1a1"))
    assert (base.network_g.num_block, base.network_g.num_feat, base.network_g.block) == (8, 32, "residual")
    assert one_bit.network_g.block == "unit"
    assert archs.base_options(one_bit).network_g == base.network_g

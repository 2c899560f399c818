"""Our backbones against basicsr's, weights carried over through its checkpoint form: equal to 1e-6.

That form is also the one of the official MSRResNet, EDSR and SwinIR-light files, so these tests show that they load.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from qsr import archs
from qsr.archs import convert
from qsr.archs.srresnet import EdsrLayout, MsrLayout
from qsr.archs.swinir import SwinIR
from qsr.compat import basicsr as compat
from qsr.errors import EnvironmentFault, OptionsError
from qsr.options import from_dict
from qsr.quant import calibrate


@pytest.fixture(scope="module", autouse=True)
def _basicsr() -> None:
    torch.manual_seed(0)
    try:
        compat.import_basicsr()
    except EnvironmentFault as fault:
        pytest.skip(str(fault))


def carried_over(theirs: nn.Module, ours: nn.Module, folder: Path) -> None:
    """theirs -> BasicSR's .pth -> ours, strictly. Random biases too: basicsr starts many of them at zero."""
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    torch.save({"params": theirs.state_dict()}, folder / "theirs.pth")
    convert.load_start(ours, folder / "theirs.pth")
    theirs.eval()
    ours.eval()


@torch.no_grad()
def assert_equal(theirs: nn.Module, ours: nn.Module, *sizes: tuple[int, int]) -> None:
    for height, width in sizes:
        x = torch.rand(2, 3, height, width)
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_msrresnet(scale: int, tmp_path: Path) -> None:
    theirs = compat.arch("MSRResNet")(num_feat=16, num_block=3, upscale=scale)
    ours = MsrLayout(num_feat=16, num_block=3, scale=scale)
    carried_over(theirs, ours, tmp_path)
    assert_equal(theirs, ours, (12, 9), (1, 5))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_edsr(scale: int, tmp_path: Path) -> None:
    settings = {"num_feat": 16, "num_block": 3, "res_scale": 0.5}
    theirs = compat.arch("EDSR")(3, 3, upscale=scale, **settings)
    ours = EdsrLayout(scale=scale, **settings)
    carried_over(theirs, ours, tmp_path)
    assert_equal(theirs, ours, (12, 9), (1, 5))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_swinir_light(scale: int, tmp_path: Path) -> None:
    theirs = compat.arch("SwinIR")(
        img_size=16,
        embed_dim=12,
        depths=(2, 3),
        num_heads=(3, 2),
        window_size=8,
        mlp_ratio=2.0,
        upscale=scale,
        upsampler="pixelshuffledirect",
    )
    ours = SwinIR(embed_dim=12, num_stls=(2, 3), num_heads=(3, 2), scale=scale)
    carried_over(theirs, ours, tmp_path)
    assert_equal(theirs, ours, (16, 16), (24, 16), (8, 40))


def test_swinir_light_at_full_width(tmp_path: Path) -> None:
    settings = {"window_size": 8, "img_range": 1.0, "embed_dim": 60, "mlp_ratio": 2.0}
    heads = {"depths": (6,) * 4, "num_heads": (6,) * 4}
    theirs = compat.arch("SwinIR")(img_size=64, upscale=2, upsampler="pixelshuffledirect", **settings, **heads)
    ours = SwinIR()
    carried_over(theirs, ours, tmp_path)
    assert_equal(theirs, ours, (16, 24))


def test_swinir_classical(tmp_path: Path) -> None:
    common = {"embed_dim": 16, "num_heads": (2,), "window_size": 4, "mlp_ratio": 2.0, "resi_connection": "3conv"}
    theirs = compat.arch("SwinIR")(img_size=8, depths=(2,), upscale=4, upsampler="pixelshuffle", **common)
    ours = SwinIR(num_stls=(2,), scale=4, tail="pixelshuffle", **common)
    carried_over(theirs, ours, tmp_path)
    assert_equal(theirs, ours, (8, 12))


def test_our_checkpoint_loads_into_basicsr(tmp_path: Path) -> None:
    ours = EdsrLayout(num_feat=8, num_block=2, scale=2)
    convert.write_basicsr(tmp_path / "ours.pth", ours)
    theirs = compat.arch("EDSR")(3, 3, num_feat=8, num_block=2, upscale=2)
    theirs.load_state_dict(torch.load(tmp_path / "ours.pth", weights_only=True)["params"], strict=True)
    assert_equal(theirs, ours, (6, 5))


def registry_options(**changes: object):
    section = {"type": "basicsr:RCAN", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_group": 1, "num_block": 1}
    quant = {"method": "rlq", "w_bits": 4, "a_bits": 4}
    return from_dict({"name": "test", "scale": 2, "network_g": section | {"squeeze_factor": 2} | changes, "quant": quant})


def test_any_registered_architecture_is_built_and_quantized() -> None:
    options = registry_options(quantize=["body.*.rcab.*"])
    network = archs.build(options)
    assert (network.scale, network.window, network.receptive_field) == (2, 1, None)
    report = archs.quantize(network, options)
    assert report.quantized
    assert all(".rcab." in row.module for row in report.quantized)
    calibrate(network, [torch.rand(1, 3, 8, 8)])
    assert network(torch.rand(1, 3, 6, 5)).shape == (1, 3, 12, 10)


def test_scale_of_a_registered_architecture_must_agree() -> None:
    with pytest.raises(OptionsError, match="upscale"):
        archs.build(registry_options(upscale=4))


def test_settings_it_does_not_take() -> None:
    with pytest.raises(OptionsError, match="basicsr:RCAN does not take these settings"):
        archs.build(registry_options(num_feet=8))

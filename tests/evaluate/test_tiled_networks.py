"""The real backbones in tiles: bit-equal for quantized SRResNet in both layouts, close for SwinIR (reliability M2, M3)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qsr.archs.build import build, quantize
from qsr.data.resize import bicubic_upscale
from qsr.evaluate.metrics import psnr
from qsr.evaluate.upscale import Upscaler
from qsr.quant import calibrate
from tests.drill import NIGHTLY

# of LR pictures; tiles of 40 have one seam or two each way
SIZES = [(88, 104), (75, 83), (48, 56), (61, 47), (44, 90)]
SIZES += [(41 + 7 * number % 59, 43 + 11 * number % 71) for number in range(45)] if NIGHTLY else []


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    seeds = np.random.default_rng(seed).integers(0, 256, (-(-height // 4), -(-width // 4), 3), dtype=np.uint8)
    return bicubic_upscale(seeds, 4)[:height, :width]


@pytest.fixture
def ready(make_options):
    def make(**sections):
        torch.manual_seed(0)
        options = make_options(**sections)
        network = build(options)
        quantize(network, options)
        calibrate(network, [torch.rand(1, 3, 24, 24)])
        return network.eval()

    return make


@pytest.mark.drill("M2")
@pytest.mark.parametrize("layout", ["edsr", "msr"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_quantized_srresnet_in_tiles_is_bit_equal(ready, layout, scale):
    network_g = {"type": "SRResNet", "layout": layout, "num_feat": 8, "num_block": 2}
    network = ready(scale=scale, quant={"method": "rlq", "w_bits": 2, "a_bits": 2}, network_g=network_g)
    lr = smooth(45, 58)
    whole = Upscaler(network, tile=None)(lr)
    assert np.array_equal(Upscaler(network, tile=29)(lr), whole)
    assert np.array_equal(
        Upscaler(network, tile=29, self_ensemble=True)(lr), Upscaler(network, tile=None, self_ensemble=True)(lr)
    )


@pytest.mark.drill("M2")
@pytest.mark.parametrize("block", ["residual", "unit"])
def test_quantized_mixers_in_tiles_are_bit_equal(ready, block):
    network_g = {"type": "Mixer", "num_feat": 8, "num_block": 2, "block": block}
    network = ready(quant={"method": "rlq", "w_bits": 2, "a_bits": 2}, network_g=network_g)
    lr = smooth(45, 58)
    assert np.array_equal(Upscaler(network, tile=29)(lr), Upscaler(network, tile=None)(lr))


@pytest.mark.drill("M3")
@pytest.mark.parametrize("quant", [None, {"method": "rlq", "w_bits": 4, "a_bits": 4}])
@pytest.mark.parametrize("size", SIZES)
def test_swinir_in_tiles_is_close_and_has_no_seams(ready, quant, size):
    network_g = {"type": "SwinIR", "depths": [2, 2], "num_heads": [2, 2], "embed_dim": 12}
    network, lr = ready(quant=quant, network_g=network_g), smooth(*size)
    whole, tiled = Upscaler(network, tile=None)(lr), Upscaler(network, tile=40)(lr)
    difference = np.abs(whole.astype(int) - tiled)
    assert psnr(whole, tiled, 0) >= 55
    assert difference.max() <= 2
    # energy beside the seams (LR 40 and 80 are HR 80 and 160) against everywhere
    near = np.zeros(difference.shape[:2], bool)
    for seam in (80, 160):
        near[seam - 4 : seam + 4] = near[:, seam - 4 : seam + 4] = True
    assert difference[near].mean() <= difference.mean() + 0.01

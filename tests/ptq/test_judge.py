from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qsr.evaluate.protocol import default
from qsr.ptq.judge import Judge
from qsr.ptq.pictures import Calibration
from qsr.quant import calibrate


def test_full_precision_has_no_error_and_fewer_bits_more(pictures: Path, quantized) -> None:
    errors = []
    for bits in (2, 4, 8):
        network, _ = quantized(bits, bits)
        calibrate(network, [torch.rand(1, 3, 8, 8)])
        judge = Judge(network, Calibration(pictures, 2, side=12), 3, 2, default(2))
        assert judge.full_precision.error == 0
        errors.append(judge(network).error)
    assert errors[0] > errors[1] > errors[2] > 0


def test_psnr_is_the_protocols(pictures: Path, quantized) -> None:
    from qsr.evaluate.metrics import psnr
    from qsr.evaluate.upscale import upscale
    from qsr.ptq.judge import FIRST

    network, _ = quantized(4, 4)
    calibrate(network, [torch.rand(1, 3, 8, 8)])
    calibration = Calibration(pictures, 2, side=12)
    lq, gt = ((255 * part).round().to(torch.uint8).permute(0, 2, 3, 1).numpy() for part in calibration.pairs(FIRST, 3))
    expected = sum(psnr(upscale(network, a), b, 2) for a, b in zip(lq, gt)) / 3
    assert Judge(network, calibration, 3, 2, default(2))(network).psnr_y == pytest.approx(expected, abs=1e-3)

"""PSNR and SSIM against BasicSR's functions under the same settings: Y or RGB, every border."""

from __future__ import annotations

import numpy as np
import pytest

from qsr.errors import EnvironmentFault
from qsr.evaluate import metrics
from qsr.evaluate.golden import CROPS, pairs

# basicsr rounds Y to float32. Over many pixels that averages out; where a single pixel differs by one level it is seen.
FLOAT32_SHOWS = {("one_pixel", True): 2e-4}


@pytest.fixture(scope="module")
def theirs():
    from qsr.compat.basicsr import import_basicsr

    try:
        import_basicsr()
    except EnvironmentFault as fault:
        pytest.skip(f"basicsr is not usable here: {fault}")
    from basicsr.metrics import psnr_ssim

    return psnr_ssim


@pytest.mark.drill("D6")
@pytest.mark.parametrize("name", pairs())
@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("y", [True, False])
def test_the_same_numbers(theirs, name, crop, y):
    output, truth = pairs()[name]
    bgr = [np.ascontiguousarray(picture[..., ::-1]) for picture in (output, truth)]
    psnr = theirs.calculate_psnr(*bgr, crop_border=crop, test_y_channel=y)
    ssim = theirs.calculate_ssim(*bgr, crop_border=crop, test_y_channel=y)
    assert metrics.psnr(output, truth, crop, y) == pytest.approx(psnr, abs=FLOAT32_SHOWS.get((name, y), 1e-6))
    assert metrics.ssim(output, truth, crop, y) == pytest.approx(ssim, abs=1e-6)

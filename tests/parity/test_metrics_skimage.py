"""SSIM against scikit-image with the settings of the original paper, PSNR against its peak_signal_noise_ratio."""

from __future__ import annotations

import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from qsr.evaluate import metrics
from qsr.evaluate.golden import CROPS, pairs


@pytest.mark.drill("D6")
@pytest.mark.parametrize("name", pairs())
@pytest.mark.parametrize("crop", CROPS)
def test_luma(name, crop):
    output, truth = (picture[crop : picture.shape[0] - crop, crop : picture.shape[1] - crop] for picture in pairs()[name])
    a, b = metrics.luma(output), metrics.luma(truth)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    _, ssim_map = structural_similarity(a, b, full=True, **settings)
    assert metrics.ssim(*pairs()[name], crop) == pytest.approx(ssim_map[5:-5, 5:-5].mean(), abs=1e-6)
    if (a != b).any():
        assert metrics.psnr(*pairs()[name], crop) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=255), abs=1e-9)

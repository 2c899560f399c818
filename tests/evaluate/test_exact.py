from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from qsr.evaluate.exact import BLOCK, PositionIndependent


@pytest.mark.parametrize(
    ("ci", "co", "kernel", "settings"),
    [
        (3, 8, (3, 3), {"padding": 1}),
        (8, 3, (1, 1), {}),
        (4, 8, (3, 5), {"padding": "same"}),
        (4, 6, (4, 2), {"padding": "same"}),
        (4, 6, (3, 3), {"padding": "valid"}),
        (6, 6, (3, 3), {"padding": (0, 2), "groups": 3}),
        (3, 4, (3, 3), {"padding": 1, "stride": 2}),
        (3, 4, (3, 3), {"padding": 2, "dilation": (2, 2)}),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("size", [(7, 9), (BLOCK + 3, BLOCK)])
def test_equals_the_ordinary_convolution(ci, co, kernel, settings, size):
    torch.manual_seed(0)
    x, bias = torch.randn(2, ci, *size), torch.randn(co)
    weight = torch.randn(co, ci // settings.get("groups", 1), *kernel)
    expected = F.conv2d(x, weight, bias, **settings)
    with PositionIndependent():
        found = F.conv2d(x, weight, bias, **settings)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("ci", "co"), [(3, 8), (8, 8), (3, 64), (64, 64), (64, 12), (60, 60), (32, 3)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_cut_out_gives_the_same_bits(ci, co, memory_format):
    torch.manual_seed(1)
    x = torch.randn(1, ci, 75, 90).contiguous(memory_format=memory_format)
    weight = torch.randn(co, ci, 3, 3).contiguous(memory_format=memory_format)
    with PositionIndependent():
        whole = F.conv2d(x, weight)
        for top, left in ((0, 0), (1, 1), (3, 17), (30, 29), (44, 50)):
            part = F.conv2d(x[:, :, top : top + 31, left : left + 40], weight)
            assert torch.equal(part, whole[:, :, top : top + 29, left : left + 38])


def test_bilinear_enlargement_by_three_gives_the_same_bits():
    x = torch.rand(1, 3, 300, 40)

    def enlarge(image):
        return F.interpolate(image, scale_factor=3, mode="bilinear", align_corners=False)

    def rows_differ() -> bool:
        return not torch.equal(enlarge(x)[:, :, 603:897], enlarge(x[:, :, 200:])[:, :, 3:297])

    assert rows_differ()  # the reason for the special case
    with PositionIndependent():
        assert not rows_differ()


def test_the_mode_ends_with_its_context():
    x, weight = torch.randn(1, 8, 60, 61), torch.randn(8, 8, 3, 3)
    before = F.conv2d(x, weight)
    with PositionIndependent():
        F.conv2d(x, weight)
    assert torch.equal(F.conv2d(x, weight), before)

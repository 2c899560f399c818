"""Attention and blocks against their definitions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qsr.archs.swin_layers import RSTB, Extras, SwinLayer, WindowAttention, residual_conv
from qsr.archs.windows import shift_mask


class Recorder(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        self.seen = x.detach()
        return x


def test_attention_of_equal_pixels_is_the_mean_value() -> None:
    """With zero query weights every pixel attends equally, so the output is proj(mean of v)."""
    attention = WindowAttention(8, window=4, heads=2)
    with torch.no_grad():
        attention.qkv.weight[:8] = 0
        attention.qkv.bias[:8] = 0
        attention.relative_position_bias_table.zero_()
    x = torch.randn(3, 16, 8)
    v = nn.functional.linear(x, attention.qkv.weight[16:], attention.qkv.bias[16:])
    expected = attention.proj(v.mean(1, keepdim=True).expand_as(v))
    torch.testing.assert_close(attention(x, None), expected)


def test_mask_cuts_windows_apart() -> None:
    """A change on one side of the picture does not leak to the other through a shifted layer's border window."""
    layer = SwinLayer(8, heads=2, window=4, shift=2, mlp_ratio=2.0).double()
    mask = shift_mask(8, 8, 4, 2, like=torch.zeros((), dtype=torch.float64))
    x = torch.randn(1, 8, 8, 8, dtype=torch.float64)
    changed = x.clone()
    changed[:, 0, 0] += torch.randn(8, dtype=torch.float64)
    difference = (layer(changed, mask) - layer(x, mask)).abs().amax(-1)[0]
    assert difference[:2, :2].amin() > 1e-9
    assert difference[6:, 6:].amax() < 1e-12


def test_operand_quantizers_see_the_products_operands() -> None:
    attention = WindowAttention(8, window=4, heads=2)
    x = torch.randn(3, 16, 8)
    expected = attention(x, None)
    for name in ("q_quant", "k_quant", "v_quant", "attn_quant"):
        setattr(attention, name, Recorder())
    torch.testing.assert_close(attention(x, None), expected)
    assert attention.q_quant.seen.shape == attention.k_quant.seen.shape == attention.v_quant.seen.shape == (3, 2, 16, 4)
    torch.testing.assert_close(attention.attn_quant.seen.sum(-1), torch.ones(3, 2, 16))


def test_linear_skip_goes_around_the_projection() -> None:
    plain, skipping = WindowAttention(8, window=4, heads=2), WindowAttention(8, 4, 2, Extras(linear_skip=True))
    skipping.load_state_dict(plain.state_dict())
    recorder = Recorder()
    skipping.proj = nn.Sequential(recorder, skipping.proj)
    x = torch.randn(3, 16, 8)
    torch.testing.assert_close(skipping(x, None) - plain(x, None), recorder.seen)


def test_sums_have_gains_where_asked_for() -> None:
    block = RSTB(8, 1, 2, 4, 2.0, "1conv", False, Extras(linear_skip=True, balanced=True))
    gains = [name for name, _ in block.named_buffers() if name.endswith("gain")]
    layer = "residual_group.blocks.0"
    assert gains == [f"{layer}.attn.join.gain", f"{layer}.join1.gain", f"{layer}.join2.gain", "join.gain"]
    x = torch.randn(1, 4, 4, 8)
    mask = shift_mask(4, 4, 4, 2, like=x)
    for name in gains:
        block.get_buffer(name).zero_()
    assert torch.equal(block(x, mask), x)


def test_rstb_shortcut_scales_the_outer_residual() -> None:
    block = RSTB(8, 2, 2, 4, 2.0, "1conv", dynamic=True)
    x = torch.randn(1, 8, 8, 8)
    mask = shift_mask(8, 8, 4, 2, like=x)
    plain = block(x, mask)
    with torch.no_grad():
        block.shortcut.fill_(0.25)
    torch.testing.assert_close(block(x, mask), plain - 0.75 * x)


def test_residual_conv_kinds() -> None:
    assert sum(p.numel() for p in residual_conv(60, "1conv").parameters()) == 32_460
    assert residual_conv(16, "3conv")(torch.rand(1, 16, 4, 4)).shape == (1, 16, 4, 4)

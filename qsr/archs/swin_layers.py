"""The layers of SwinIR: window attention, Swin transformer layer (STL), residual Swin transformer block (RSTB).

Feature maps are (N, h, w, c) with h, w multiples of the window. Parameter names are those of the official checkpoints.
Source: Liang et al., SwinIR, ICCVW 2021; Liu et al., Swin Transformer, ICCV 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qsr.archs.units import Join
from qsr.archs.windows import merge, partition, relative_positions


@dataclass(frozen=True)
class Extras:
    """What one-bit networks have besides: a skip around each projection, sums with a gain (balance.py)."""

    linear_skip: bool = False
    balanced: bool = False


NOTHING = Extras()


class WindowAttention(nn.Module):
    """Multi-head self-attention inside windows, with a learned bias for each relative position.

    q_quant, k_quant, v_quant, attn_quant: quantizers of the matrix products' operands, None in full precision
    (set by `qsr.archs.build.quantize` for `quant_matmul`). extras.linear_skip: a full-precision skip around `proj`.
    """

    positions: Tensor

    def __init__(self, dim: int, window: int, heads: int, extras: Extras = NOTHING) -> None:
        super().__init__()
        self.heads = heads
        self.join = Join(extras.balanced, inner=True) if extras.linear_skip else None
        self.scale = (dim // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("positions", relative_positions(window), persistent=False)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.q_quant: nn.Module | None = None
        self.k_quant: nn.Module | None = None
        self.v_quant: nn.Module | None = None
        self.attn_quant: nn.Module | None = None
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x: (N * windows, n, c) with n = window^2; mask: (windows, n, n), added to the logits, or None."""
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        q = q * self.scale  # (b, heads, n, c / heads), as k and v
        if self.q_quant is not None and self.k_quant is not None and self.v_quant is not None:
            q, k, v = self.q_quant(q), self.k_quant(k), self.v_quant(v)
        logits = q @ k.transpose(-2, -1)  # (b, heads, n, n)
        if mask is None:
            logits = logits + self.bias(n)
        else:
            # bias and mask are joined first: one pass over the logits of all images, not two
            joined = self.bias(n) + mask[:, None]  # (windows, heads, n, n)
            logits = (logits.reshape(-1, *joined.shape) + joined).reshape(-1, self.heads, n, n)
        attention = logits.softmax(dim=-1)
        if self.attn_quant is not None:
            attention = self.attn_quant(attention)
        attended = (attention @ v).transpose(1, 2).reshape(b, n, c)
        return self.proj(attended) if self.join is None else self.join(attended, self.proj(attended))

    def bias(self, n: int) -> Tensor:
        """(heads, n, n): the table's row of each pair of pixels."""
        return self.relative_position_bias_table[self.positions].reshape(n, n, self.heads).permute(2, 0, 1)


class Mlp(nn.Module):
    """fc2(gelu(fc1(x))) over the last dimension."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SwinLayer(nn.Module):
    """One STL: x + attention(norm1(x)), then x + mlp(norm2(x)); `shift` 0 or half a window."""

    def __init__(self, dim: int, heads: int, window: int, shift: int, mlp_ratio: float, extras: Extras = NOTHING) -> None:
        super().__init__()
        self.window = window
        self.shift = shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, window, heads, extras)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.join1 = Join(extras.balanced)
        self.join2 = Join(extras.balanced)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (N, h, w, dim); mask: windows.shift_mask(h, w, ...), used by shifted layers only."""
        _, h, w, _ = x.shape
        shifted = self.norm1(x)
        if self.shift:
            shifted = shifted.roll((-self.shift, -self.shift), (1, 2))
        attended = self.attn(partition(shifted, self.window), mask if self.shift else None)
        attended = merge(attended, self.window, h, w)
        if self.shift:
            attended = attended.roll((self.shift, self.shift), (1, 2))
        x = self.join1(x, attended)
        return self.join2(x, self.mlp(self.norm2(x)))


class SwinGroup(nn.Module):
    """The STLs of one RSTB; every other one works on shifted windows."""

    def __init__(self, dim: int, layers: int, heads: int, window: int, mlp_ratio: float, extras: Extras = NOTHING) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinLayer(dim, heads, window, window // 2 if number % 2 else 0, mlp_ratio, extras) for number in range(layers)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, mask)
        return x


def residual_conv(dim: int, kind: str) -> nn.Module:
    """The convolution that ends a residual branch: `1conv`, or the bottleneck `3conv` of the large models."""
    if kind == "1conv":
        return nn.Conv2d(dim, dim, 3, padding=1)
    narrow = dim // 4
    return nn.Sequential(
        nn.Conv2d(dim, narrow, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(narrow, narrow, 1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(narrow, dim, 3, padding=1),
    )


class RSTB(nn.Module):
    """x + conv(STLs(x)) on (N, h, w, dim); a dynamic block scales the outer x by its `shortcut`."""

    def __init__(
        self,
        dim: int,
        layers: int,
        heads: int,
        window: int,
        mlp_ratio: float,
        resi: str,
        dynamic: bool,
        extras: Extras = NOTHING,
    ) -> None:
        super().__init__()
        self.residual_group = SwinGroup(dim, layers, heads, window, mlp_ratio, extras)
        self.conv = residual_conv(dim, resi)
        self.join = Join(extras.balanced)
        self.register_parameter("shortcut", nn.Parameter(torch.ones(())) if dynamic else None)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        # (N, h, w, c) seen as (N, c, h, w) is the channels_last layout: the permutations move no data
        branch = self.conv(self.residual_group(x, mask).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.join(x if self.shortcut is None else x * self.shortcut, branch)

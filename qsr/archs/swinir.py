"""SwinIR for classical super-resolution; the defaults are SwinIR_S, the light model (910,152 parameters at x2).

Any image size: the input is continued by reflection to multiples of the window and the output is cropped.
Official SwinIR-light checkpoints load as they are (qsr.archs.convert drops their two index buffers).
Source: Liang et al., SwinIR, ICCVW 2021 (algorithms 1.3).
"""

from __future__ import annotations

from torch import Tensor, nn

from qsr.archs.depth import DepthStack
from qsr.archs.srresnet import DIV2K_MEAN, colour_mean, conv3x3, upsampler
from qsr.archs.swin_layers import NOTHING, RSTB, Extras, residual_conv
from qsr.archs.units import Join
from qsr.archs.windows import crop, pad_to_windows, shift_mask

TAIL_FEATURES = 64  # of the classical tail, independent of embed_dim as in the original


class LayerStack(nn.Sequential):
    """RSTBs in a row: (N, h, w, dim) and the mask of shifted windows -> (N, h, w, dim)."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        for layer in self:
            x = layer(x, mask)
        return x


class Embedding(nn.Module):
    """LayerNorm of the head's features, under the name that official checkpoints give it (`patch_embed.norm`)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


class SwinIR(nn.Module):
    """Forward: (N, in_chans, h, w) float in [0, 1] -> (N, in_chans, s*h, s*w), any h, w >= 1.

    num_stls: STLs per RSTB (official name: depths). depths: active RSTBs that can be chosen, largest first, () for
    a network of fixed depth. upsampler: `pixelshuffledirect` (light, one step) or `pixelshuffle` (classical).
    window: multiple that the input is padded to, inside forward. receptive_field: None, attention has no small one.
    """

    receptive_field = None
    mean: Tensor

    def __init__(
        self,
        in_chans: int = 3,
        scale: int = 2,
        window_size: int = 8,
        img_range: float = 1.0,
        num_stls: tuple[int, ...] = (6, 6, 6, 6),
        embed_dim: int = 60,
        num_heads: tuple[int, ...] = (6, 6, 6, 6),
        mlp_ratio: float = 2.0,
        tail: str = "pixelshuffledirect",
        resi_connection: str = "1conv",
        depths: tuple[int, ...] = (),
        extras: Extras = NOTHING,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.window = window_size
        self.img_range = img_range
        self.register_buffer("mean", colour_mean(DIV2K_MEAN, in_chans), persistent=False)
        self.conv_first = conv3x3(in_chans, embed_dim)
        self.patch_embed = Embedding(embed_dim)
        rows = [
            RSTB(embed_dim, layers, heads, window_size, mlp_ratio, resi_connection, bool(depths), extras)
            for layers, heads in zip(num_stls, num_heads, strict=True)
        ]
        self.layers = DepthStack(rows, depths) if depths else LayerStack(*rows)
        self.norm = nn.LayerNorm(embed_dim)
        self.conv_after_body = residual_conv(embed_dim, resi_connection)
        self.skip = Join()
        self.conv_before_upsample: nn.Module | None = None
        self.conv_last: nn.Module | None = None
        if tail == "pixelshuffledirect":
            self.upsample = nn.Sequential(conv3x3(embed_dim, in_chans * scale**2), nn.PixelShuffle(scale))
        else:
            self.conv_before_upsample = nn.Sequential(conv3x3(embed_dim, TAIL_FEATURES), nn.LeakyReLU(inplace=True))
            self.upsample = upsampler(TAIL_FEATURES, scale)
            self.conv_last = conv3x3(TAIL_FEATURES, in_chans)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        head = self.conv_first((pad_to_windows(x, self.window) - self.mean) * self.img_range)
        features = self.skip(head, self.conv_after_body(self.deep_features(head)))
        if self.conv_before_upsample is not None and self.conv_last is not None:
            image = self.conv_last(self.upsample(self.conv_before_upsample(features)))
        else:
            image = self.upsample(features)
        return crop(image, self.scale * height, self.scale * width) / self.img_range + self.mean

    def deep_features(self, head: Tensor) -> Tensor:
        """(N, embed_dim, H, W) -> the same shape, H and W multiples of the window."""
        x = self.patch_embed(head.permute(0, 2, 3, 1))
        # one mask for all shifted layers; computed from the run-time size each time, so no size is kept anywhere
        mask = shift_mask(x.shape[1], x.shape[2], self.window, self.window // 2, like=x)
        return self.norm(self.layers(x, mask)).permute(0, 3, 1, 2)

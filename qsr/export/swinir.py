"""SwinIR as operations; a Swin layer is one of them."""

from __future__ import annotations

import numpy as np
from torch import nn

from qsr.archs.swin_layers import RSTB, SwinLayer, WindowAttention
from qsr.archs.swinir import SwinIR
from qsr.export.acts import act_of, map_of
from qsr.export.blocks import gain_of
from qsr.export.builder import Builder, Shared, numbers
from qsr.export.layers import conv, linear
from qsr.export.srresnet import body, colour_offset, coloured, lrelu, upsampler
from qsr.quant import Quantizer
from qsr.runtime.packed.ops import Act, Add, Norm, Operands, Shuffle, Swin


def swinir(b: Builder, network: SwinIR) -> int:
    """The picture comes with sides that are multiples of the window (PackedHeader.window)."""
    mean = colour_offset(network.mean)
    head = conv(b, coloured(b, mean, network.img_range), "conv_first", network.conv_first)
    x = _norm(b, head, "patch_embed.norm", network.patch_embed.norm)
    x = body(b, x, "layers", network.layers, lambda x, name, block: rstb(b, x, name, block))
    x = _norm(b, x, "norm", network.norm)
    x = b.add(Add((head, _residual_conv(b, x, "conv_after_body", network.conv_after_body, gain_of(network.skip)))))
    back = 1 / network.img_range
    if network.conv_last is None:
        shuffle = network.upsample[1].upscale_factor
        # each colour is shuffle^2 channels in a row
        x = conv(b, x, "upsample.0", network.upsample[0], back, np.repeat(mean, shuffle**2))
        return b.add(Shuffle((x,), shuffle))
    assert isinstance(network.conv_before_upsample, nn.Sequential)
    before, act = network.conv_before_upsample
    x = lrelu(b, conv(b, x, "conv_before_upsample.0", before), act.negative_slope)
    return conv(b, upsampler(b, x, "upsample", network.upsample), "conv_last", network.conv_last, back, mean)


def rstb(b: Builder, x: int, name: str, block: RSTB) -> int:
    y = x
    for number, layer in enumerate(block.residual_group.blocks):
        y = swin_layer(b, y, f"{name}.residual_group.blocks.{number}", layer)
    y = _residual_conv(b, y, f"{name}.conv", block.conv, gain_of(block.join))
    stream = x if block.shortcut is None else b.affine(x, f"{name}.shortcut", block.shortcut)
    return b.add(Add((stream, y)))


def swin_layer(b: Builder, x: int, name: str, layer: SwinLayer) -> int:
    shared, attention = b.shared, layer.attn
    return b.add(
        Swin(
            inputs=(x,),
            name=name,
            channels=attention.proj.out_features,
            window=layer.window,
            shift=layer.shift,
            heads=attention.heads,
            table=shared.keep(f"{name}.attn.table", numbers(attention.relative_position_bias_table).astype(np.float32)),
            norm1=_norm_names(shared, f"{name}.norm1", layer.norm1),
            norm2=_norm_names(shared, f"{name}.norm2", layer.norm2),
            eps=layer.norm1.eps,
            qkv=linear(shared, f"{name}.attn.qkv", attention.qkv),
            proj=linear(
                shared, f"{name}.attn.proj", attention.proj, 1.0 if attention.join is None else gain_of(attention.join)
            ),
            fc1=linear(shared, f"{name}.mlp.fc1", layer.mlp.fc1),
            fc2=linear(shared, f"{name}.mlp.fc2", layer.mlp.fc2),
            proj_skip=attention.join is not None,
            gain1=gain_of(layer.join1),
            gain2=gain_of(layer.join2),
            operands=_operands(shared, f"{name}.attn", attention),
        )
    )


def _operands(shared: Shared, name: str, attention: WindowAttention) -> Operands | None:
    if attention.attn_quant is None:
        return None
    return Operands(
        _operand(shared, name, attention, "q_quant"),
        _operand(shared, name, attention, "k_quant"),
        _operand(shared, name, attention, "v_quant"),
        map_of(shared, f"{name}.attn_quant", attention.attn_quant),
    )


def _operand(shared: Shared, name: str, attention: WindowAttention, operand: str) -> Act:
    quantizer: Quantizer = getattr(attention, operand)
    return act_of(shared, f"{name}.{operand}", quantizer)


def _residual_conv(b: Builder, x: int, name: str, layers: nn.Module, gain: float) -> int:
    """One convolution, or the bottleneck of three with LeakyReLUs between."""
    if isinstance(layers, nn.Conv2d):
        return conv(b, x, name, layers, gain)
    last = len(layers) - 1
    for number, layer in enumerate(layers):
        if isinstance(layer, nn.LeakyReLU):
            x = lrelu(b, x, layer.negative_slope)
        else:
            x = conv(b, x, f"{name}.{number}", layer, gain if number == last else 1.0)
    return x


def _norm(b: Builder, x: int, name: str, norm: nn.LayerNorm) -> int:
    return b.add(Norm((x,), *_norm_names(b.shared, name, norm), norm.eps))


def _norm_names(shared: Shared, name: str, norm: nn.LayerNorm) -> tuple[str, str]:
    weight, bias = (numbers(value).astype(np.float32) for value in (norm.weight, norm.bias))
    return shared.keep(f"{name}.weight", weight), shared.keep(f"{name}.bias", bias)

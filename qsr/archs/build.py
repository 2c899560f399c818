"""From options to a network: the backbone, then its quantization.

`build` gives the float network (the supernet with `depth.dqa`), `build_base` the ordinary one that the full-precision
stage trains, `quantize` swaps the layers that the rules name.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

from torch import nn

from qsr.archs import rules
from qsr.archs.mixer import Mixer
from qsr.archs.srresnet import BlockSettings, EdsrLayout, MsrLayout
from qsr.archs.swin_layers import Extras, WindowAttention
from qsr.archs.swinir import SwinIR
from qsr.errors import OptionsError
from qsr.options import schema
from qsr.options.schema import Depth, Options
from qsr.quant import LayerReport, quantize_
from qsr.quant.base import Quantizer, create
from qsr.quant.elastic import ELASTIC, ElasticMap, Operand
from qsr.spec import QuantSpec


def build(options: Options) -> nn.Module:
    """The float network, at full depth, initialised from torch's global generator.

    forward: (N, 3, h, w) float in [0, 1] -> (N, 3, s*h, s*w). Attributes: `scale`; `window`, the multiple that forward
    pads to (1: none); `receptive_field`, LR pixels on each side an output pixel depends on (None: unknown or unbounded).
    Raises OptionsError for contradictions (scale, depths on a foreign network, an unknown basicsr name).
    """
    network, dqa = options.network_g, options.depth.dqa
    depths = dqa.depths if dqa else ()
    if isinstance(network, schema.SRResNet):
        return _srresnet(network, _scale(options, network.upscale), depths, balanced(options))
    if isinstance(network, schema.SwinIR):
        return _swinir(network, _scale(options, network.upscale), depths, balanced(options))
    if isinstance(network, schema.Mixer) and not depths:
        return _mixer(network, _scale(options, network.upscale), balanced(options))
    if depths:
        raise OptionsError("depth.dqa needs residual blocks that qsr knows: SRResNet or SwinIR", where="network_g.type")
    assert isinstance(network, schema.BasicSRNetwork)
    return _foreign(options, network)


def base_options(options: Options) -> Options:
    """The same options for the full-precision stage: no quantization, fixed depth, no skips inside a branch.

    One base serves all: skips around each convolution or projection are made for one-bit networks, which start from it.
    With DQA the base has the second depth (16 of 32/16/8): the like-for-like network that the supernet starts from.
    """
    dqa, network = options.depth.dqa, options.network_g
    if isinstance(network, schema.SRResNet):
        plain = {} if network.block == "residual" else {"block": "residual", "activation": None}
        network = network.model_copy(update=plain | {"input_gain": 1.0})
    elif isinstance(network, schema.Mixer) and network.block != "residual":
        network = network.model_copy(update={"block": "residual", "activation": None})
    elif isinstance(network, schema.SwinIR) and network.linear_skip:
        network = network.model_copy(update={"linear_skip": False})
    if dqa is not None:
        blocks = dqa.depths[min(1, len(dqa.depths) - 1)]
        if isinstance(network, schema.SRResNet):
            network = network.model_copy(update={"num_block": blocks})
        elif isinstance(network, schema.SwinIR):
            network = network.model_copy(
                update={"depths": _repeated(network.depths, blocks), "num_heads": _repeated(network.num_heads, blocks)}
            )
    return options.model_copy(update={"quant": None, "depth": Depth(), "network_g": network})


def build_base(options: Options) -> nn.Module:
    """The float network of fixed depth that the full-precision stage trains."""
    return build(base_options(options))


def quantize(network: nn.Module, options: Options) -> LayerReport:
    """Swap the layers of `network` in place as options.quant says; the table of all layers. Without quant: all kept."""
    report = quantize_(network, rules.quant_rules(options))
    matmul = rules.matmul_spec(options)
    return report if matmul is None else _quantize_products(network, matmul, report)


def _quantize_products(network: nn.Module, spec: QuantSpec, report: LayerReport) -> LayerReport:
    """Quantizers for q, k, v and the attention map; signs are detected (the map, a softmax, is unsigned).

    At one bit that takes quantizers of their own, whatever the method (quant/elastic.py).
    """
    for module in network.modules():
        if isinstance(module, WindowAttention):
            for operand in ("q_quant", "k_quant", "v_quant", "attn_quant"):
                quantizer: Quantizer
                if spec.method == ELASTIC:
                    features = module.qkv.in_features // module.heads
                    quantizer = ElasticMap(module.heads) if operand == "attn_quant" else Operand(module.heads, features)
                else:
                    quantizer = create(spec, "act", module.heads, 1)
                setattr(module, operand, quantizer)
    rows = (
        replace(
            row,
            a_method=spec.method,
            a_bits=spec.bits,
            act_at="q, k, v and the attention map",
            reason="only the products are quantized",
        )
        if row.kind == WindowAttention.__name__
        else row
        for row in report.rows
    )
    return replace(report, rows=tuple(rows))


def balanced(options: Options) -> bool:
    """Whether the network's residual sums have gains, for `balance` to set."""
    return options.quant is not None and options.quant.start == "balanced"


def _srresnet(network: schema.SRResNet, scale: int, depths: tuple[int, ...], balanced: bool) -> nn.Module:
    common: dict[str, Any] = {
        "num_in_ch": network.num_in_ch,
        "num_out_ch": network.num_out_ch,
        "num_feat": network.num_feat,
        "num_block": depths[0] if depths else network.num_block,
        "scale": scale,
        "res_scale": network.res_scale,
        "depths": depths,
        "block": BlockSettings(network.block, network.activation, balanced),
    }
    if rules.layout(network) == "msr":
        return MsrLayout(**common, input_gain=network.input_gain)
    return EdsrLayout(**common, img_range=network.img_range, rgb_mean=network.rgb_mean)


def _swinir(network: schema.SwinIR, scale: int, depths: tuple[int, ...], balanced: bool) -> nn.Module:
    blocks = depths[0] if depths else len(network.depths)
    return SwinIR(
        in_chans=network.in_chans,
        scale=scale,
        window_size=network.window_size,
        img_range=network.img_range,
        num_stls=_repeated(network.depths, blocks),
        embed_dim=network.embed_dim,
        num_heads=_repeated(network.num_heads, blocks),
        mlp_ratio=network.mlp_ratio,
        tail=network.upsampler,
        resi_connection=network.resi_connection,
        depths=depths,
        extras=Extras(network.linear_skip, balanced),
    )


def _mixer(network: schema.Mixer, scale: int, balanced: bool) -> nn.Module:
    return Mixer(
        num_feat=network.num_feat,
        num_block=network.num_block,
        expansion=network.expansion,
        scale=scale,
        block=BlockSettings(network.block, network.activation, balanced),
    )


def _foreign(options: Options, network: schema.BasicSRNetwork) -> nn.Module:
    """An architecture of basicsr; where it has a parameter for the scale, that is `scale` and may not differ."""
    from qsr.compat.basicsr import arch  # an optional extra, asked for by this network only

    found = arch(network.type.removeprefix("basicsr:"))
    settings = dict(network.model_extra or {})
    for name in ("upscale", "scale"):
        if name in inspect.signature(found).parameters:
            settings[name] = _scale(options, settings.get(name), f"network_g.{name}")
    try:
        built: nn.Module = found(**settings)
    except (TypeError, ValueError, AssertionError) as fault:
        raise OptionsError(f"{network.type} does not take these settings: {fault}", where="network_g") from fault
    built.scale, built.window, built.receptive_field = options.scale, 1, None
    return built


def _scale(options: Options, upscale: int | None, where: str = "network_g.upscale") -> int:
    if upscale is not None and upscale != options.scale:
        raise OptionsError(f"found {upscale}, expected scale: {options.scale}", where=where)
    return options.scale


def _repeated(per_block: tuple[int, ...], blocks: int) -> tuple[int, ...]:
    """The setting of each of `blocks` RSTBs: as given, shortened or repeated; (6, 6, 6, 6) for 8 blocks is eight sixes."""
    return tuple(per_block[number % len(per_block)] for number in range(blocks))

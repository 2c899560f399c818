"""Checks of the network section against itself, `scale` and `depth.dqa`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from qsr.options.problems import Problem
from qsr.options.schema import BasicSRNetwork, Dqa, Mixer, Options, SRResNet, SwinIR
from qsr.options.schema_network import MAX_CHANNELS
from qsr.options.tree import Tree

_LAYOUT_ONLY = {"edsr": ("img_range", "rgb_mean"), "msr": ("input_gain",)}


def network_problems(options: Options, tree: Tree) -> Iterator[Problem]:
    """Contradictions in `network_g` and `depth`."""
    network = options.network_g
    if isinstance(network, BasicSRNetwork):
        yield from _upscale_problems((network.model_extra or {}).get("upscale"), options.scale)
    else:
        yield from _upscale_problems(network.upscale, options.scale)
    if isinstance(network, SRResNet):
        yield from _srresnet_problems(network, tree)
    elif isinstance(network, SwinIR):
        yield from _swinir_problems(network)
    elif isinstance(network, Mixer):
        yield from _mixer_problems(network)
    if options.depth.dqa:
        yield from _dqa_problems(options.depth.dqa, options)


def _upscale_problems(upscale: object, scale: int) -> Iterator[Problem]:
    if upscale is not None and upscale != scale:
        yield Problem(("network_g", "upscale"), f"found {upscale}, but scale is {scale}")


def _srresnet_problems(network: SRResNet, tree: Tree) -> Iterator[Problem]:
    fixed = {"EDSR": "edsr", "MSRResNet": "msr"}.get(network.type, network.layout)
    if network.layout is not None and network.layout != fixed:
        yield Problem(
            ("network_g", "layout"),
            f"found {network.layout}, but type {network.type} is the {fixed} layout (use type SRResNet)",
        )
    for key in ("num_in_ch", "num_out_ch"):
        yield from _rgb_problems(key, getattr(network, key))
    layout = network.resolved_layout
    for key in _LAYOUT_ONLY["edsr" if layout == "msr" else "msr"]:
        # a default written out (`qsr options show` does so) asks for nothing
        if tree.has(("network_g", key)) and getattr(network, key) != SRResNet.model_fields[key].default:
            yield Problem(("network_g", key), f"has no meaning in the {layout} layout")


def _rgb_problems(key: str, channels: int) -> Iterator[Problem]:
    if channels != 3:
        yield Problem(("network_g", key), f"found {channels}, expected 3: pictures are RGB")


def _swinir_problems(network: SwinIR) -> Iterator[Problem]:
    yield from _rgb_problems("in_chans", network.in_chans)
    if len(network.depths) != len(network.num_heads):
        yield Problem(
            ("network_g", "num_heads"), f"found {len(network.num_heads)} entries for {len(network.depths)} RSTBs in depths"
        )
    for heads in sorted({heads for heads in network.num_heads if network.embed_dim % heads}):
        yield Problem(("network_g", "embed_dim"), f"found {network.embed_dim}, expected a multiple of {heads} heads")


def _mixer_problems(network: Mixer) -> Iterator[Problem]:
    inner = network.num_feat * network.expansion
    if inner > MAX_CHANNELS:
        message = f"makes {inner} channels of {network.num_feat}, expected at most {MAX_CHANNELS}"
        yield Problem(("network_g", "expansion"), message)


def _dqa_problems(dqa: Dqa, options: Options) -> Iterator[Problem]:
    here, network = ("depth", "dqa"), options.network_g
    if isinstance(network, BasicSRNetwork | Mixer):
        yield Problem(here, f"{network.type} has no depth to vary, expected SRResNet or SwinIR")
    if len(dqa.depths) < 2 or any(a <= b for a, b in pairwise(dqa.depths)):
        yield Problem((*here, "depths"), f"found {list(dqa.depths)}, expected two or more falling depths, the supernet first")
    if dqa.weights is not None and len(dqa.weights) != len(dqa.depths):
        yield Problem((*here, "weights"), f"found {len(dqa.weights)} for {len(dqa.depths)} depths")
    if isinstance(network, SwinIR):
        for key in ("depths", "num_heads"):
            if len(set(getattr(network, key))) > 1:
                yield Problem(("network_g", key), "differs between RSTBs; with depth.dqa all are alike")

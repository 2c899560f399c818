"""What a packed file says about the network in it, in plain words and numbers, and what a tiler must know of it."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from torch import nn

from qsr.archs.depth import find_stack
from qsr.archs.modelfile import ModelInfo
from qsr.errors import OptionsError
from qsr.options import Options, options_hash
from qsr.options.schema import Mixer, SRResNet, SwinIR
from qsr.quant import quantizers
from qsr.quant.cadyq import CADyQ
from qsr.runtime.packed.ops import Conv, Program, Quantize, SignAct

Plain = str | int | float | bool | None
BLOCK_REACH = 2  # LR pixels that the two convolutions of a residual block reach


def described(options: Options, network: nn.Module) -> dict[str, Plain]:
    """`network` of the header: type, size and quantization, for people and tables; a reader runs the operations alone."""
    return {**_backbone(options), **_quantization(options, network)}


def provenance(options: Options, info: ModelInfo) -> dict[str, Any]:
    """Where the weights come from; no path in it."""
    told: dict[str, Any] = {
        "name": options.name,
        "iteration": info.iteration,
        "weights": info.weights,
        "options_hash": options_hash(options),
        "versions": dict(info.versions),
    }
    train = options.datasets.get("train")
    if train is not None and train.name:
        told["dataset"] = PurePath(train.name).name
    return told


def receptive_field(network: nn.Module, programs: tuple[Program, ...]) -> int | None:
    """LR pixels on each side that an output pixel depends on, at the deepest program of the file; None: no bound."""
    whole: int | None = network.receptive_field
    stack = find_stack(network)
    if whole is None or stack is None:
        return whole
    return whole - BLOCK_REACH * (len(stack) - max(program.depth or 0 for program in programs))


def sees_all(programs: tuple[Program, ...]) -> bool:
    """Whether an operation measures the whole feature map (XNOR's mean|x|); in tokens and windows it measures those."""
    acts = (op.act for program in programs for op in program.ops if isinstance(op, Conv | Quantize))
    return any(isinstance(act, SignAct) and act.scale == "mean" for act in acts)


def _backbone(options: Options) -> dict[str, Plain]:
    section = options.network_g
    if isinstance(section, SRResNet):
        return {
            "type": "SRResNet",
            "layout": section.resolved_layout,
            "features": section.num_feat,
            "blocks": options.depth.dqa.depths[0] if options.depth.dqa else section.num_block,
            "block": section.block,
            "activation": section.activation,
        }
    if isinstance(section, SwinIR):
        return {
            "type": "SwinIR",
            "features": section.embed_dim,
            "blocks": options.depth.dqa.depths[0] if options.depth.dqa else len(section.depths),
            "layers_per_block": section.depths[0],
            "heads": section.num_heads[0],
            "upsampler": section.upsampler,
        }
    if isinstance(section, Mixer):
        return {
            "type": "Mixer",
            "features": section.num_feat,
            "blocks": section.num_block,
            "expansion": section.expansion,
            "block": section.block,
            "activation": section.activation,
        }
    raise OptionsError(f"{section.type} cannot be packed", where="network_g.type")


def _quantization(options: Options, network: nn.Module) -> dict[str, Plain]:
    quant = options.quant
    if quant is None:
        return {"method": None, "w_bits": 32, "a_bits": 32}
    found = [quantizer for _, quantizer in quantizers(network)]
    planes = max((quantizer.planes for quantizer in found if quantizer.role == "weight"), default=1)
    told: dict[str, Plain] = {"method": quant.method, "w_bits": quant.w_bits, "a_bits": quant.a_bits, "planes": planes}
    fixed = [q.space[q.fixed] for q in found if isinstance(q, CADyQ) and q.role == "act" and q.fixed is not None]
    if fixed:
        told["a_bits_fixed_mean"] = round(sum(fixed) / len(fixed), 3)
    return told

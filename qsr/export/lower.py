"""From a trained network to the operations of a packed file (qsr/runtime/packed/ops.py).

The architectures are walked explicitly, one function for each class of module, and nothing is traced: what is in the file
is what these functions say. What only training needs is folded: standardisation of weights, schedules, batch norm,
gains, shortcut scalars of skipped blocks, the colour range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from qsr.archs.depth import depths, find_stack, order_frozen, set_depth
from qsr.archs.mixer import Mixer
from qsr.archs.modelfile import ModelInfo
from qsr.archs.srresnet import EdsrLayout, MsrLayout
from qsr.archs.swinir import SwinIR
from qsr.errors import OptionsError
from qsr.export.builder import Array, Builder, Shared
from qsr.export.describe import described, provenance, receptive_field, sees_all
from qsr.export.mixer import mixer
from qsr.export.srresnet import edsr, msr
from qsr.export.swinir import swinir
from qsr.options import from_json
from qsr.runtime.packed.ops import PackedHeader, Program

NETWORKS: dict[type[nn.Module], Callable[[Builder, Any], int]] = {
    EdsrLayout: edsr,
    MsrLayout: msr,
    SwinIR: swinir,
    Mixer: mixer,
}
BODIES = ("body.", "layers.")
Precision = Literal["fp32", "fp16"]
Tail = Literal["fp32", "fp16", "int8", "w4a8", "w4a4"]


@dataclass(frozen=True)
class Lowered:
    """Header and tensors of a packed file.

    rounded: for each layer whose weight is stored as float16, that weight in the trained network's terms.
    """

    header: PackedHeader
    tensors: dict[str, Array]
    rounded: dict[str, Tensor]


def lower(
    network: nn.Module, info: ModelInfo, depth: int | None = None, floats: Precision = "fp32", tail: Tail = "fp32"
) -> Lowered:
    """Operations and tensors of a trained network, which is left as it is.

    network: as `load_model` gives it. info: what its model file says; none of its paths gets into the file.
    depth: this depth of a depth-dynamic network only; None: all that can run, the largest first.
    floats: how full-precision weights are stored. tail: fp16 stores those before and behind the residual blocks as float16;
    what else it says has been done to the network before (prepare.py) and is told to the reader.
    Raises OptionsError for a network that is not one of qsr's, a layer that no operation expresses, quantizers that are
    not initialised; FormatError for NaN and Inf.
    """
    if type(network) not in NETWORKS:
        raise OptionsError(
            f"{type(network).__name__} cannot be packed: a file holds networks that qsr itself defines",
            where="network_g.type",
        )
    options = from_json(info.options)
    shared = Shared(half=lambda name: "fp16" in (floats, floats if name.startswith(BODIES) else tail))
    programs = _programs(network, shared, depth)
    best = info.metrics.get("best")
    header = PackedHeader(
        scale=network.scale,
        programs=programs,
        receptive_field=receptive_field(network, programs),
        window=network.window,
        whole_picture=sees_all(programs),
        network=described(options, network) | {"floats": floats, "tail": tail},
        protocol=best.get("protocol") if isinstance(best, dict) else None,
        metrics=info.metrics,
        provenance=provenance(options, info),
    )
    return Lowered(header, shared.tensors, shared.rounded)


def _programs(network: nn.Module, shared: Shared, depth: int | None) -> tuple[Program, ...]:
    """One program for each depth."""
    stack = find_stack(network)
    if stack is None:
        set_depth(network, depth)  # refuses a depth
        return (_program(network, shared, None),)
    before = len(stack.active)
    chosen = (depth,) if depth is not None else depths(network) if order_frozen(network) else (len(stack),)
    programs = []
    try:
        for one in chosen:
            set_depth(network, one)
            programs.append(_program(network, shared, one))
    finally:
        set_depth(network, before)
    return tuple(programs)


def _program(network: nn.Module, shared: Shared, depth: int | None) -> Program:
    was_training = network.training
    network.eval()
    try:
        b = Builder(shared)
        last = NETWORKS[type(network)](b, network)
    finally:
        network.train(was_training)
    assert last == len(b.ops) - 1, "the last operation makes the picture"
    return b.program(depth)

"""Is the packed file the trained network? Layer by layer in integers, then picture by picture.

For each quantized layer, on one picture: the file's weight codes are those that the network's quantizer gives, and with
torch's own input of the layer the runtime's integer sums are those of torch's codes, one by one. Then the last word: the
bytes of pictures that the runtime upscales, against torch's fake-quantized network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qsr.archs.depth import set_depth
from qsr.errors import OptionsError
from qsr.export.alike import run_alike
from qsr.export.builder import Array
from qsr.export.lower import Lowered
from qsr.export.pictures import Picture, as_bytes, as_input, centre
from qsr.export.prepare import with_rounded
from qsr.export.sizes import layers, sizes
from qsr.export.verify_report import Agreement, LayerCheck, VerifyReport
from qsr.quant import QConv2d, QLinear
from qsr.quant.bam import BAM
from qsr.quant.base import SignCodes
from qsr.runtime.executor import bits_of
from qsr.runtime.interpreter_layers import Layer
from qsr.runtime.model import Model, load
from qsr.runtime.packed.codes import weight_codes
from qsr.runtime.packed.ops import Conv, Depthwise, FloatWeight, Linear

LAYER_SIDE = 32  # of what the layers see
PICTURE_SIDE, SMALL_SIDE = 256, 128  # of what is upscaled of each picture; the small one where it is slow


def verify(network: nn.Module, lowered: Lowered, path: Path, pictures: Iterable[Picture]) -> VerifyReport:
    """Compare a trained network with the packed file at `path`, which `lowered` was written to.

    network: what was lowered; runs in eval mode on the CPU and is left as it is. A file of several depths is compared at
    each; the layers at the first. pictures: LR, (h, w, 3) uint8, one at least (OptionsError); of each the centre is upscaled,
    of the first the central 32 x 32 goes through the layers.
    """
    attention = lowered.header.receptive_field is None
    crops = [centre(picture, SMALL_SIDE if attention else PICTURE_SIDE) for picture in pictures]
    if not crops:
        raise OptionsError("nothing to verify with: no picture was given")
    network = with_rounded(network, lowered.rounded)  # a copy
    model = load(path)
    depths = [program.depth for program in lowered.header.programs]
    with torch.inference_mode():
        set_depth(network, depths[0])
        checks = _check_layers(network, lowered, as_input(centre(crops[0], LAYER_SIDE)))
    found = [(depth, crop, model.upscale(crop, None if attention else "auto", depth)) for depth in depths for crop in crops]
    single = _agreement(_outputs(network, found), _made(found))
    double, own, alike = (None, None, None) if single.close else _beyond_rounding(network, lowered, found)
    measured = sizes(lowered.header, lowered.tensors, path.stat().st_size)
    return VerifyReport(
        checks,
        _executor(model),
        len(crops),
        single,
        double,
        own,
        alike,
        measured,
        _reach(lowered.header.receptive_field, crops),
    )


def _reach(field: int | None, pictures: list[Picture]) -> float:
    """Share of all pixels that lie within `field` of one; 0 where there is no bound."""
    return 0.0 if field is None else min(1.0, (2 * field + 1) ** 2 / sum(p.shape[0] * p.shape[1] for p in pictures))


Found = list[tuple[int | None, Picture, Picture]]  # depth, LR, what the executor made of it


def _beyond_rounding(network: nn.Module, lowered: Lowered, found: Found) -> tuple[Agreement, Agreement, Agreement | None]:
    """(double, own, alike) of VerifyReport."""
    alike = None
    if lowered.header.receptive_field is not None:
        programs = {program.depth: program for program in lowered.header.programs}
        pairs = []
        for depth, crop, _ in found:
            set_depth(network, depth)
            small = centre(crop, SMALL_SIDE)
            pairs.append(run_alike(network, lowered.header, lowered.tensors, programs[depth], small))
        expected, made = zip(*pairs, strict=True)
        alike = _agreement(expected, made)
    single = _outputs(network, found)
    _to_double(network)
    double = _outputs(network, found)
    own = _agreement(double, single)
    return _agreement(double, _made(found)), own, alike


def _outputs(network: nn.Module, found: Found) -> list[Picture]:
    """What the network makes of the pictures, in the dtype of its parameters."""
    dtype = next(network.parameters()).dtype
    outputs = []
    with torch.inference_mode():
        for depth, crop, _ in found:
            set_depth(network, depth)
            outputs.append(as_bytes(network(as_input(crop).to(dtype))))
    return outputs


def _made(found: Found) -> list[Picture]:
    return [made for _, _, made in found]


def _agreement(expected: Iterable[Picture], made: Iterable[Picture]) -> Agreement:
    counts = np.zeros(256, np.int64)
    for one, other in zip(expected, made, strict=True):
        counts += np.bincount(np.abs(one.astype(np.int16) - other).ravel(), minlength=len(counts))
    return Agreement(float(counts[0] / counts.sum()), int(counts.nonzero()[0].max()))


def _to_double(network: nn.Module) -> None:
    """In place. Weights keep the codes that they have in float32."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, QConv2d | QLinear) and module.weight_quant is not None:
                module.weight.copy_(module.weight_quant(module.weight))
                module.weight_quant = None
    network.double()


def _check_layers(network: nn.Module, lowered: Lowered, x: Tensor) -> tuple[LayerCheck, ...]:
    """Every layer of the file that has codes, fed with what reaches it in `network`."""
    listed = {layer.name: layer for program in lowered.header.programs for op in program.ops for layer in layers(op)}
    seen: dict[str, tuple[Array, Array]] = {}

    def watch(name: str, module: QConv2d | QLinear, x: Tensor) -> None:
        # here, in the middle of the pass: what a chain (BAM) reads of the layers before is still there
        latent = module.act_quant.latent(x) if isinstance(module.act_quant, BAM) else x
        seen[name] = _channels_last(module, latent), _torch_sums(module, x)

    modules = {name: network.get_submodule(name) for name in listed}
    coded = {name: m for name, m in modules.items() if isinstance(m, QConv2d | QLinear) and m.act_quant and m.weight_quant}
    hooks = [
        module.register_forward_hook(lambda module, inputs, _, name=name: watch(name, module, inputs[0]))
        for name, module in coded.items()
    ]
    try:
        network(x)
    finally:
        for hook in hooks:
            hook.remove()
    found = (_check_layer(layer, modules[name], lowered.tensors, seen.get(name)) for name, layer in listed.items())
    return tuple(check for check in found if check is not None)


def _check_layer(
    layer: Conv | Depthwise | Linear, module: nn.Module, tensors: Mapping[str, Array], seen: tuple[Array, Array] | None
) -> LayerCheck | None:
    """seen: what the layer reads in torch, channels last, and torch's integer sums (..., planes * c_out)."""
    if isinstance(layer, Depthwise) or (layer.act is None and isinstance(layer.weight, FloatWeight)):
        return None
    equal, sums, different = None, 0, 0
    turned = np.ones(1, np.int32)
    if not isinstance(layer.weight, FloatWeight):
        equal, turned = _compare_codes(_torch_codes(module), weight_codes(layer, tensors))
    if seen is not None:
        read, expected = seen
        _, found = Layer(layer, tensors)(read)
        if found is not None:
            sums, different = found.size, int((found != expected * turned).sum())
    return LayerCheck(layer.name, bits_of(layer.weight, layer.act), equal, sums, different)


def _compare_codes(torch_codes: Array, file_codes: Array) -> tuple[bool, Array]:
    """Whether they are equal, and per output channel (plane by plane) 1, or -1 where a negative factor turned them around."""
    planes = torch_codes.reshape(-1, torch_codes.shape[-1])
    stored = file_codes.reshape(planes.shape).astype(np.int64)
    turned = np.where((planes == stored).all(1), 1, -1).astype(np.int32)
    return bool((planes * turned[:, None] == stored).all()), turned


def _torch_codes(module: nn.Module) -> Array:
    """(planes * c_out, terms) int64: the codes by which the fake-quantized weight is made; DoReFa's are odd numbers."""
    codes = module.weight_quant.encode(module.weight)
    q = codes.q.to(torch.int64)
    if not isinstance(codes, SignCodes) and codes.offset is not None:
        q = 2 * q - (2**codes.bits - 1)
    planes = codes.planes if isinstance(codes, SignCodes) else 1
    array: Array = q.reshape(planes * len(module.weight), -1).numpy()
    return array


def _torch_sums(module: QConv2d | QLinear, x: Tensor) -> Array:
    """Integer sums of torch's codes, channels last, planes one behind the other; float64 is exact below 2^53."""
    assert module.act_quant is not None
    codes = module.act_quant.encode(x)
    q = (codes.q[0] if isinstance(codes, SignCodes) else codes.q).double()
    w = torch.from_numpy(_torch_codes(module)).double()
    if isinstance(module, QConv2d):
        sums = F.conv2d(q, w.view(len(w), *module.weight.shape[1:]), padding=module.padding)
    else:
        sums = q @ w.T
    return _channels_last(module, sums).astype(np.int32)


def _channels_last(module: QConv2d | QLinear, x: Tensor) -> Array:
    """(1, c, h, w) of a convolution -> (h, w, c); tokens (..., c) -> (n, c)."""
    array: Array = (x[0].permute(1, 2, 0) if isinstance(module, QConv2d) else x.reshape(-1, x.shape[-1])).numpy()
    return array


def _executor(model: Model) -> str:
    """Which instructions ran: the kernels' sets, in the order of the layers."""
    used = dict.fromkeys(kernel.isa if kernel.kernel != "numpy" else "numpy" for kernel in model.kernels())
    return f"{type(model).__name__} ({', '.join(used)})"

"""Is the packed file the trained network? Layer by layer in integers, then picture by picture.

For each quantized layer, on one picture: the file's codes are the codes that the network's quantizer gives; and the
reference convolution of those with the layer's real activation codes, times the scales plus the bias, is what torch's
fake-quantized layer computed. Then the last word: the bytes of the upscaled pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qsr.archs.depth import depths, find_stack, order_frozen, set_depth
from qsr.errors import OptionsError
from qsr.export.check import A_SCALE
from qsr.export.header import FULL_BITS, PackedLayer
from qsr.export.layers import packed_layers
from qsr.export.sizes import Sizes, sizes
from qsr.export.unpack import PackedModel, to_network
from qsr.runtime import conv2d_int

TOLERANCE = 1e-5
LAYER_SIDE, PICTURE_SIDE = 32, 256  # the reference convolution is plain loops; whole pictures are torch's business
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class LayerCheck:
    """One layer. codes_equal: None without weight codes. error: largest difference of outputs over the largest output;
    None where one side is full precision, so that there is no integer convolution."""

    name: str
    w_bits: int
    a_bits: int
    codes_equal: bool | None
    error: float | None

    @property
    def passed(self) -> bool:
        return self.codes_equal is not False and (self.error is None or self.error <= TOLERANCE)


@dataclass(frozen=True)
class VerifyReport:
    """equal_share: share of equal output bytes; max_difference: largest, in grey levels; both over all pictures and depths."""

    layers: tuple[LayerCheck, ...]
    pictures: int
    equal_share: float
    max_difference: int
    sizes: Sizes

    @property
    def passed(self) -> bool:
        """Every layer, and every output byte: the file is unpacked into the same arithmetic, so nothing may differ."""
        return all(layer.passed for layer in self.layers) and self.max_difference == 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "sizes": self.sizes.to_json(), "passed": self.passed}

    def table(self) -> str:
        """Plain text: one line per layer, the pictures, the bytes."""
        width = max((len(layer.name) for layer in self.layers), default=5)
        lines = [f"  {'layer':<{width}}   w   a  weight codes  output error"]
        for layer in self.layers:
            codes = "-" if layer.codes_equal is None else "equal" if layer.codes_equal else "DIFFERENT"
            error = "-" if layer.error is None else f"{layer.error:.1e}"
            flag = "" if layer.passed else "  FAILED"
            lines.append(f"  {layer.name:<{width}}  {layer.w_bits:>2}  {layer.a_bits:>2}  {codes:<12}  {error:>12}{flag}")
        lines.append(
            f"  {self.pictures} pictures: {100 * self.equal_share:.4f} % of output bytes equal, "
            f"largest difference {self.max_difference}"
        )
        return "\n".join((*lines, self.sizes.table()))


def verify(network: nn.Module, packed: PackedModel, pictures: Iterable[Picture]) -> VerifyReport:
    """Compare a trained network with the packed file read back.

    network: what was exported (for a file of one depth: at that depth); runs in eval mode on the CPU and is restored.
    A file of several depths is compared at each; the layers at the network's present one.
    pictures: LR, (h, w, 3) uint8, one at least (OptionsError); of each the central 256 x 256 is upscaled, of the first
    the central 32 x 32 goes through the layers. Raises FormatError where the file and its own header disagree.
    """
    crops = [_centre(picture, PICTURE_SIDE) for picture in pictures]
    if not crops:
        raise OptionsError("nothing to verify with: no picture was given")
    rebuilt = to_network(packed)
    chosen = depths(rebuilt) if order_frozen(rebuilt) else ()
    stack = find_stack(network)
    before = len(stack.active) if stack is not None else None
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            layers = _check_layers(network, packed, _as_input(_centre(crops[0], LAYER_SIDE)))
            differences = []
            for depth in chosen or (None,):
                for one in (network, rebuilt) if chosen else ():
                    set_depth(one, depth)
                differences += [_difference(network, rebuilt, _as_input(crop)) for crop in crops]
    finally:
        network.train(was_training)
        if chosen:
            set_depth(network, before)
    flat = np.concatenate([difference.ravel() for difference in differences])
    return VerifyReport(layers, len(crops), float((flat == 0).mean()), int(flat.max()), sizes(packed))


def _check_layers(network: nn.Module, packed: PackedModel, x: Tensor) -> tuple[LayerCheck, ...]:
    """Every layer of the file, fed with what reaches it in `network`; a layer that depth leaves out has no output."""
    modules = {entry.name: (module, sides) for entry, module, sides in packed_layers(network)}
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[module] = (inputs[0], output.clone())  # an in-place ReLU comes next

    hooks = [modules[layer.name][0].register_forward_hook(watch) for layer in packed.header.layers]
    try:
        network(x)
    finally:
        for hook in hooks:
            hook.remove()
    checks = []
    for layer in packed.header.layers:
        module, (weight, act) = modules[layer.name]
        equal, error = None, None
        if weight is not None:
            equal = bool(np.array_equal(weight.encode(module.weight).q.numpy(), packed.codes[layer.name]))
        if module in seen and FULL_BITS not in (layer.w_bits, layer.a_bits) and act is not None:
            x_in, out = seen[module]
            error = _relative(_integer_output(packed, layer, act.encode(x_in).q.numpy()), out.numpy())
        checks.append(LayerCheck(layer.name, layer.w_bits, layer.a_bits, equal, error))
    return tuple(checks)


def _integer_output(packed: PackedModel, layer: PackedLayer, a_codes: NDArray[Any]) -> NDArray[Any]:
    """bias + scales * (codes conv codes): integers until the last step; float64, shaped as the layer's output."""
    a_codes = a_codes.astype(np.int8 if layer.a_signed else np.uint8)
    w_codes, w_scale = packed.codes[layer.name], packed.w_scale(layer).reshape(-1).astype(np.float64)
    scale = w_scale * float(packed.tensors[layer.name + A_SCALE])
    bias = packed.tensors.get(f"{layer.name}.bias", np.zeros(1, np.float32)).astype(np.float64)
    if layer.stride is not None and layer.padding is not None:
        sums = conv2d_int(a_codes, w_codes, layer.padding, layer.stride)  # (N, O, h, w)
        return np.asarray(sums * scale.reshape(-1, 1, 1) + bias.reshape(-1, 1, 1))
    # a linear layer is a 1x1 convolution of as many 1x1 pictures as there are tokens
    tokens = a_codes.reshape(-1, layer.terms, 1, 1)
    sums = conv2d_int(tokens, w_codes[..., None, None]).reshape(*a_codes.shape[:-1], -1)
    return np.asarray(sums * scale + bias)


def _relative(found: NDArray[Any], expected: NDArray[Any]) -> float:
    largest = float(np.abs(expected).max())
    return float(np.abs(found - expected).max()) / largest if largest else float(np.abs(found).max())


def _difference(network: nn.Module, rebuilt: nn.Module, x: Tensor) -> NDArray[np.int16]:
    """Per output byte, in grey levels."""
    ours, theirs = (_as_bytes(one(x)) for one in (network, rebuilt))
    difference: NDArray[np.int16] = np.abs(ours - theirs)
    return difference


def _as_input(picture: Picture) -> Tensor:
    return torch.tensor(picture).permute(2, 0, 1)[None].float() / 255  # (1, 3, h, w)


def _as_bytes(output: Tensor) -> NDArray[np.int16]:
    rounded: NDArray[np.int16] = (output.clamp(0, 1) * 255).round().to(torch.int16).numpy()
    return rounded


def _centre(picture: Picture, side: int) -> Picture:
    top, left = (max(0, (size - side) // 2) for size in picture.shape[:2])
    return picture[top : top + side, left : left + side]

"""The network that a header describes, and whether the file's layers and tensors are that network's.

It is described on torch's meta device: shapes without memory, so a hostile header costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from torch.overrides import TorchFunctionMode

from qsr.archs import build, quantize
from qsr.archs.start import mismatch
from qsr.errors import FormatError, OptionsError
from qsr.export.check import A_SCALE, A_SHIFT, CODES, W_SCALE
from qsr.export.folding import replace_stack
from qsr.export.header import Header, PackedLayer
from qsr.export.layers import packed_layers, plain_tensors
from qsr.options.schema import Depth

Shapes = dict[str, tuple[int, ...]]


def described_network(header: Header) -> nn.Module:
    """The network of the header's options, quantized, cut to the blocks it kept; weights as torch initialises them.

    Raises FormatError where the options contradict each other.
    """
    options = header.network.options()
    try:
        network = build(options)
        quantize(network, options)
    except (OptionsError, ValueError, TypeError, ArithmeticError, RuntimeError) as fault:
        # numbers that contradict each other, or that no tensor can have; torch reports the latter in many ways
        raise FormatError(f"network: {str(fault).splitlines()[0]}") from fault
    if header.blocks is not None:
        replace_stack(network, header.blocks)
    return network


def check_described(header: Header, tensors: Mapping[str, NDArray[Any]]) -> int | None:
    """The receptive field of the network described; FormatError unless layers and tensors are exactly that network's."""
    with _shapes_only():
        network = described_network(header)
    _check_layers(header.layers, [entry for entry, _, _ in packed_layers(network)])
    expected = _shapes(network)
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    other = [name for name, shape in expected.items() if name in tensors and tensors[name].shape != shape]
    if missing or unexpected or other:
        raise FormatError(mismatch(missing, unexpected, other))
    return _receptive_field(header)


class _WithoutCompiler(TorchFunctionMode):  # type: ignore[misc]
    """Keeps arithmetic off the meta device, where it imports torch's compiler: seconds for nothing.

    Nothing is drawn from normal distributions, and the small table of positions (bounded by the header's checks), which
    starts from `arange`, is computed for real.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.normal_:
            return args[0]
        return func(*args, **(kwargs or {}), **({"device": "cpu"} if func is torch.arange else {}))


@contextmanager
def _shapes_only() -> Iterator[None]:
    with torch.device("meta"), _WithoutCompiler():
        yield


def _check_layers(found: Iterable[PackedLayer], expected: Iterable[PackedLayer]) -> None:
    listed = {entry.name: entry for entry in found}
    wanted = {entry.name: entry for entry in expected}
    for name in listed.keys() ^ wanted.keys():
        said = "listed, but not quantized by the options" if name in listed else "missing, but quantized by the options"
        raise FormatError(f"layers: {name} is {said}")
    if list(listed) != list(wanted):
        raise FormatError("layers: not in the network's order")
    for name, entry in wanted.items():
        # which inputs are signed was observed in training and follows from nothing else
        if listed[name].model_copy(update={"a_signed": entry.a_signed}) != entry:
            keys = [key for key, value in entry if key != "a_signed" and value != getattr(listed[name], key)]
            said = ", ".join(f"{key} {getattr(listed[name], key)} instead of {getattr(entry, key)}" for key in keys)
            raise FormatError(f"layers: {name}: {said}, says the network of the options")


def _shapes(network: nn.Module) -> Shapes:
    """Name and shape of every tensor that a packed file of this network holds."""
    shapes = {name: tuple(value.shape) for name, value in plain_tensors(network).items()}
    for entry, _, (weight, act) in packed_layers(network):
        if weight is not None:
            shapes[entry.name + CODES] = ((entry.count * entry.w_bits + 7) // 8,)
            shapes[entry.name + W_SCALE] = tuple(weight.step.shape)
        if act is not None:
            shapes[entry.name + A_SCALE] = ()
            if act.shift is not None:
                shapes[entry.name + A_SHIFT] = (act.shift.numel(),)
    return shapes


def _receptive_field(header: Header) -> int | None:
    """Of the depth in the file: a network with one depth is built as a shallower one."""
    options = header.network.options()
    if header.blocks is not None and options.depth.dqa is not None:
        shallow = options.depth.dqa.model_copy(update={"depths": (len(header.blocks),)})
        options = options.model_copy(update={"depth": Depth(dqa=shallow)})
    with _shapes_only():
        reach: int | None = getattr(build(options), "receptive_field", None)
    return reach

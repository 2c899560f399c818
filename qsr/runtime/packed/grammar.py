"""The grammar of a packed header's operations: which keys each one has, and the range of every single value.

>>> read_op(Part({"op": "shuffle", "inputs": [0], "factor": 2}, "ops[1]"))
Shuffle(inputs=(0,), factor=2)
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TypeVar

from qsr.errors import FormatError
from qsr.runtime.packed.ops import (
    Act,
    Add,
    Affine,
    Average,
    Bilinear,
    Conv,
    Depthwise,
    ElasticAct,
    FloatWeight,
    Image,
    Linear,
    Norm,
    Op,
    Operands,
    PReLU,
    Quantize,
    Repeat,
    Shuffle,
    SignAct,
    SignWeight,
    Swin,
    UniformAct,
    UniformWeight,
    Weight,
)
from qsr.runtime.packed.parts import Part

MAX_OPS = 2048
MAX_CHANNELS = 4096
MAX_KERNEL = 15
MAX_FACTOR = 8
MAX_WINDOW = 32
MAX_PLANES = 4

Result = TypeVar("Result")


def read_op(part: Part) -> Op:
    """One operation. Raises FormatError for a name, key or value that is not in the grammar."""
    return _chosen(part, "op", OPS)


def _chosen(part: Part, key: str, readers: dict[str, Callable[[Part], Result]]) -> Result:
    name = part.text(key)
    if name not in readers:
        near = difflib.get_close_matches(name, readers, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"this qsr knows {', '.join(readers)}"
        raise FormatError(f"{part.where(key)}: unknown {name!r}", hint=hint)
    found = readers[name](part)
    part.done()
    return found


def _one_input(part: Part) -> tuple[int]:
    return (part.numbers("inputs", 1, MAX_OPS)[0],)


# --- weights and inputs -----------------------------------------------------------------------------------------------
def _weight(part: Part) -> Weight:
    return _chosen(part, "kind", WEIGHTS)


def _float_weight(part: Part) -> FloatWeight:
    return FloatWeight(tensor=part.text("tensor"))


def _uniform_weight(part: Part) -> UniformWeight:
    return UniformWeight(
        tensor=part.text("tensor"),
        bits=part.integer("bits", 2, 8),
        scale=part.vector("scale"),
        odd=part.flag("odd"),
        narrow=part.flag("narrow"),
    )


def _sign_weight(part: Part) -> SignWeight:
    return SignWeight(tensor=part.text("tensor"), scale=part.vectors("scale", MAX_PLANES))


def _act(part: Part) -> Act:
    return _chosen(part, "kind", ACTS)


def _map(part: Part) -> UniformAct | ElasticAct:
    return _chosen(part, "kind", MAPS)


def _uniform_act(part: Part) -> UniformAct:
    return UniformAct(
        bits=part.integer("bits", 2, 8),
        signed=part.flag("signed"),
        step=part.number("step"),
        narrow=part.flag("narrow"),
        shift=part.vector("shift"),
        offset=part.number("offset"),
    )


def _sign_act(part: Part) -> SignAct:
    scale = part.vector("scale")
    return SignAct(shift=part.vector("shift"), scale=scale)


def _elastic_act(part: Part) -> ElasticAct:
    return ElasticAct(step=part.vector("step"))


WEIGHTS: dict[str, Callable[[Part], Weight]] = {
    "float": _float_weight,
    "uniform": _uniform_weight,
    "sign": _sign_weight,
}
ACTS: dict[str, Callable[[Part], Act]] = {"uniform": _uniform_act, "sign": _sign_act}
MAPS: dict[str, Callable[[Part], UniformAct | ElasticAct]] = {"uniform": _uniform_act, "elastic": _elastic_act}


# --- operations -------------------------------------------------------------------------------------------------------
def _image(part: Part) -> Image:
    return Image(channels=part.integer("channels", 3, 3))


def _affine(part: Part) -> Affine:
    return Affine(_one_input(part), scale=part.vector("scale"), offset=part.vector("offset"))


def _kernel(part: Part) -> tuple[int, int]:
    height, width = part.numbers("kernel", 2, MAX_KERNEL)
    if height % 2 == 0 or width % 2 == 0:
        raise part.fault("kernel", [height, width], "odd sizes")
    return height, width


def _conv(part: Part) -> Conv:
    kernel = _kernel(part)
    return Conv(
        _one_input(part),
        name=part.text("name"),
        c_in=part.integer("c_in", 1, MAX_CHANNELS),
        c_out=part.integer("c_out", 1, MAX_CHANNELS),
        kernel=kernel,
        weight=part.inner("weight", _weight),
        act=part.inner_or_none("act", _act),
        bias=part.vector("bias"),
    )


def _depthwise(part: Part) -> Depthwise:
    kernel = _kernel(part)
    return Depthwise(
        _one_input(part),
        name=part.text("name"),
        channels=part.integer("channels", 1, MAX_CHANNELS),
        kernel=kernel,
        weight=part.inner("weight", _only_float),
        bias=part.vector("bias"),
    )


def _only_float(part: Part) -> FloatWeight:
    return _chosen(part, "kind", {"float": _float_weight})


def _prelu(part: Part) -> PReLU:
    return PReLU(_one_input(part), slope=part.vector("slope"), before=part.vector("before"), after=part.vector("after"))


def _add(part: Part) -> Add:
    first, second = part.numbers("inputs", 2, MAX_OPS)
    return Add((first, second))


def _shuffle(part: Part) -> Shuffle:
    return Shuffle(_one_input(part), factor=part.integer("factor", 2, MAX_FACTOR))


def _repeat(part: Part) -> Repeat:
    return Repeat(_one_input(part), factor=part.integer("factor", 2, MAX_FACTOR))


def _average(part: Part) -> Average:
    return Average(_one_input(part), factor=part.integer("factor", 2, MAX_FACTOR))


def _bilinear(part: Part) -> Bilinear:
    return Bilinear(_one_input(part), factor=part.integer("factor", 2, MAX_FACTOR))


def _norm(part: Part) -> Norm:
    return Norm(_one_input(part), weight=part.text("weight"), bias=part.text("bias"), eps=part.number("eps"))


def _quantize(part: Part) -> Quantize:
    return Quantize(_one_input(part), act=part.inner("act", _act))


def _linear(part: Part) -> Linear:
    layer = Linear(
        name=part.text("name"),
        c_in=part.integer("c_in", 1, MAX_CHANNELS),
        c_out=part.integer("c_out", 1, MAX_CHANNELS),
        weight=part.inner("weight", _weight),
        act=part.inner_or_none("act", _act),
        bias=part.vector("bias"),
    )
    part.done()
    return layer


def _operands(part: Part) -> Operands:
    operands = Operands(q=part.inner("q", _act), k=part.inner("k", _act), v=part.inner("v", _act), map=part.inner("map", _map))
    part.done()
    return operands


def _swin(part: Part) -> Swin:
    return Swin(
        _one_input(part),
        name=part.text("name"),
        channels=part.integer("channels", 1, MAX_CHANNELS),
        window=part.integer("window", 1, MAX_WINDOW),
        shift=part.integer("shift", 0, MAX_WINDOW - 1),
        heads=part.integer("heads", 1, MAX_CHANNELS),
        table=part.text("table"),
        norm1=part.two_names("norm1"),
        norm2=part.two_names("norm2"),
        eps=part.number("eps"),
        qkv=part.inner("qkv", _linear),
        proj=part.inner("proj", _linear),
        fc1=part.inner("fc1", _linear),
        fc2=part.inner("fc2", _linear),
        proj_skip=part.flag("proj_skip"),
        gain1=part.number("gain1"),
        gain2=part.number("gain2"),
        operands=part.inner_or_none("operands", _operands),
    )


OPS: dict[str, Callable[[Part], Op]] = {
    "image": _image,
    "affine": _affine,
    "conv": _conv,
    "depthwise": _depthwise,
    "prelu": _prelu,
    "add": _add,
    "shuffle": _shuffle,
    "repeat": _repeat,
    "average": _average,
    "bilinear": _bilinear,
    "norm": _norm,
    "quantize": _quantize,
    "swin": _swin,
}

"""Shapes of a program's values, and what it asks of each tensor; both follow from the header alone.

A value is (channels, factor): a picture of h x w makes it (factor h, factor w, channels).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from qsr.errors import FormatError
from qsr.runtime.bits import packed_size
from qsr.runtime.packed.codes import code_count, weight_shape
from qsr.runtime.packed.grammar import MAX_FACTOR
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
    PackedHeader,
    PReLU,
    Program,
    Quantize,
    Repeat,
    Shuffle,
    SignAct,
    SignWeight,
    Swin,
    UniformAct,
    UniformWeight,
    Vector,
)
from qsr.runtime.packed.parts import TOO_LARGE

MAX_FLOATS_PER_PIXEL = 1 << 16  # of one value, for each pixel of the picture: 256 KiB
MAX_TERMS = 1 << 16  # products in one sum: 4096 channels of 3 x 3 are fewer
MAX_WEIGHTS = 1 << 26  # of one program, planes counted: what the weights take unpacked is bounded, whatever the file's size
SMALLEST = 2.0**-126  # float32's smallest normal number: what is divided by is no less, so that 1 / step is finite too
MODES = ("mean", "spatial")  # of SignAct.scale, not names of tensors

Rule = Literal["finite", "positive", "not negative", "codes"]


class Value(NamedTuple):
    """What an operation makes."""

    channels: int
    factor: int


@dataclass(frozen=True)
class Use:
    """One operation's demand of one tensor. dtypes: any of them. bits, count, narrow: of codes only.

    narrow: the code -2^(bits - 1) must not occur. Equal demands of different operations are equal: `at`, which says whose
    it is, does not count.
    """

    tensor: str
    at: str = field(compare=False)
    dtypes: tuple[str, ...]
    shape: tuple[int, ...]
    rule: Rule
    bits: int = 0
    count: int = 0
    narrow: bool = False


def infer(header: PackedHeader, program: Program, at: str = "program") -> list[Value]:
    """The value that each operation makes.

    Raises FormatError naming the operation: references that are not backward, an Image elsewhere than at the beginning,
    channels that do not fit together, values that nothing uses or that are too large, a result that is not the picture.
    """
    values: list[Value] = []
    used: set[int] = set()
    weights = 0
    for number, op in enumerate(program.ops):
        here = f"{at}.ops[{number}]"
        sources = () if isinstance(op, Image) else op.inputs
        if (number == 0) != isinstance(op, Image):
            raise FormatError(f"{here}.op: found {op.op!r}, the first operation and no other is 'image'")
        for source in sources:
            if not 0 <= source < number:
                raise FormatError(f"{here}.inputs: found {source}, expected an operation before number {number}")
        used.update(sources)
        value = _value(op, [values[source] for source in sources], header, here)
        if value.factor > MAX_FACTOR:
            raise FormatError(
                f"{here}: makes a map {value.factor} times the picture, expected at most {MAX_FACTOR}", hint=TOO_LARGE
            )
        floats = value.channels * value.factor**2
        if floats > MAX_FLOATS_PER_PIXEL:
            raise FormatError(
                f"{here}: makes {floats} numbers for each pixel of the picture, expected at most {MAX_FLOATS_PER_PIXEL}",
                hint=TOO_LARGE,
            )
        values.append(value)
        weights += _weights(op, here)
        if weights > MAX_WEIGHTS:
            raise FormatError(f"{at}: has more than {MAX_WEIGHTS} weights", hint=TOO_LARGE)
    if values[-1] != (header.channels, header.scale):
        raise FormatError(
            f"{at}: the last operation makes {values[-1].channels} channels at {values[-1].factor} times the picture, "
            f"expected {header.channels} at {header.scale}"
        )
    if unused := set(range(len(values) - 1)) - used:
        raise FormatError(f"{at}.ops[{min(unused)}]: nothing uses what it makes")
    return values


def _value(op: Op, inputs: list[Value], header: PackedHeader, at: str) -> Value:
    if isinstance(op, Image):
        return Value(op.channels, 1)
    channels, factor = inputs[0]
    if isinstance(op, Conv):
        _same(f"{at}.c_in", op.c_in, channels)
        return Value(op.c_out, factor)
    if isinstance(op, Depthwise):
        _same(f"{at}.channels", op.channels, channels)
    if isinstance(op, Repeat):
        return Value(channels * op.factor, factor)
    if isinstance(op, Average):
        if channels % op.factor:
            raise FormatError(f"{at}.factor: {channels} channels are no multiple of {op.factor}")
        return Value(channels // op.factor, factor)
    if isinstance(op, Add) and inputs[0] != inputs[1]:
        found = " and ".join(f"{value.channels} channels at {value.factor} times the picture" for value in inputs)
        raise FormatError(f"{at}.inputs: found {found}, expected two alike")
    if isinstance(op, Shuffle):
        if channels % op.factor**2:
            raise FormatError(f"{at}.factor: {channels} channels are no multiple of {op.factor}^2")
        return Value(channels // op.factor**2, factor * op.factor)
    if isinstance(op, Bilinear):
        return Value(channels, factor * op.factor)
    if isinstance(op, Swin):
        _check_swin(op, channels, header, at)
    return inputs[0]


def _weights(op: Op, at: str) -> int:
    """Numbers in the weights of an operation. Raises FormatError for sums that are too long."""
    layers = [op] if isinstance(op, Conv | Depthwise) else [op.qkv, op.proj, op.fc1, op.fc2] if isinstance(op, Swin) else []
    for layer in layers:
        terms = math.prod(weight_shape(layer)[1:])
        if terms > MAX_TERMS:
            raise FormatError(f"{at}: sums of {terms} products, expected at most {MAX_TERMS}", hint=TOO_LARGE)
    pairs = op.heads * op.window**4 if isinstance(op, Swin) else 0  # of tokens: what the table becomes when it is prepared
    return pairs + sum(code_count(layer) for layer in layers)


def _check_swin(op: Swin, channels: int, header: PackedHeader, at: str) -> None:
    _same(f"{at}.channels", op.channels, channels)
    if op.heads > channels or channels % op.heads:
        raise FormatError(f"{at}.heads: found {op.heads}, expected a divisor of {channels} channels")
    if op.shift >= op.window:
        raise FormatError(f"{at}.shift: found {op.shift}, expected less than the window of {op.window}")
    if op.heads * op.window**2 > MAX_FLOATS_PER_PIXEL:
        raise FormatError(f"{at}.heads: {op.heads} heads of windows of {op.window} take too much memory")
    if header.window % op.window:
        raise FormatError(f"{at}.window: found {op.window}, expected a divisor of the network's window of {header.window}")
    sizes = {"qkv": (channels, 3 * channels), "proj": (channels, channels)}
    sizes |= {"fc1": (channels, op.fc1.c_out), "fc2": (op.fc1.c_out, channels)}
    for name, (c_in, c_out) in sizes.items():
        layer: Linear = getattr(op, name)
        _same(f"{at}.{name}.c_in", layer.c_in, c_in)
        _same(f"{at}.{name}.c_out", layer.c_out, c_out)


def _same(at: str, found: int, expected: int) -> None:
    if found != expected:
        raise FormatError(f"{at}: found {found}, expected {expected}")


# --- tensors ----------------------------------------------------------------------------------------------------------
def uses(op: Op, value: Value, at: str) -> Iterator[Use]:
    """What `op` asks of the file's tensors; value: what it makes."""
    if isinstance(op, Affine):
        yield from _vector(op.scale, value.channels, f"{at}.scale")
        yield from _vector(op.offset, value.channels, f"{at}.offset")
    elif isinstance(op, Conv):
        yield from _layer(op, at)
    elif isinstance(op, Depthwise):
        yield Use(op.weight.tensor, f"{at}.weight.tensor", ("float32", "float16"), weight_shape(op), "finite")
        yield from _vector(op.bias, op.channels, f"{at}.bias")
    elif isinstance(op, PReLU):
        for key in ("slope", "before", "after"):
            yield from _vector(getattr(op, key), value.channels, f"{at}.{key}")
    elif isinstance(op, Norm):
        check_number(op.eps, f"{at}.eps", "positive")
        yield from _vector(op.weight, value.channels, f"{at}.weight")
        yield from _vector(op.bias, value.channels, f"{at}.bias")
    elif isinstance(op, Quantize):
        yield from _act(op.act, value.channels, f"{at}.act")
    elif isinstance(op, Swin):
        yield from _swin(op, at)


def _swin(op: Swin, at: str) -> Iterator[Use]:
    check_number(op.eps, f"{at}.eps", "positive")
    yield Use(op.table, f"{at}.table", ("float32",), ((2 * op.window - 1) ** 2, op.heads), "finite")
    for key in ("norm1", "norm2"):
        for place, name in enumerate(getattr(op, key)):
            yield from _vector(name, op.channels, f"{at}.{key}[{place}]")
    for key in ("qkv", "proj", "fc1", "fc2"):
        yield from _layer(getattr(op, key), f"{at}.{key}")
    if op.operands is not None:
        for key in ("q", "k", "v"):
            yield from _act(getattr(op.operands, key), op.channels, f"{at}.operands.{key}")
        if isinstance(op.operands.map, ElasticAct):
            yield from _vector(op.operands.map.step, op.heads, f"{at}.operands.map.step", "positive")
        else:
            yield from _act(op.operands.map, None, f"{at}.operands.map")


def _layer(op: Conv | Linear, at: str) -> Iterator[Use]:
    weight, here = op.weight, f"{at}.weight.tensor"
    count = code_count(op)
    if isinstance(weight, FloatWeight):
        yield Use(weight.tensor, here, ("float32", "float16"), weight_shape(op), "finite")
    elif isinstance(weight, UniformWeight):
        size = packed_size(count, weight.bits)
        yield Use(weight.tensor, here, ("uint8",), (size,), "codes", weight.bits, count, weight.narrow)
        yield from _vector(weight.scale, op.c_out, f"{at}.weight.scale", "positive")
    elif isinstance(weight, SignWeight):
        yield Use(weight.tensor, here, ("uint8",), (packed_size(count, 1),), "codes", 1, count)
        for plane, scale in enumerate(weight.scale):
            yield from _vector(scale, op.c_out, f"{at}.weight.scale[{plane}]", "not negative")
    yield from _vector(op.bias, op.c_out, f"{at}.bias")
    if op.act is not None:
        yield from _act(op.act, op.c_in, f"{at}.act")


def _act(act: Act, channels: int | None, at: str) -> Iterator[Use]:
    """Tensors of an input's quantizer; channels None: it has none of its own, so its shift is a number."""
    yield from _vector(act.shift, channels, f"{at}.shift")
    if isinstance(act, SignAct) and act.scale not in MODES:
        yield from _vector(act.scale, channels, f"{at}.scale", "positive")
    elif isinstance(act, UniformAct):
        check_number(act.step, f"{at}.step", "positive")


def _vector(value: Vector, channels: int | None, at: str, rule: Rule = "finite") -> Iterator[Use]:
    """A number is checked here and now, a tensor's name becomes a Use; channels None: only a number will do."""
    if not isinstance(value, str):
        check_number(value, at, rule)
    elif channels is None:
        raise FormatError(f"{at}: found the tensor {value!r}, expected a number")
    else:
        yield Use(value, at, ("float32",), (channels,), rule)


def check_number(value: float, at: str, rule: Rule) -> None:
    """Refuse a number that breaks its rule; that it is finite and fits into float32 is known from its text."""
    if rule == "positive" and value < SMALLEST:
        raise FormatError(f"{at}: found {value}, expected a positive number, {SMALLEST:.3g} or more")
    if rule == "not negative" and value < 0:
        raise FormatError(f"{at}: found {value}, expected 0 or more")

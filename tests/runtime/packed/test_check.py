"""Every rule of check.py with a file that breaks it, and nothing else."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsr.errors import FormatError
from qsr.runtime.packed import check as module
from qsr.runtime.packed.check import check, holds_lowest
from qsr.runtime.packed.codes import pack_codes
from qsr.runtime.packed.ops import (
    Bilinear,
    Conv,
    ElasticAct,
    FloatWeight,
    Image,
    PackedHeader,
    PReLU,
    Program,
    Quantize,
    SignAct,
    UniformAct,
)
from tests.runtime.packed.build import Builder, changed, conv_net, mixer_net, swin_net

Net = tuple[PackedHeader, dict[str, Any]]
CONV = 3  # number of the first quantized convolution of conv_net
DEPTHWISE, REPEAT, AVERAGE = 2, 4, 8  # of mixer_net with one block of units
SWIN = 3  # of the first Swin layer of swin_net


def net(method: str = "w2a2", **options: Any) -> Net:
    return conv_net(method, features=6, blocks=1, **options)


def op(number: int, method: str = "w2a2", make: Callable[..., Net] = net, **values: Any) -> Callable[[], Net]:
    """A network in which one operation has other values; callables get the operation's old value."""

    def build() -> Net:
        header, tensors = make(method)
        old = header.programs[0].ops[number]
        new = {key: value(getattr(old, key)) if callable(value) else value for key, value in values.items()}
        return changed(header, number, **new), tensors

    return build


def mixer(number: int, **values: Any) -> Callable[[], Net]:
    return op(number, "w1a1", lambda m: mixer_net(m, features=6, blocks=1, expansion=3, kernel=(5, 3)), **values)


def swin(number: int = SWIN, method: str = "w4a4", **values: Any) -> Callable[[], Net]:
    return op(number, method, lambda m: swin_net(m, features=4), **values)


def head(**values: Any) -> Callable[[], Net]:
    def build() -> Net:
        header, tensors = net()
        return replace(header, **values), tensors

    return build


def data(name: str, change: Callable[[np.ndarray], Any], method: str = "w2a2") -> Callable[[], Net]:
    """A network in which one tensor is another; None takes it out."""

    def build() -> Net:
        make = swin_net if name.startswith("layers") else mixer_net if ".dw" in name else conv_net
        header, tensors = make(method, features=4 if make is swin_net else 6, **({} if make is swin_net else {"blocks": 1}))
        made = change(tensors[name].copy())
        tensors.pop(name) if made is None else tensors.update({name: made})
        return header, tensors

    return build


def at(place: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array.flat[place] = value
        return array

    return change


def more(array: np.ndarray) -> np.ndarray:
    return np.concatenate((array, array[:1]))


def other_ops(change: Callable[[list[Any]], Any]) -> Callable[[], Net]:
    def build() -> Net:
        header, tensors = net()
        ops = list(header.programs[0].ops)
        change(ops)
        return replace(header, programs=(Program(tuple(ops)),)), tensors

    return build


def depths(*numbers: int | None) -> Callable[[], Net]:
    def build() -> Net:
        header, tensors = net()
        return replace(header, programs=tuple(replace(header.programs[0], depth=n) for n in numbers)), tensors

    return build


def accumulator(act_bits: int, bits: int, odd: bool, size: int, channels: int) -> Callable[[], Net]:
    """One large convolution; only its header matters."""

    def build() -> Net:
        b = Builder("w8a8")
        weight = b.weight("w", (channels, 3, 1, 1), "fp")
        x = b.add(Conv((0,), "first", 3, channels, (1, 1), weight))
        codes = np.zeros((3, channels, size, size), np.int8)
        b.tensors["big"] = pack_codes(codes + odd, bits, odd)
        big = replace(b.weight("unused", (1, 1), f"w{bits}a8" + "o" * odd), tensor="big")
        del b.tensors["unused.weight"]
        b.add(Conv((x,), "big", channels, 3, (size, size), big, UniformAct(act_bits, False, 1.0)))
        return b.header(1, 8), b.tensors

    return build


def tiny(*ops: Any) -> Callable[[], Net]:
    """A convolution of 3 channels to 4096, with more behind it."""

    def build() -> Net:
        b = Builder("fp")
        b.conv(0, "wide", 3, 4096, 1)
        for made in ops:
            b.add(made)
        return b.header(1, 9), b.tensors

    return build


CASES: dict[str, tuple[Callable[[], Net], str]] = {
    # references and shapes
    "forward reference": (op(CONV, inputs=(CONV,)), r"ops\[3\].inputs: found 3, expected an operation before number 3"),
    "an image later": (other_ops(lambda ops: ops.insert(2, Image())), r"ops\[2\].op: found 'image', the first operation"),
    "no image": (other_ops(lambda ops: ops.__setitem__(0, PReLU((0,)))), r"ops\[0\].op: found 'prelu'"),
    "c_in": (op(CONV, c_in=5), r"ops\[3\].c_in: found 5, expected 6"),
    "c_out": (op(CONV, c_out=5), r"ops\[5\].c_in: found 6, expected 5"),
    "sum of two sizes": (
        op(6, inputs=(2, 1)),
        r"ops\[6\].inputs: found 6 channels at 1 .* and 3 channels at 1 .*expected two alike",
    ),
    "shuffle": (op(10, factor=3), r"ops\[10\].factor: 24 channels are no multiple of 3\^2"),
    "last value": (head(scale=3), "the last operation makes 3 channels at 2 times the picture, expected 3 at 3"),
    "unused value": (tiny(PReLU((0,))), r"ops\[1\]: nothing uses what it makes"),
    "too wide a value": (
        tiny(Bilinear((1,), 8)),
        r"ops\[2\]: makes 262144 numbers for each pixel of the picture, expected at most",
    ),
    "too large a map": (
        tiny(Bilinear((0,), 8), Bilinear((2,), 2)),
        r"ops\[3\]: makes a map 16 times the picture, expected at most 8",
    ),
    # tensors
    "missing": (data("body.0.conv1.weight", lambda a: None), "weight.tensor: the tensor 'body.0.conv1.weight' is missing"),
    "left over": (lambda: (net()[0], {**net()[1], "x": np.zeros(3, np.float32)}), "tensor 'x': no operation uses it"),
    "too many bytes": (data("body.0.conv1.weight", more), r"'body.0.conv1.weight': found uint8 \[82\], expected uint8 \[81\]"),
    "too few bytes": (data("body.0.conv1.weight", lambda a: a[:-1]), r"found uint8 \[80\], expected uint8 \[81\]"),
    "type of codes": (data("body.0.conv1.weight", lambda a: a.astype(np.float32)), "found float32"),
    "two dimensions": (data("body.0.conv1.weight", lambda a: a[None]), r"found uint8 \[1, 81\]"),
    "type of bias": (data("body.0.conv1.bias", lambda a: a.astype(np.float16)), r"found float16 \[6\], expected float32 \[6\]"),
    "shape of bias": (data("body.0.conv1.bias", more), r"found float32 \[7\], expected float32 \[6\] for .*ops\[3\].bias"),
    "shape of shift": (data("body.0.conv1.shift", more), r"for .*ops\[3\].act.shift"),
    "shape of floats": (data("conv_first.weight", lambda a: a[0]), r"expected float32 or float16 \[6, 3, 3, 3\]"),
    "one name, two uses": (op(CONV, weight=lambda w: replace(w, tensor="body.0.conv1.bias")), "found float32"),
    "padding of signs": (data("body.0.conv1.weight", at(-1, 255), "w1a1"), "the 4 padding bits behind the last code"),
    "nan in floats": (data("conv_first.weight", at(0, np.nan)), "'conv_first.weight': holds NaN or Inf"),
    "inf in half floats": (data("conv_first.bias", at(0, np.inf)), "'conv_first.bias': holds NaN or Inf"),
    "nan in a scale": (data("body.0.conv1.scale0", at(0, np.nan), "w1a1"), "holds NaN or Inf"),
    "negative sign scale": (
        data("body.0.conv1.scale0", at(0, -1), "w1a1"),
        "found -1.0, expected 0 or more for .*weight.scale",
    ),
    "act scale of zero": (data("body.0.conv1.act", at(2, 0), "w1a1c"), "found 0.0, expected positive numbers for .*act.scale"),
    "step of the map": (data("layers.0.0.map", at(0, 0), "w1a1"), "expected positive numbers for .*operands.map.step"),
    "nan in the table": (data("layers.0.0.table", at(0, np.nan), "w4a4"), "holds NaN"),
    "shape of the table": (data("layers.0.0.table", more, "w4a4"), r"expected float32 \[49, 2\] for .*table"),
    "shape of norm1": (data("layers.0.0.norm1.bias", more, "w4a4"), r"for .*norm1\[1\]"),
    # numbers
    "weight scale": (op(CONV, weight=lambda w: replace(w, scale=0.0)), "weight.scale: found 0.0, expected a positive number"),
    "tiny step": (op(CONV, act=lambda a: replace(a, step=1e-45)), "act.step: found 1e-45, expected a positive number"),
    "negative step": (op(CONV, act=lambda a: replace(a, step=-1.0)), "act.step: found -1.0"),
    "sign scale": (op(CONV, "w1a1", weight=lambda w: replace(w, scale=(-1.0,))), r"weight.scale\[0\]: found -1.0, expected 0"),
    "odd and narrow": (
        op(CONV, "w4a4o", weight=lambda w: replace(w, narrow=True)),
        "weight.narrow: found true, expected false",
    ),
    "narrow": (op(CONV, weight=lambda w: replace(w, narrow=True)), r"holds the code -2, which is left out \(narrow\)"),
    "narrow at 3 bits": (op(CONV, "w3a3", weight=lambda w: replace(w, narrow=True)), "holds the code -4"),
    "eps": (swin(eps=0.0), r"ops\[3\].eps: found 0.0, expected a positive number"),
    "eps of norm": (op(2, "w4a4", lambda m: swin_net(m, features=4), eps=-1.0), r"ops\[2\].eps: found -1.0"),
    # integer sums
    "accumulator": (accumulator(8, 8, True, 15, 160), r"ops\[2\]: int32 accumulator could overflow: 36000 terms x 255 x 255"),
    "long sums": (accumulator(2, 2, False, 15, 300), r"ops\[2\]: sums of 67500 products, expected at most 65536"),
    # modes of signs
    "spatial operand": (
        swin(method="w1a1", operands=lambda o: replace(o, q=SignAct(0.0, "spatial"))),
        "operands.q.scale: found 'spatial', which only the input of a conv can have",
    ),
    "spatial linear": (swin(method="w1a1", fc1=lambda f: replace(f, act=SignAct(0.0, "spatial"))), "fc1.act.scale: found 'spa"),
    "spatial map": (
        other_ops(lambda ops: ops.__setitem__(4, Quantize((3,), SignAct(0.0, "spatial")))),
        r"ops\[4\].act.scale: found 'spatial'",
    ),
    "shift of a quantize": (
        other_ops(lambda ops: ops.__setitem__(4, Quantize((3,), UniformAct(4, False, 0.1, shift="nowhere")))),
        r"ops\[4\].act.shift: the tensor 'nowhere' is missing",
    ),
    # the map of attention has no channels
    "shift of a map": (
        swin(operands=lambda o: replace(o, map=UniformAct(4, False, 0.1, shift="layers.0.0.table"))),
        "operands.map.shift: found the tensor 'layers.0.0.table', expected a number",
    ),
    "elastic step": (swin(operands=lambda o: replace(o, map=ElasticAct(0.0))), "operands.map.step: found 0.0"),
    # depthwise convolutions, repeated and averaged channels
    "depthwise channels": (mixer(DEPTHWISE, channels=5), r"ops\[2\].channels: found 5, expected 6"),
    "depthwise kernel": (
        mixer(DEPTHWISE, kernel=(3, 5)),
        r"'body.0.dw.weight': found float32 \[6, 5, 3\], expected float32 or float16 \[6, 3, 5\] for .*ops\[2\].weight.tensor",
    ),
    "depthwise weight": (
        mixer(DEPTHWISE, weight=FloatWeight("conv_last.weight")),
        r"'conv_last.weight': found float32 \[12, 6, 3, 3\], expected float32 or float16 \[6, 5, 3\]",
    ),
    "no depthwise weight": (mixer(DEPTHWISE, weight=FloatWeight("w")), "weight.tensor: the tensor 'w' is missing"),
    "depthwise bias": (mixer(DEPTHWISE, bias="conv_last.bias"), r"expected float32 \[6\] for .*ops\[2\].bias"),
    "depthwise nan": (data("body.0.dw.weight", at(7, np.nan)), "'body.0.dw.weight': holds NaN or Inf"),
    "repeated too often": (mixer(REPEAT, factor=4), r"ops\[7\].inputs: found 24 channels at 1 .* and 18 channels"),
    "parts of channels": (mixer(AVERAGE, factor=4), r"ops\[8\].factor: 18 channels are no multiple of 4"),
    # Swin
    "channels": (swin(channels=5), r"ops\[3\].channels: found 5, expected 4"),
    "heads": (swin(heads=3), r"heads: found 3, expected a divisor of 4 channels"),
    "shift": (swin(shift=4), r"shift: found 4, expected less than the window of 4"),
    "much memory": (
        op(3, "w4a4", lambda m: swin_net(m, features=128, layers=1), heads=128, window=32),
        r"ops\[3\].heads: 128 heads of windows of 32 take too much memory",
    ),
    "window": (swin(window=3), r"window: found 3, expected a divisor of the network's window of 4"),
    "qkv": (swin(qkv=lambda q: replace(q, c_out=8)), r"qkv.c_out: found 8, expected 12"),
    "fc2": (swin(fc2=lambda q: replace(q, c_in=9)), r"fc2.c_in: found 9, expected 8"),
    "proj": (swin(proj=lambda q: replace(q, c_in=9)), r"proj.c_in: found 9, expected 4"),
    # the whole
    "two depths alike": (depths(3, 3), r"programs: found the depths \[3, 3\], expected a different number for each"),
    "no depth": (depths(3, None), r"programs: found the depths \[3, None\]"),
    "receptive field": (head(receptive_field=5), "receptive_field: found 5, expected 6 or more"),
}


@pytest.mark.parametrize(("build", "message"), CASES.values(), ids=CASES.keys())
def test_refused(build: Callable[[], Net], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        check(*build())


@pytest.mark.parametrize(
    "build", [depths(3, 2, 1), depths(None), depths(4), head(receptive_field=99), head(whole_picture=True)]
)
def test_accepted(build: Callable[[], Net]) -> None:
    check(*build())


@pytest.mark.parametrize(("odd", "size", "channels"), [(True, 5, 1321), (False, 5, 2621)])
def test_sums_are_refused_at_the_first_that_could_overflow(odd: bool, size: int, channels: int) -> None:
    """33,025 terms of 255 x 255 fit into int32, and all that a layer may have of signed codes, 255 x 128."""
    check(*accumulator(8, 8, odd, size, channels)())
    if odd:
        with pytest.raises(FormatError, match="33026 terms x 255 x 255"):
            check(*accumulator(8, 8, odd, 7, 674)())


def test_a_mean_needs_the_whole_picture() -> None:
    header, tensors = net("w1a1m")
    check(header, tensors)
    with pytest.raises(FormatError, match="whole_picture: found false, expected true"):
        check(replace(header, whole_picture=False), tensors)


def test_attention_has_no_receptive_field() -> None:
    header, tensors = swin_net(features=4)
    with pytest.raises(FormatError, match="receptive_field: found 20, expected null"):
        check(replace(header, receptive_field=20), tensors)


def test_narrow_codes_are_found_in_every_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece is a whole number of codes, whatever their width; the last one counts as well as the first."""
    monkeypatch.setattr(module, "PIECE", 64)
    for bits in range(2, 9):
        header, tensors = net(f"w{bits}a{bits}n")
        check(header, tensors)
        name = "body.0.conv1.weight"
        for place in (0, 100, 6 * 6 * 9 - 1):
            codes = np.zeros(6 * 6 * 9, np.int16)
            codes[place] = -(1 << (bits - 1))
            with pytest.raises(FormatError, match=f"{name}.*holds the code {codes[place]}"):
                check(header, {**tensors, name: pack_codes(codes, bits)})


@given(st.integers(2, 8), st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_the_lowest_code_is_found(bits: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    top = 1 << (bits - 1)
    codes = rng.integers(-top, top, count)
    assert holds_lowest(pack_codes(codes, bits), bits) == (codes == -top).any()
    codes[codes == -top] = rng.integers(1 - top, top)
    assert not holds_lowest(pack_codes(codes, bits), bits)
    codes[rng.integers(count)] = -top
    assert holds_lowest(pack_codes(codes, bits), bits)


def test_a_tensor_may_serve_several_programs() -> None:
    header, tensors = net()
    check(replace(header, programs=tuple(replace(header.programs[0], depth=depth) for depth in range(1, 5))), tensors)


def test_zero_is_a_scale_of_signs() -> None:
    header, tensors = net("w1a1")
    tensors["body.0.conv1.scale0"][:] = 0
    check(header, tensors)


def test_too_many_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    header, tensors = net()
    monkeypatch.setattr(module, "MAX_TENSORS", len(tensors) - 1)
    with pytest.raises(FormatError, match=f"found {len(tensors)} tensors, expected at most"):
        check(header, tensors)


@pytest.mark.parametrize("method", ["fp", "w8a8n", "w1a1x2"])
def test_checking_takes_little_memory(method: str) -> None:
    header, tensors = conv_net(method, features=256, blocks=2)
    tracemalloc.start()
    check(header, tensors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{sum(t.nbytes for t in tensors.values())} bytes of tensors, {peak} bytes more while checking")
    assert peak < 16 << 20


def test_weights_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    from qsr.runtime.packed import shapes

    header, tensors = net()
    monkeypatch.setattr(shapes, "MAX_WEIGHTS", 2000)
    with pytest.raises(FormatError, match=r"programs\[0\]: has more than 2000 weights"):
        check(header, tensors)


def test_any_weight_goes_with_any_input() -> None:
    for method in ("fp", "w1a1", "w4a4"):
        header, tensors = net(method)
        for act in (None, SignAct(), UniformAct(8, False, 0.1)):
            new = changed(header, CONV, act=act)
            check(new, {name: array for name, array in tensors.items() if not name.startswith("body.0.conv1.shift")})

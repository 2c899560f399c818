"""Small random packed networks for tests: the shapes that real ones have, with numbers that mean nothing.

>>> header, tensors = conv_net("w2a2", features=8, blocks=1)
>>> len(header.programs[0].ops)
14
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.runtime.packed.codes import pack_codes, pack_signs
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
    PackedHeader,
    PReLU,
    Program,
    Repeat,
    Shuffle,
    SignAct,
    SignWeight,
    Swin,
    UniformAct,
    UniformWeight,
    Weight,
)

METHODS = ("fp", "fp16", "w1a1", "w1a1x2", "w1a1x3", "w1a2", "w1a4", "w2a2", "w3a3", "w4a4", "w2a4", "w4a8", "w8a8")
"""`x2`, `x3`: planes of a one-bit weight. Any wNaM works, and a letter behind it:
o odd weight codes; n narrow codes; s signed inputs; f an offset of the inputs; m, p: one-bit inputs scaled by their mean,
by the mean around each place ("spatial"); c: one-bit inputs with a scale per channel; w: weights quantized, inputs not."""
MEAN = (0.4488, 0.4371, 0.4040)


@dataclass
class Builder:
    """Collects operations and tensors; every method returns the number of the operation that it adds."""

    method: str
    seed: int = 0
    ops: list[Op] = field(default_factory=lambda: [Image()])
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def add(self, op: Op) -> int:
        self.ops.append(op)
        return len(self.ops) - 1

    def tensor(self, name: str, array: Any, dtype: type = np.float32) -> str:
        self.tensors[name] = np.ascontiguousarray(array, dtype)
        return name

    def normal(self, name: str, size: int, spread: float, centre: float = 0.0) -> str:
        return self.tensor(name, self.rng.normal(centre, spread, size))

    def positive(self, name: str, size: int, centre: float) -> str:
        return self.tensor(name, self.rng.uniform(0.5, 1.5, size) * centre)

    # --- layers -----------------------------------------------------------------------------------------------------
    def weight(self, name: str, shape: tuple[int, ...], method: str) -> Weight:
        size = 1 / np.sqrt(np.prod(shape[1:]))  # keeps features at the size that they have
        if method in ("fp", "fp16"):
            kind = np.float32 if method == "fp" else np.float16
            return FloatWeight(self.tensor(f"{name}.weight", self.rng.normal(0, size, shape), kind))
        bits, _, planes, letters = parsed(method)
        if bits == 1:
            signs = self.rng.choice(np.array([-1, 1], np.int8), (planes, *shape))
            self.tensors[f"{name}.weight"] = pack_signs(signs)
            scales = (self.positive(f"{name}.scale{p}", shape[0], size / 2**p) for p in range(planes))
            return SignWeight(f"{name}.weight", tuple(scales))
        top = 1 << (bits - 1)
        if "o" in letters:
            codes = 2 * self.rng.integers(-top, top, shape) + 1
        else:
            codes = self.rng.integers(-top + ("n" in letters), top, shape)
        self.tensors[f"{name}.weight"] = pack_codes(codes, bits, odd="o" in letters)
        step = float(np.float32(1.7 * size / (2 * top if "o" in letters else top)))
        return UniformWeight(f"{name}.weight", bits, step, odd="o" in letters, narrow="n" in letters)

    def act(self, name: str, channels: int, method: str) -> Act | None:
        if method in ("fp", "fp16"):
            return None
        _, bits, _, letters = parsed(method)
        if "w" in letters:
            return None
        if bits == 1:
            shift = self.normal(f"{name}.shift", channels, 0.1)
            if "c" in letters:
                return SignAct(shift, self.positive(f"{name}.act", channels, 1.0))
            return SignAct(shift, "mean" if "m" in letters else "spatial" if "p" in letters else 1.0)
        signed = "s" in letters
        top = (1 << bits - 1) if signed else (1 << bits) - 1
        step = float(np.float32(2.0 / top))
        shift = self.normal(f"{name}.shift", channels, 0.1)
        return UniformAct(bits, signed, step, "n" in letters, shift, offset=-0.3 if "f" in letters else 0.0)

    def conv(self, source: int, name: str, c_in: int, c_out: int, size: int = 3, method: str | None = None) -> int:
        method = self.method if method is None else method
        weight = self.weight(name, (c_out, c_in, size, size), method)
        bias = self.normal(f"{name}.bias", c_out, 0.05)
        act = self.act(name, c_in, method)
        return self.add(Conv((source,), name, c_in, c_out, (size, size), weight, act, bias))

    def depthwise(self, source: int, name: str, channels: int, kernel: tuple[int, int] = (3, 3), half: bool = False) -> int:
        weight = FloatWeight(
            self.tensor(f"{name}.weight", self.rng.normal(0, 1 / 3, (channels, *kernel)), np.float16 if half else np.float32)
        )
        return self.add(Depthwise((source,), name, channels, kernel, weight, self.normal(f"{name}.bias", channels, 0.05)))

    def linear(self, name: str, c_in: int, c_out: int) -> Linear:
        method = self.method.replace("p", "m") if self.method not in ("fp", "fp16") else self.method
        weight = self.weight(name, (c_out, c_in), method)
        return Linear(name, c_in, c_out, weight, self.act(name, c_in, method), self.normal(f"{name}.bias", c_out, 0.05))

    def rprelu(self, source: int, name: str, channels: int) -> int:
        slope = self.normal(f"{name}.slope", channels, 0.1, 0.25)
        before = self.normal(f"{name}.before", channels, 0.1)
        return self.add(PReLU((source,), slope, before, self.normal(f"{name}.after", channels, 0.1)))

    def mixer_block(self, source: int, name: str, features: int, expansion: int, unit: bool, kernel: tuple[int, int]) -> int:
        """As qsr.archs.mixer makes them."""
        y = self.add(Add((source, self.depthwise(source, f"{name}.dw", features, kernel, self.method == "fp16"))))
        wide = expansion * features
        if not unit:
            inner = self.add(PReLU((self.conv(y, f"{name}.conv1", features, wide, 1),)))
            return self.add(Add((y, self.conv(inner, f"{name}.conv2", wide, features, 1))))
        many = self.add(Repeat((y,), expansion))
        h = self.rprelu(self.conv(y, f"{name}.conv1", features, wide, 1), f"{name}.act1", wide)
        h = self.add(Add((many, h)))
        stream = self.add(Average((h,), expansion))
        out = self.rprelu(self.conv(h, f"{name}.conv2", wide, features, 1), f"{name}.act2", features)
        return self.add(Add((stream, out)))

    # --- networks ---------------------------------------------------------------------------------------------------
    def block(self, source: int, name: str, features: int, unit: bool) -> int:
        """`residual` (x + conv2(relu(conv1(x)))), or `unit`: a skip around each convolution, RPReLU behind it."""
        if not unit:
            inner = self.add(PReLU((self.conv(source, f"{name}.conv1", features, features),)))
            return self.add(Add((source, self.conv(inner, f"{name}.conv2", features, features))))
        for number in (1, 2):
            out = self.conv(source, f"{name}.conv{number}", features, features)
            source = self.add(Add((self.rprelu(out, f"{name}.act{number}", features), source)))
        return source

    def upsampler(self, source: int, features: int, scale: int, tail: str) -> int:
        for number, factor in enumerate((2, 2) if scale == 4 else (scale,)):
            source = self.conv(source, f"up{number}", features, features * factor**2, method=tail)
            source = self.add(Shuffle((source,), factor))
        return source

    def header(self, scale: int, receptive_field: int | None, window: int = 1) -> PackedHeader:
        whole = any(isinstance(op, Conv) and isinstance(op.act, SignAct) and op.act.scale == "mean" for op in self.ops)
        return PackedHeader(
            scale=scale,
            programs=(Program(tuple(self.ops)),),
            receptive_field=receptive_field,
            window=window,
            whole_picture=whole,
            network={"type": "test", "method": self.method},
            protocol=None,
            metrics={},
            provenance={"seed": self.seed},
        )


def parsed(method: str) -> tuple[int, int, int, str]:
    """(weight bits, input bits, planes, letters) of `w1a1x2m`."""
    found = re.fullmatch(r"w(\d)a(\d)(?:x(\d))?([a-z]*)", method)
    assert found, method
    return int(found[1]), int(found[2]), int(found[3] or 1), found[4]


def conv_net(
    method: str = "w2a2",
    features: int = 64,
    blocks: int = 2,
    scale: int = 2,
    layout: str = "edsr",
    seed: int = 0,
    tail: str = "fp",
    unit: bool | None = None,
) -> tuple[PackedHeader, dict[str, NDArray[Any]]]:
    """A residual network as qsr.archs.srresnet makes them. unit None: one-bit methods have units. tail: of the upsampler."""
    b = Builder(method, seed)
    unit = method.startswith("w1a1") if unit is None else unit
    if layout == "edsr":
        mean = [float(np.float32(m)) for m in MEAN]
        x = b.add(Affine((0,), 8.0, b.tensor("mean.in", [-8 * m for m in mean])))
        head = b.conv(x, "conv_first", 3, features, method="fp")
        x = head
        for number in range(blocks):
            x = b.block(x, f"body.{number}", features, unit)
        x = b.add(Add((head, b.conv(x, "conv_after_body", features, features, method="fp"))))
        x = b.upsampler(x, features, scale, tail)
        x = b.conv(x, "conv_last", features, 3, method="fp")
        b.add(Affine((x,), 0.125, b.tensor("mean.out", mean)))
        return b.header(scale, 2 * blocks + 4), b.tensors
    x = b.add(PReLU((b.conv(0, "conv_first", 3, features, method="fp"),), 0.1))
    for number in range(blocks):
        x = b.block(x, f"body.{number}", features, unit)
    for number, factor in enumerate((2, 2) if scale == 4 else (scale,)):
        x = b.conv(x, f"upconv{number + 1}", features, features * factor**2, method=tail)
        x = b.add(PReLU((b.add(Shuffle((x,), factor)),), 0.1))
    x = b.add(PReLU((b.conv(x, "conv_hr", features, features, method=tail),), 0.1))
    x = b.conv(x, "conv_last", features, 3, method="fp")
    b.add(Add((x, b.add(Bilinear((0,), scale)))))
    return b.header(scale, 2 * blocks + 3), b.tensors


def mixer_net(
    method: str = "w1a1",
    features: int = 8,
    blocks: int = 2,
    expansion: int = 2,
    scale: int = 2,
    seed: int = 0,
    unit: bool | None = None,
    kernel: tuple[int, int] = (3, 3),
) -> tuple[PackedHeader, dict[str, NDArray[Any]]]:
    """A network as qsr.archs.mixer makes them. unit None: one-bit methods have units. kernel: of the depthwise convolutions."""
    b = Builder(method, seed)
    unit = method.startswith("w1a1") if unit is None else unit
    x = b.conv(0, "conv_first", 3, features, method="fp")
    for number in range(blocks):
        x = b.mixer_block(x, f"body.{number}", features, expansion, unit, kernel)
    x = b.add(Shuffle((b.conv(x, "conv_last", features, 3 * scale**2, method="fp"),), scale))
    b.add(Add((x, b.add(Bilinear((0,), scale)))))
    return b.header(scale, blocks * (max(kernel) // 2) + 2), b.tensors


def swin_net(
    method: str = "w4a4",
    features: int = 12,
    layers: int = 2,
    heads: int = 2,
    window: int = 4,
    scale: int = 2,
    seed: int = 0,
    operands: bool | None = None,
    proj_skip: bool = False,
) -> tuple[PackedHeader, dict[str, NDArray[Any]]]:
    """One RSTB of a lightweight SwinIR. operands None: quantized wherever the method quantizes."""
    b = Builder(method, seed)
    head = b.conv(0, "conv_first", 3, features, method="fp")
    x = b.add(norm(b, head, "patch_embed.norm", features))
    group = x
    for number in range(layers):
        x = b.add(swin_layer(b, x, f"layers.0.{number}", features, heads, window, number, operands, proj_skip))
    x = b.add(Add((group, b.conv(x, "layers.0.conv", features, features))))
    x = b.conv(b.add(norm(b, x, "norm", features)), "conv_after_body", features, features, method="fp")
    x = b.add(Add((head, x)))
    b.add(Shuffle((b.conv(x, "upsample", features, 3 * scale**2, method="fp"),), scale))
    return b.header(scale, None, window), b.tensors


def norm(b: Builder, source: int, name: str, features: int) -> Norm:
    return Norm((source,), *_norm_names(b, name, features), 1e-5)


def _norm_names(b: Builder, name: str, features: int) -> tuple[str, str]:
    return b.normal(f"{name}.weight", features, 0.1, 1.0), b.normal(f"{name}.bias", features, 0.1)


def swin_layer(
    b: Builder,
    source: int,
    name: str,
    features: int,
    heads: int,
    window: int,
    number: int,
    operands: bool | None,
    proj_skip: bool,
) -> Swin:
    quantized = b.method not in ("fp", "fp16") and "w" not in parsed(b.method)[3]
    return Swin(
        (source,),
        name,
        features,
        window,
        shift=window // 2 if number % 2 else 0,
        heads=heads,
        table=b.tensor(f"{name}.table", b.rng.normal(0, 0.5, ((2 * window - 1) ** 2, heads))),
        norm1=_norm_names(b, f"{name}.norm1", features),
        norm2=_norm_names(b, f"{name}.norm2", features),
        eps=1e-5,
        qkv=b.linear(f"{name}.qkv", features, 3 * features),
        proj=b.linear(f"{name}.proj", features, features),
        fc1=b.linear(f"{name}.fc1", features, 2 * features),
        fc2=b.linear(f"{name}.fc2", 2 * features, features),
        proj_skip=proj_skip,
        gain1=0.75,
        operands=_operands(b, name, features, heads) if quantized and operands is not False else None,
    )


def _operands(b: Builder, name: str, features: int, heads: int) -> Operands:
    bits = parsed(b.method)[1]
    if bits == 1:
        acts = [SignAct(b.normal(f"{name}.{letter}.shift", features, 0.1), "mean") for letter in "qkv"]
        return Operands(*acts, ElasticAct(b.positive(f"{name}.map", heads, 0.2)))
    top = 1 << bits - 1
    acts = [UniformAct(bits, True, float(np.float32(1.0 / top))) for _ in "qkv"]
    return Operands(*acts, UniformAct(bits, False, float(np.float32(0.5 / (2 * top - 1)))))


def changed(header: PackedHeader, number: int, **values: Any) -> PackedHeader:
    """The header with values of operation `number` of its first program replaced."""
    ops = list(header.programs[0].ops)
    ops[number] = replace(ops[number], **values)
    return replace(header, programs=(replace(header.programs[0], ops=tuple(ops)), *header.programs[1:]))

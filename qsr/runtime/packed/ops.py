"""What a packed network is made of: a flat list of operations on feature maps, each with its exact meaning.

A program is a list of operations. Operation number i makes value number i; `inputs` are numbers of earlier operations.
Number 0 is always `Image`, the last one is the picture that the program makes (c channels, float, 1.0 is white). A value
is a feature map of float32, (h, w, c), the channels last; torch's (n, c, h, w) with n = 1 and the axes moved.

    Image       the picture, uint8 / 255                                              (h, w, 3)
    Affine      x * scale + offset                                                    per channel, or one number
    Conv        bias + quantized(x) (*) weight; stride 1, odd kernel, zero padding    same h, w
    Depthwise   bias + x (*) weight, each channel on its own; as Conv, in full precision     same h, w
    PReLU       t = x + before;  (t if t >= 0 else slope * t) + after                 relu: slope 0
    Add         x + y                                                                 same shape
    Shuffle     PixelShuffle: channel (c * f + dy) * f + dx of (y, x) to channel c of (y * f + dy, x * f + dx)
    Repeat      the channels f times side by side: channel k c + i is channel i           (h, w, f c)
    Average     (part 0 + part 1 + ...) / f of f equal parts of the channels              (h, w, c / f)
    Bilinear    enlarged f times, half-pixel centres, border repeated (torch: bilinear, align_corners=False)
    Norm        (x - mean) / sqrt(var + eps) * weight + bias over the channels of each pixel, var over n
    Quantize    quantized(x) as a feature map
    Swin        one Swin transformer layer, see the class

Vectors (`Vector`) are a number for all channels, or the name of a float32 tensor with one number per channel.

No torch here, no numpy, no checks: those are check.py's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Vector = float | str


# --- weights: w_hat, of shape (O, C, kh, kw) for Conv and (O, C) for the layers of Swin -------------------------------------
@dataclass(frozen=True)
class FloatWeight:
    """tensor: float32 or float16, the shape of w_hat."""

    kind: ClassVar[str] = "float"
    tensor: str


@dataclass(frozen=True)
class UniformWeight:
    """w_hat = q * scale.

    tensor: uint8 stream of codes of `bits` (2..8) bits in the order of w_hat, in the canonical layout of bits.py.
    odd False: q is the signed code, -2^(b-1)..2^(b-1)-1 (narrow: the lowest does not occur).
    odd True: the code u is unsigned and q = 2 u - (2^b - 1), an odd number (DoReFa).
    scale: > 0, a number or one per output channel.
    """

    kind: ClassVar[str] = "uniform"
    tensor: str
    bits: int
    scale: Vector
    odd: bool = False
    narrow: bool = False


@dataclass(frozen=True)
class SignWeight:
    """w_hat = sum over planes p of scale[p] * s[p], s = -1 where the bit is 1, else +1.

    tensor: uint8 stream of planes * O * C * kh * kw bits. scale: per plane, a number or one per output channel; >= 0.
    """

    kind: ClassVar[str] = "sign"
    tensor: str
    scale: tuple[Vector, ...]

    @property
    def planes(self) -> int:
        return len(self.scale)


Weight = FloatWeight | UniformWeight | SignWeight


# --- inputs -----------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class UniformAct:
    """q = clip(rint((x + shift) / step), lowest, highest),  x_hat = q * step + offset.

    bits 2..8; signed: -2^(b-1)..2^(b-1)-1, narrow: -2^(b-1)+1..; unsigned: 0..2^b-1 (narrow means nothing there).
    rint rounds halves to even. A padded position is x_hat = 0, whatever the offset: it contributes nothing.
    step > 0. shift: a number or one per input channel. offset: a number.
    """

    kind: ClassVar[str] = "uniform"
    bits: int
    signed: bool
    step: float
    narrow: bool = False
    shift: Vector = 0.0
    offset: float = 0.0


@dataclass(frozen=True)
class SignAct:
    """x_hat = scale * sign(x + shift), sign(0) = +1; a padded position is 0.

    scale: a number or one per input channel (> 0), or
      mean     mean|x| over the whole feature map; in a layer of Swin over the channels of each token, for an operand of
               attention over one window and head
      spatial  Conv only: the output, before the bias, is multiplied by the box average (kernel's size, zero padding counted)
               of the map mean over channels of |x|
    """

    kind: ClassVar[str] = "sign"
    shift: Vector = 0.0
    scale: Vector | Literal["mean", "spatial"] = 1.0


@dataclass(frozen=True)
class ElasticAct:
    """x_hat = step * 1[x >= step / 2]; attention maps only. step: > 0, a number or one per head."""

    kind: ClassVar[str] = "elastic"
    step: Vector


Act = UniformAct | SignAct


# --- operations -------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Image:
    op: ClassVar[str] = "image"
    channels: int = 3


@dataclass(frozen=True)
class Affine:
    op: ClassVar[str] = "affine"
    inputs: tuple[int]
    scale: Vector = 1.0
    offset: Vector = 0.0


@dataclass(frozen=True)
class Conv:
    """name: the layer's name in the trained network, for people. act None: the input is used as it is.

    c_in, c_out: channels. kernel: (kh, kw), odd. bias: a number or one per output channel.
    """

    op: ClassVar[str] = "conv"
    inputs: tuple[int]
    name: str
    c_in: int
    c_out: int
    kernel: tuple[int, int]
    weight: Weight
    act: Act | None = None
    bias: Vector = 0.0


@dataclass(frozen=True)
class Depthwise:
    """name, kernel, bias as in Conv; `act` is None. weight.tensor: (channels, kh, kw)."""

    op: ClassVar[str] = "depthwise"
    act: ClassVar[None] = None
    inputs: tuple[int]
    name: str
    channels: int
    kernel: tuple[int, int]
    weight: FloatWeight
    bias: Vector = 0.0


@dataclass(frozen=True)
class PReLU:
    op: ClassVar[str] = "prelu"
    inputs: tuple[int]
    slope: Vector = 0.0
    before: Vector = 0.0
    after: Vector = 0.0


@dataclass(frozen=True)
class Add:
    op: ClassVar[str] = "add"
    inputs: tuple[int, int]


@dataclass(frozen=True)
class Shuffle:
    op: ClassVar[str] = "shuffle"
    inputs: tuple[int]
    factor: int


@dataclass(frozen=True)
class Repeat:
    op: ClassVar[str] = "repeat"
    inputs: tuple[int]
    factor: int


@dataclass(frozen=True)
class Average:
    op: ClassVar[str] = "average"
    inputs: tuple[int]
    factor: int


@dataclass(frozen=True)
class Bilinear:
    op: ClassVar[str] = "bilinear"
    inputs: tuple[int]
    factor: int


@dataclass(frozen=True)
class Norm:
    """weight, bias: names of float32 tensors (c,)."""

    op: ClassVar[str] = "norm"
    inputs: tuple[int]
    weight: str
    bias: str
    eps: float


@dataclass(frozen=True)
class Quantize:
    op: ClassVar[str] = "quantize"
    inputs: tuple[int]
    act: Act


@dataclass(frozen=True)
class Linear:
    """A layer inside Swin: bias + quantized(x) @ w_hat^T over the channels of each token; fields as in Conv."""

    name: str
    c_in: int
    c_out: int
    weight: Weight
    act: Act | None = None
    bias: Vector = 0.0


@dataclass(frozen=True)
class Operands:
    """How the operands of attention's two products are quantized. map: of the softmax's result."""

    q: Act
    k: Act
    v: Act
    map: UniformAct | ElasticAct


@dataclass(frozen=True)
class Swin:
    """One Swin transformer layer; x: (h, w, c) with h, w multiples of `window`.

        t = norm1(x), rolled by (-shift, -shift), cut into windows of window^2 tokens (row-major)
        q, k, v = qkv(t), each (heads, n, c / heads); q *= (c / heads)^-1/2 before it is quantized
        m = softmax(q k^T + table[positions] + mask);   a = m v, heads joined
        a = proj(a), or a + proj(a) with proj_skip
        y = x + gain1 * (a, put back and rolled back);   z = y + gain2 * fc2(gelu(fc1(norm2(y))))

    table: float32 ((2 window - 1)^2, heads); position of the pair (i, j) of tokens: (yi - yj + window - 1) * (2 window - 1)
    + xi - xj + window - 1. mask (shift > 0 only): -100 between tokens whose places before the roll back lie in different
    regions; along one axis of the rolled map the regions begin at size - window and size - shift. gelu: the exact one (erf).
    norm1, norm2: (weight, bias) names. operands None: the products are in full precision.
    """

    op: ClassVar[str] = "swin"
    inputs: tuple[int]
    name: str
    channels: int
    window: int
    shift: int
    heads: int
    table: str
    norm1: tuple[str, str]
    norm2: tuple[str, str]
    eps: float
    qkv: Linear
    proj: Linear
    fc1: Linear
    fc2: Linear
    proj_skip: bool = False
    gain1: float = 1.0
    gain2: float = 1.0
    operands: Operands | None = None


Op = Image | Affine | Conv | Depthwise | PReLU | Add | Shuffle | Repeat | Average | Bilinear | Norm | Quantize | Swin


@dataclass(frozen=True)
class Program:
    """depth: number of active blocks, of a depth-dynamic network; None otherwise."""

    ops: tuple[Op, ...]
    depth: int | None = None


@dataclass(frozen=True)
class PackedHeader:
    """The whole of a packed file but its tensors.

    scale: of the picture, 1..8. channels: of the picture, 3. programs: the first runs unless another depth is asked for.
    window: the input is continued by reflection to multiples of this (1: as it is), the output is cropped.
    receptive_field: LR pixels on each side that an output pixel depends on; None: no bound (attention).
    whole_picture: an operation looks at all of the picture at once, so that tiles give another result.
    network: descriptive, plain values only (type, layout, blocks, features, method, w_bits, a_bits, ...).
    protocol, metrics, provenance: free JSON objects; nothing in them is executed, opened or followed.
    """

    scale: int
    programs: tuple[Program, ...]
    receptive_field: int | None
    window: int
    whole_picture: bool
    network: dict[str, str | int | float | bool | None]
    protocol: str | None
    metrics: dict[str, object]
    provenance: dict[str, object]
    channels: int = 3

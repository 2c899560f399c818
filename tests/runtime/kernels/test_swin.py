"""Fused Swin layers of every instruction set against torch's layer and a plain float64 reading (swin_plain.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from qsr.archs.swin_layers import SwinLayer
from qsr.archs.windows import shift_mask
from tests.runtime.kernels import swin_plain
from tests.runtime.kernels.swin_plain import Spec

extension = pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)

ISAS = [
    pytest.param(isa, marks=pytest.mark.skipif(not there, reason=f"this machine has no {isa}"))
    for isa, there in extension.isa_supported().items()
]
TOLERANCE = 1e-5  # of the largest value

# channels, heads, window, shift, height, width, hidden
SHAPES = [
    (60, 6, 8, 0, 8, 8, 120),  # one window
    (60, 6, 8, 4, 8, 8, 120),  # one window, all of it border
    (60, 6, 8, 4, 24, 16, 120),
    (180, 6, 8, 4, 8, 16, 360),
    (7, 1, 4, 2, 4, 8, 9),
    (30, 5, 7, 3, 14, 7, 31),  # 49 tokens
    (24, 3, 3, 1, 9, 9, 48),
    (16, 2, 16, 8, 32, 16, 32),
    (20, 5, 10, 5, 10, 10, 20),  # 100 tokens: vectors left over
    (4, 2, 32, 16, 32, 64, 6),  # the largest window
    (5, 5, 1, 0, 3, 4, 10),  # one token, heads of one channel
    (1, 1, 2, 1, 2, 2, 1),
]


def normal(rng: np.random.Generator, *shape: int, size: float = 1.0) -> NDArray[np.float32]:
    return (size * rng.standard_normal(shape)).astype(np.float32)


def linear(rng: np.random.Generator, c_in: int, c_out: int, kind: str) -> Spec:
    """kind: f32; wNaN: N-bit weights, unsigned inputs, bits 2..8; odd8: DoReFa's weights; bN: N planes of signs."""
    layer: Spec = {"bias": normal(rng, c_out, size=0.3)}
    positive = np.abs(normal(rng, 3, c_out, size=0.3)) / c_in**0.5 + np.float32(0.01)
    if kind == "f32":
        return layer | {"weight": normal(rng, c_out, c_in, size=c_in**-0.5)}
    if kind.startswith("b"):
        planes = int(kind[1])
        signs = rng.choice(np.array([-1, 1], dtype=np.int8), (planes, c_out, c_in))
        shift = normal(rng, c_in, size=0.2)
        return layer | {
            "weight": signs,
            "scale": positive[:planes].copy(),
            "act": {"kind": "sign", "mean": True, "shift": shift},
        }
    bits = int(kind[-1])
    highest = 2**bits - 1
    act: Spec = {
        "kind": "uniform",
        "lowest": 0,
        "highest": highest,
        "step": 4.0 / highest,
        "shift": normal(rng, c_in, size=0.2),
    }
    codes = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (c_out, c_in)).astype(np.int16)
    if kind.startswith("odd"):
        codes = (2 * codes + 1).astype(np.int16)
    return layer | {"weight": codes, "scale": positive[:1] / 2 ** (bits - 1), "act": act | {"offset": 0.13}}


def spec_of(rng: np.random.Generator, shape: tuple[int, ...], kind: str = "f32", **more: Any) -> Spec:
    channels, heads, window, shift, _, _, hidden = shape
    ones, zeros = normal(rng, 2, channels, size=0.2) + np.float32(1), normal(rng, 2, channels, size=0.2)
    table = normal(rng, (2 * window - 1) ** 2, heads)
    layers = {
        name: linear(rng, c_in, c_out, kind)
        for name, c_in, c_out in (
            ("qkv", channels, 3 * channels),
            ("proj", channels, channels),
            ("fc1", channels, hidden),
            ("fc2", hidden, channels),
        )
    }
    norms = {"norm1_weight": ones[0], "norm2_weight": ones[1], "norm1_bias": zeros[0], "norm2_bias": zeros[1]}
    return {"channels": channels, "heads": heads, "window": window, "shift": shift, "table": table, **norms, **layers, **more}


def fused(spec: Spec, isa: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
    layer = extension.SwinLayer(spec, isa)
    assert layer.kernel.endswith(isa)
    result = x.copy()
    layer.run(result)
    return result


def assert_close(got: NDArray[np.float32], want: NDArray[np.float64], quantized: bool) -> None:
    """Quantized: a number beside a threshold may fall to its other side, which its window feels; that is rare."""
    error = np.abs(got - want) / np.abs(want).max()
    print("largest error", error.max(), "of which quantile 0.9", np.quantile(error, 0.9))
    if quantized:
        assert np.quantile(error, 0.9) <= TOLERANCE
        assert error.max() <= 0.1
    else:
        assert error.max() <= TOLERANCE


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_full_precision_is_that_of_torch(isa: str, shape: tuple[int, ...]) -> None:
    channels, heads, window, shift, height, width, hidden = shape
    torch.manual_seed(channels)
    layer = SwinLayer(channels, heads, window, shift, hidden / channels)
    assert layer.mlp.fc1.out_features == hidden
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3 if parameter.dim() > 1 else 0.5)
    x = torch.randn(1, height, width, channels)
    with torch.no_grad():
        want = layer(x, shift_mask(height, width, window, max(shift, 1), x))[0]

    def numbers(tensor: torch.Tensor) -> NDArray[np.float32]:
        return tensor.detach().numpy().copy()

    modules = {"qkv": layer.attn.qkv, "proj": layer.attn.proj, "fc1": layer.mlp.fc1, "fc2": layer.mlp.fc2}
    norms = {"norm1": layer.norm1, "norm2": layer.norm2}
    spec: Spec = {"channels": channels, "heads": heads, "window": window, "shift": shift}
    spec |= {name: {"weight": numbers(module.weight), "bias": numbers(module.bias)} for name, module in modules.items()}
    spec |= {f"{name}_{key}": numbers(getattr(norm, key)) for name, norm in norms.items() for key in ("weight", "bias")}
    spec["table"] = numbers(layer.attn.relative_position_bias_table)
    got = fused(spec, isa, x[0].numpy())
    assert_close(got, want.numpy().astype(np.float64), quantized=False)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", ["f32", "w2a2", "w3a3", "w4a4", "w6a6", "w8a8", "odd2", "odd8", "b1", "b2", "b3"])
@pytest.mark.parametrize("shape", [(60, 6, 8, 4, 24, 24, 120), (7, 1, 4, 2, 24, 8, 9), (70, 7, 4, 0, 16, 16, 35)], ids=str)
def test_quantized_layers(isa: str, kind: str, shape: tuple[int, ...]) -> None:
    seed = shape[0]
    print("seed", seed)
    rng = np.random.default_rng(seed)
    spec = spec_of(rng, shape, kind, gain1=0.7, gain2=1.3, proj_skip=kind.startswith("b"))
    x = normal(rng, shape[4], shape[5], shape[0])
    assert_close(fused(spec, isa, x), swin_plain.run(spec, x), quantized=kind != "f32")


SIGNED: Spec = {"kind": "uniform", "lowest": -7, "highest": 7, "step": 0.25}
MIXED: dict[str, tuple[Spec, str]] = {
    "signed inputs": (SIGNED, "w4a4"),
    "8-bit signed inputs": ({"kind": "uniform", "lowest": -128, "highest": 127, "step": 0.02}, "w8a8"),
    "signs of 4-bit inputs": (SIGNED, "b1"),
    "4-bit weights of signs": ({"kind": "sign", "scale": 0.8}, "w4a4"),
    "4-bit weights of signs, mean": ({"kind": "sign", "mean": True}, "w4a4"),
    "signs, one scale": ({"kind": "sign", "scale": 0.6}, "b2"),
    "signs, a scale per channel": ({"kind": "sign", "scales": True}, "b1"),
    "float weights of 4-bit inputs": (SIGNED, "f32"),
    "float weights of signs": ({"kind": "sign", "mean": True}, "f32"),
    "binary weights of floats": ({}, "b2"),
    "4-bit weights of floats": ({}, "w4a4"),
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", MIXED)
def test_mixed_pairs(isa: str, name: str) -> None:
    act, kind = MIXED[name]
    rng = np.random.default_rng(3)
    shape = (60, 6, 8, 4, 16, 24, 120)
    spec = spec_of(rng, shape, kind)
    for key in ("qkv", "proj", "fc1", "fc2"):
        scales = {"scales": np.abs(normal(rng, spec[key]["weight"].shape[-1])) + np.float32(0.1)} if act.get("scales") else {}
        spec[key]["act"] = act | scales
    x = normal(rng, 16, 24, 60)
    assert_close(fused(spec, isa, x), swin_plain.run(spec, x), quantized=bool(act))


def operands_of(rng: np.random.Generator, kind: str, channels: int, heads: int) -> Spec:
    if kind == "uniform":
        act: Spec = {"kind": "uniform", "lowest": -8, "highest": 7, "step": 0.3, "shift": normal(rng, channels, size=0.1)}
        return {
            "q": act,
            "k": act,
            "v": act | {"offset": 0.05},
            "map": {"kind": "uniform", "lowest": 0, "highest": 15, "step": 1 / 15},
        }
    signs: Spec = {"kind": "sign", "mean": True, "shift": normal(rng, channels, size=0.1)}
    steps = np.abs(normal(rng, heads, size=0.05)) + np.float32(0.02)
    scaled = {"kind": "sign", "scales": np.abs(normal(rng, channels)) + np.float32(0.1)}
    return {"q": signs, "k": signs, "v": scaled, "map": {"kind": "elastic", "scales": steps}}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", ["uniform", "sign"])
@pytest.mark.parametrize("shape", [(60, 6, 8, 4, 24, 24, 120), (30, 5, 7, 3, 21, 21, 31), (24, 3, 4, 0, 16, 16, 48)], ids=str)
def test_quantized_operands(isa: str, kind: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    spec = spec_of(rng, shape, operands=operands_of(rng, kind, shape[0], shape[1]))
    x = normal(rng, shape[4], shape[5], shape[0])
    assert_close(fused(spec, isa, x), swin_plain.run(spec, x), quantized=True)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", ["f32", "w4a4", "b2"])
def test_windows_in_any_order_give_the_same_bytes(isa: str, kind: str) -> None:
    rng = np.random.default_rng(1)
    shape = (60, 6, 8, 4, 24, 16, 120)
    layer = extension.SwinLayer(spec_of(rng, shape, kind), isa)
    x = normal(rng, 24, 16, 60)
    whole, parts = x.copy(), x.copy()
    layer.run(whole)
    assert layer.windows(24, 16) == 6
    for first, last in ((4, 6), (0, 1), (3, 4), (1, 3)):
        layer.run(parts, first, last)
    assert whole.tobytes() == parts.tobytes()
    assert not np.array_equal(whole, x)


@pytest.mark.parametrize("isa", ISAS)
def test_far_apart_logits(isa: str) -> None:
    """Logits of hundreds: the largest takes all, nothing overflows."""
    rng = np.random.default_rng(2)
    shape = (24, 3, 8, 4, 16, 16, 48)
    spec = spec_of(rng, shape)
    spec["qkv"]["weight"][:48] *= 12
    x = normal(rng, 16, 16, 24)
    want = swin_plain.run(spec, x)
    got = fused(spec, isa, x)
    assert np.abs(got - want).max() <= 1e-3 * np.abs(want).max()  # float32 logits of this size are that far off


@pytest.mark.parametrize("isa", ISAS)
def test_the_kernel_is_named(isa: str) -> None:
    """AVX2 sums up to 4-bit codes in 16 bits, which those of 8 bits would not fit; portable code multiplies floats."""
    eight = {"portable": "f32", "avx2": "s16s16", "avx512": "u8s8"}[isa]
    want = {
        "f32": "f32",
        "w4a4": eight if isa != "avx2" else "u8s8",
        "w8a8": eight,
        "b2": "f32" if isa == "portable" else "b1b1",
    }
    for kind, how in want.items():
        spec = spec_of(np.random.default_rng(0), (60, 6, 8, 4, 8, 8, 120), kind)
        assert extension.SwinLayer(spec, isa).kernel == f"swin_{how}_{isa}"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "window": ({"window": 33}, "window 33"),
    "shift": ({"shift": 8}, "shift 8"),
    "heads": ({"heads": 7}, "7 heads"),
    "layer": ({"proj": {"weight": np.zeros((24, 23), np.float32)}}, "proj: 23 to 24"),
    "sign": (
        {"proj": {"weight": np.zeros((1, 24, 24), np.int8), "scale": np.ones((1, 24), np.float32)}},
        "proj: weight code 0",
    ),
    "code": ({"proj": {"weight": np.full((24, 24), 256, np.int16), "scale": np.ones((1, 24), np.float32)}}, "weight code 256"),
    "scale": ({"proj": {"weight": np.ones((24, 24), np.int16)}}, "proj: no scale"),
    "step": ({"fc1": {"weight": np.zeros((48, 24), np.float32), "act": SIGNED | {"step": 0.0}}}, "fc1: step 0"),
    "range": ({"fc1": {"weight": np.zeros((48, 24), np.float32), "act": SIGNED | {"highest": 300}}}, "codes -7..300"),
    "map": ({"operands": {"q": SIGNED, "k": SIGNED, "v": SIGNED, "map": {"kind": "sign"}}}, "map: neither"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused(name: str) -> None:
    changes, message = WRONG[name]
    spec = spec_of(np.random.default_rng(0), (24, 3, 8, 4, 8, 8, 48))
    if name == "heads":
        spec["table"] = np.zeros((225, 7), np.float32)
    if name == "window":
        spec["table"] = np.zeros((65**2, 3), np.float32)
    with pytest.raises(ValueError, match=message):
        extension.SwinLayer(spec | changes, "portable")

"""One Swin transformer layer as ops.Swin says it, read plainly in float64: the oracle of the fused kernels.

Layers are the dictionaries that `qsr._kernels.SwinLayer` takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Spec = dict[str, Any]
Reals = NDArray[np.float64]


def run(spec: Spec, picture: NDArray[np.float32]) -> Reals:
    """(h, w, channels) -> the same."""
    x = picture.astype(np.float64)
    h, w, c = x.shape
    window, shift = spec["window"], spec["shift"]
    t = np.roll(norm(x, spec, "norm1"), (-shift, -shift), (0, 1))
    a = np.zeros_like(t)
    axis = [np.arange(size) for size in (h, w)]
    regions = [np.sum([at >= size - window, at >= size - shift], axis=0) for at, size in zip(axis, (h, w), strict=True)]
    for top in range(0, h, window):
        for left in range(0, w, window):
            rows, columns = slice(top, top + window), slice(left, left + window)
            place = np.array([(y, x) for y in regions[0][rows] for x in regions[1][columns]])
            apart = np.any(place[:, None] != place[None], axis=-1) & (shift > 0)
            a[rows, columns] = attention(spec, t[rows, columns].reshape(-1, c), apart).reshape(window, window, c)
    a = np.roll(a, (shift, shift), (0, 1))
    y: Reals = x + spec.get("gain1", 1.0) * a
    hidden = linear(spec["fc1"], norm(y, spec, "norm2"))
    hidden = hidden / 2 * (1 + erf(hidden / np.sqrt(2)))
    z: Reals = y + spec.get("gain2", 1.0) * linear(spec["fc2"], hidden)
    return z


def attention(spec: Spec, t: Reals, apart: NDArray[np.bool_]) -> Reals:
    """(n, c) of one window -> (n, c); apart: (n, n)."""
    window, heads, operands = spec["window"], spec["heads"], spec.get("operands")
    n, c = t.shape
    at = np.array([(y, x) for y in range(window) for x in range(window)])
    offset = at[:, None] - at[None] + window - 1
    bias = spec["table"][offset[..., 0] * (2 * window - 1) + offset[..., 1]].astype(np.float64)  # (n, n, heads)
    q, k, v = linear(spec["qkv"], t).reshape(n, 3, heads, c // heads).transpose(1, 2, 0, 3)  # (heads, n, d)
    q = q * (c // heads) ** -0.5
    if operands:
        q, k, v = (operand(operands[key], x) for key, x in (("q", q), ("k", k), ("v", v)))
    logits = q @ k.transpose(0, 2, 1) + bias.transpose(2, 0, 1) - 100.0 * apart
    m = np.exp(logits - logits.max(-1, keepdims=True))
    m /= m.sum(-1, keepdims=True)
    if operands and operands["map"]["kind"] == "elastic":
        step = operands["map"]["scales"].astype(np.float64)[:, None, None]
        m = step * (m >= step / 2)
    elif operands:
        m = quantize(operands["map"], m, m)
    a = (m @ v).transpose(1, 0, 2).reshape(n, c)
    projected = linear(spec["proj"], a)
    return a + projected if spec.get("proj_skip") else projected


def norm(x: Reals, spec: Spec, name: str) -> Reals:
    mean = x.mean(-1, keepdims=True)
    var = x.var(-1, keepdims=True)
    result: Reals = (x - mean) / np.sqrt(var + spec.get("eps", 1e-5)) * spec[f"{name}_weight"] + spec[f"{name}_bias"]
    return result


def linear(layer: Spec, x: Reals) -> Reals:
    """(..., c_in) -> (..., c_out)."""
    weight = layer["weight"].astype(np.float64)
    if layer["weight"].dtype == np.int16:
        weight = weight * layer["scale"][0][:, None]
    elif layer["weight"].dtype == np.int8:
        weight = (weight * layer["scale"].astype(np.float64)[:, :, None]).sum(0)
    result: Reals = quantize(layer.get("act", {}), x, x) @ weight.T + layer["bias"]
    return result


def operand(act: Spec, x: Reals) -> Reals:
    """x_hat of (heads, n, d); vectors have heads * d numbers."""
    heads, _, d = x.shape
    per_head = {key: value.reshape(heads, 1, d) if isinstance(value, np.ndarray) else value for key, value in act.items()}
    return np.stack(
        [
            quantize({k: v[i] if isinstance(v, np.ndarray) else v for k, v in per_head.items()}, x[i], x[i].ravel())
            for i in range(heads)
        ]
    )


def quantize(act: Spec, x: Reals, measured: Reals) -> Reals:
    """x_hat; a sign's mean is that of |measured| over the last axis."""
    kind = act.get("kind", "none")
    if kind == "uniform":
        q = np.clip(np.rint((x + act.get("shift", 0.0)) / np.float64(act["step"])), act["lowest"], act["highest"])
        uniform: Reals = q * np.float64(act["step"]) + act.get("offset", 0.0)
        return uniform
    if kind == "sign":
        scale = np.abs(measured).mean(-1, keepdims=True) if act.get("mean") else act.get("scales", act.get("scale", 1.0))
        signs: Reals = scale * np.where(x + act.get("shift", 0.0) >= 0, 1.0, -1.0)
        return signs
    return x

"""A reader of packed files by docs/format.md alone: numpy and nothing of qsr, every operation, straight loops. For tests."""

from __future__ import annotations

import json
import math
import struct

import numpy as np

erf = np.vectorize(math.erf, otypes=[np.float64])


class Network:
    def __init__(self, content: bytes) -> None:
        begin = 8 + struct.unpack("<Q", content[:8])[0]
        table = json.loads(content[8:begin])
        self.head = json.loads(table.pop("__metadata__")["qsr"])
        if self.head["format"] != "qsr.packed/1":
            raise ValueError(f"version {self.head['format']}")
        kinds = {"U8": "u1", "F16": "<f2", "F32": "<f4"}
        read = {k: np.frombuffer(content[begin:][slice(*e["data_offsets"])], kinds[e["dtype"]]) for k, e in table.items()}
        self.tensors = {name: values.reshape(table[name]["shape"]) for name, values in read.items()}

    def upscale(self, picture: np.ndarray, program: int = 0) -> np.ndarray:
        """(h, w, 3) uint8 -> (s h, s w, 3) float32, before it is clipped."""
        (height, width, _), scale, window = picture.shape, self.head["scale"], self.head["window"]
        whole = np.pad(picture, ((0, -height % window), (0, -width % window), (0, 0)), mode="reflect")
        values = [whole.astype(np.float32) / np.float32(255)]
        for op in self.head["programs"][program]["ops"][1:]:
            values.append(getattr(self, op["op"])(op, *(values[source] for source in op["inputs"])))
        return values[-1][: scale * height, : scale * width]

    def number(self, value):
        return self.tensors[value] if isinstance(value, str) else np.float32(value)

    # --- weights and inputs
    def weight(self, layer):
        shape, spec = (layer["c_out"], layer["c_in"], *layer.get("kernel", ())), layer["weight"]
        stream, along = self.tensors[spec["tensor"]], (-1, *[1] * (len(shape) - 1))
        if spec["kind"] == "float":
            return stream.astype(np.float32)
        bits, b = np.unpackbits(stream, bitorder="little"), spec.get("bits")
        if spec["kind"] == "sign":
            planes = 1 - 2.0 * bits[: len(spec["scale"]) * math.prod(shape)].reshape(-1, *shape)
            return sum(plane * np.reshape(self.number(s), along) for plane, s in zip(planes, spec["scale"]))
        u = bits[: math.prod(shape) * b].reshape(-1, b) @ (1 << np.arange(b))
        q = 2 * u - (2**b - 1) if spec["odd"] else u - 2**b * (u >= 2 ** (b - 1))
        return q.reshape(shape) * np.reshape(self.number(spec["scale"]), along)

    def act(self, spec, x, mean=None):
        """x_hat; mean: axes of the mean of `mean`."""
        if spec is None:
            return x
        if spec["kind"] == "elastic":
            return (step := np.reshape(self.number(spec["step"]), (-1, 1, 1))) * (x >= step / 2)
        t = x + self.number(spec["shift"])
        if spec["kind"] == "uniform":
            top = 2 ** (spec["bits"] - spec["signed"]) - 1
            bottom = -top - (not spec["narrow"]) if spec["signed"] else 0
            return np.clip(np.rint(t / np.float32(spec["step"])), bottom, top) * spec["step"] + spec["offset"]
        scale = spec["scale"]
        size = np.abs(x).mean(mean, keepdims=True) if scale == "mean" else 1 if scale == "spatial" else self.number(scale)
        return np.where(t >= 0, 1, -1) * size

    # --- operations; a feature map is (h, w, c)
    def affine(self, op, x):
        return x * self.number(op["scale"]) + self.number(op["offset"])

    def correlate(self, x, w):
        (kh, kw), (h, wide) = w.shape[2:], x.shape[:2]
        padded = np.pad(x, ((kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)))
        return sum(padded[u : u + h, v : v + wide] @ w[:, :, u, v].T for u in range(kh) for v in range(kw))

    def conv(self, op, x):
        y = self.correlate(self.act(op["act"], x), self.weight(op))
        if op["act"] and op["act"]["kind"] == "sign" and op["act"]["scale"] == "spatial":
            box = np.full((1, 1, *op["kernel"]), 1 / math.prod(op["kernel"]))
            y = y * self.correlate(np.abs(x).mean(2, keepdims=True), box)
        return (y + self.number(op["bias"])).astype(np.float32)

    def depthwise(self, op, x):
        w = self.tensors[op["weight"]["tensor"]].astype(np.float32)
        return (self.correlate(x, np.eye(len(w))[:, :, None, None] * w[:, None]) + self.number(op["bias"])).astype(np.float32)

    def repeat(self, op, x):
        return np.tile(x, op["factor"])

    def average(self, op, x):
        return x.reshape(*x.shape[:2], op["factor"], -1).mean(2)

    def prelu(self, op, x):
        t = x + self.number(op["before"])
        return np.where(t >= 0, t, self.number(op["slope"]) * t) + self.number(op["after"])

    def add(self, op, x, y):
        return x + y

    def shuffle(self, op, x):
        (h, w, c), f = x.shape, op["factor"]
        return x.reshape(h, w, c // f**2, f, f).transpose(0, 3, 1, 4, 2).reshape(h * f, w * f, -1)

    def bilinear(self, op, x):
        for axis in (0, 1):
            place = np.maximum((np.arange(x.shape[axis] * op["factor"]) + 0.5) / op["factor"] - 0.5, 0)
            low = place.astype(int)
            high, share = np.minimum(low + 1, x.shape[axis] - 1), np.expand_dims(place - low, (1, 2) if axis == 0 else (0, 2))
            x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
        return x.astype(np.float32)

    def quantize(self, op, x):
        return self.act(op["act"], x)

    def norm(self, op, x):
        return self.normed(x, (op["weight"], op["bias"]), op["eps"])

    def normed(self, x, names, eps):
        t = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
        return t * self.tensors[names[0]] + self.tensors[names[1]]

    def linear(self, layer, x):
        return (self.act(layer["act"], x, -1) @ self.weight(layer).T + self.number(layer["bias"])).astype(np.float32)

    def swin(self, op, x):
        t = np.roll(self.normed(x, op["norm1"], op["eps"]), (-op["shift"], -op["shift"]), (0, 1))
        a, win = np.empty_like(x), op["window"]
        for top in range(0, x.shape[0], win):
            for left in range(0, x.shape[1], win):
                place = np.s_[top : top + win, left : left + win]
                tokens = t[place].reshape(win * win, -1)
                m = self.attention(op, tokens, top == x.shape[0] - win, left == x.shape[1] - win)
                a[place] = (op["proj_skip"] * m + self.linear(op["proj"], m)).reshape(win, win, -1)
        y = x + op["gain1"] * np.roll(a, (op["shift"], op["shift"]), (0, 1))
        hidden = self.linear(op["fc1"], self.normed(y, op["norm2"], op["eps"]))
        hidden = (0.5 * hidden * (1 + erf(hidden / math.sqrt(2)))).astype(np.float32)
        return (y + op["gain2"] * self.linear(op["fc2"], hidden)).astype(np.float32)

    def attention(self, op, tokens, last_row, last_column):
        win, n, d = op["window"], op["window"] ** 2, op["channels"] // op["heads"]
        q, k, v = self.linear(op["qkv"], tokens).reshape(n, 3, op["heads"], d).transpose(1, 2, 0, 3)
        q, spec = q * np.float32(d**-0.5), op["operands"]
        if spec:
            q, k, v = (self.operand(op, spec[key], part) for key, part in zip("qkv", (q, k, v)))
        y, x = np.divmod(np.arange(n), win)
        rows = (y[:, None] - y + win - 1) * (2 * win - 1) + x[:, None] - x + win - 1
        logits = q @ k.transpose(0, 2, 1) + self.tensors[op["table"]][rows].transpose(2, 0, 1)
        region = 2 * (last_row & (y >= win - op["shift"])) + (last_column & (x >= win - op["shift"]))
        logits = logits - 100.0 * ((region[:, None] != region) & (op["shift"] > 0))
        m = np.exp(logits - logits.max(-1, keepdims=True))
        m = m / m.sum(-1, keepdims=True)
        return ((self.act(spec["map"], m) if spec else m) @ v).transpose(1, 0, 2).reshape(n, -1)

    def operand(self, op, spec, x):
        """x (heads, n, features): back to (n, channels), where the shift belongs; means are over a window and head."""
        joined = x.transpose(1, 0, 2).reshape(x.shape[1], -1)
        scaled = spec.get("scale") == "mean"
        x_hat = self.act({**spec, "scale": 1.0} if scaled else spec, joined).reshape(-1, *x.shape[::2]).transpose(1, 0, 2)
        return x_hat * np.abs(x).mean((1, 2), keepdims=True) if scaled else x_hat

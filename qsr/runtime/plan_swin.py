"""A Swin layer in the words of the extension: the fields of csrc/kernels/swin.h's SwinSpec."""

from __future__ import annotations

from typing import Any

import numpy as np

from qsr.runtime.packed.codes import Tensors, dense, vector, weight_codes, weight_scale
from qsr.runtime.packed.ops import Act, ElasticAct, FloatWeight, Linear, SignAct, SignWeight, Swin
from qsr.runtime.plan_layer import MOST_PLANES, levels


def describe(op: Swin, tensors: Tensors) -> dict[str, Any]:
    """Vectors that do nothing are left out."""
    layer: dict[str, Any] = {
        key: getattr(op, key) for key in ("channels", "window", "shift", "heads", "eps", "proj_skip", "gain1", "gain2")
    }
    layer["table"] = _floats(tensors[op.table])
    for key in ("norm1", "norm2"):
        weight, bias = getattr(op, key)
        layer |= {f"{key}_weight": _floats(tensors[weight]), f"{key}_bias": _floats(tensors[bias])}
    for key in ("qkv", "proj", "fc1", "fc2"):
        layer[key] = _linear(getattr(op, key), tensors)
    if op.operands is not None:
        layer["operands"] = {key: _act(getattr(op.operands, key), op.channels, tensors) for key in ("q", "k", "v")}
        layer["operands"]["map"] = _act(op.operands.map, op.heads, tensors)
    return layer


def _linear(layer: Linear, tensors: Tensors) -> dict[str, Any]:
    made: dict[str, Any] = {"bias": _floats(vector(layer.bias, layer.c_out, tensors))}
    if layer.act is not None:
        made["act"] = _act(layer.act, layer.c_in, tensors)
    if isinstance(layer.weight, FloatWeight) or (isinstance(layer.weight, SignWeight) and layer.weight.planes > MOST_PLANES):
        return made | {"weight": _floats(dense(layer, tensors))}
    kind = np.int8 if isinstance(layer.weight, SignWeight) else np.int16
    codes = np.ascontiguousarray(weight_codes(layer, tensors), kind)
    return made | {"weight": codes, "scale": _floats(weight_scale(layer, tensors))}


def _act(act: Act | ElasticAct, channels: int, tensors: Tensors) -> dict[str, Any]:
    """channels: of its vectors; for an attention map the number of heads."""
    if isinstance(act, ElasticAct):
        return {"kind": "elastic", "scales": _floats(vector(act.step, channels, tensors))}
    shift = vector(act.shift, channels, tensors)
    made: dict[str, Any] = {"kind": act.kind} | ({"shift": _floats(shift)} if shift.any() else {})
    if not isinstance(act, SignAct):
        lowest, highest = levels(act)
        return made | {"lowest": lowest, "highest": highest, "step": act.step, "offset": act.offset}
    if act.scale == "mean":
        return made | {"mean": True}
    return made | (
        {"scales": _floats(vector(act.scale, channels, tensors))} if isinstance(act.scale, str) else {"scale": act.scale}
    )


def _floats(values: Any) -> Any:
    return np.ascontiguousarray(values, np.float32)

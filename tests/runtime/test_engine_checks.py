"""What the compiled engine refuses when it is made: a plan whose parts do not fit together, whoever wrote it.

plan.py makes no such plans. These are for what else may call the extension, and each was once taken, to be read or written
beyond an array when it ran; most were found by tests/fuzz/engine_target.cc.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsr.errors import FormatError

_kernels = pytest.importorskip("qsr._kernels", reason="the extension was not built")
ONES = np.ones(3, np.float32)


def plan() -> dict[str, Any]:
    """A picture, a convolution of 1 x 1, one elementwise stage, the picture stored."""
    weights = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    conv = {"kind": "conv", "input": 0, "out": 1, "format": "float", "c_in": 3, "c_out": 3, "kh": 1, "kw": 1, "floats": weights}
    stages = [
        {"kind": "picture", "out": 0},
        conv,
        {"kind": "map", "input": 1, "out": 2},
        {"kind": "store", "input": 2},
    ]
    return {"maps": [("float", 3, 1, 0)] * 3, "stages": stages, "segments": [0], "scale": 1, "slots": 1}


def made(parts: dict[str, Any]) -> Any:
    return _kernels.Engine(**parts, isa=0, threads=1)


def test_the_plan_is_good() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    assert np.array_equal(made(plan()).run(picture, True), picture)


@pytest.mark.drill("F1")
@pytest.mark.parametrize(
    ("stage", "fields"),
    [
        (0, {"input": 7}),  # no such map
        (0, {"second": 7}),
        (0, {"scale": ONES[:1]}),
        (1, {"slot": 0}),  # multiplies scales that are not there
        (1, {"up": 0}),
        (2, {"planes": 3}),
        (2, {"up": 2}),
        (2, {"second": 7}),
        (2, {"second": 2}),  # itself
        (2, {"kh": 2**31 - 1}),
        (2, {"slot": 0}),
        (2, {"edge": ONES}),
        (2, {"codes": np.ones(3, np.int16)}),
        (2, {"shift": ONES[:2]}),
        (3, {"second": 7}),
        (3, {"second": -2, "input": 3}),
        (3, {"kh": 15}),
    ],
)
def test_fields_that_do_not_fit(stage: int, fields: dict[str, Any]) -> None:
    parts = plan()
    parts["stages"][stage] |= fields
    with pytest.raises(FormatError):
        made(parts)


@pytest.mark.drill("F1")
@pytest.mark.parametrize("slots", [-1, 5, 2**31 - 1])
def test_a_run_has_no_more_numbers_than_stages(slots: int) -> None:
    """They are allocated for each run, as many as the network says."""
    with pytest.raises(FormatError, match="slots"):
        made(plan() | {"slots": slots})


@pytest.mark.drill("F1")
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_picture_has_three_channels(channels: int) -> None:
    """Rows of three numbers a pixel would be written into maps that have room for fewer."""
    parts = plan()
    parts["maps"] = [("float", channels, 1, 0)] * 3
    parts["stages"][1] |= {"c_in": channels, "floats": np.ones((3, channels, 1, 1), np.float32)}
    parts["maps"][1] = parts["maps"][2] = ("float", 3, 1, 0)
    with pytest.raises(FormatError):
        made(parts)


def deep() -> dict[str, Any]:
    """A picture, its channels repeated, a depthwise convolution of 3 x 3, the average of both parts, the picture stored."""
    floats = np.zeros((6, 3, 3), np.float32)
    floats[:, 1, 1] = 1
    conv = {"kind": "conv", "input": 1, "out": 2, "format": "float", "c_in": 6, "c_out": 6, "kh": 3, "kw": 3, "floats": floats}
    stages = [
        {"kind": "picture", "out": 0},
        {"kind": "repeat", "input": 0, "out": 1, "up": 2},
        conv | {"depthwise": True},
        {"kind": "average", "input": 2, "out": 3, "up": 2},
        {"kind": "store", "input": 3},
    ]
    maps = [("float", channels, 1, 0) for channels in (3, 6, 6, 3)]
    return {"maps": maps, "stages": stages, "segments": [0], "scale": 1, "slots": 0}


def test_a_depthwise_plan_is_good() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    assert np.array_equal(made(deep()).run(picture, True), picture)


@pytest.mark.drill("F1")
@pytest.mark.parametrize(
    ("stage", "fields"),
    [
        (1, {"up": 1}),  # three channels do not become six
        (1, {"up": 3}),
        (1, {"up": 0}),
        (1, {"up": 2**31 - 1}),
        (1, {"second": 0}),
        (2, {"depthwise": False}),  # a sixth of the weights that it would need
        (2, {"floats": np.zeros((6, 6, 3, 3), np.float32)}),
        (2, {"floats": np.zeros((6, 3), np.float32)}),
        (2, {"c_in": 3}),
        (2, {"c_out": 12, "floats": np.zeros((12, 3, 3), np.float32)}),
        (2, {"planes": 2}),
        (2, {"kh": 2}),
        (2, {"kw": 17}),
        (2, {"bias": ONES}),
        (2, {"slot": 0}),
        (3, {"up": 3}),
        (3, {"up": 4}),
        (3, {"up": 0}),
        (3, {"floats": ONES}),
    ],
)
def test_depthwise_fields_that_do_not_fit(stage: int, fields: dict[str, Any]) -> None:
    parts = deep()
    parts["stages"][stage] |= fields
    with pytest.raises(FormatError):
        made(parts)


@pytest.mark.drill("F1")
@pytest.mark.parametrize("form", ["bits", "bytes"])
def test_depthwise_convolutions_are_of_floats(form: str) -> None:
    parts = deep()
    sinks = [{"map": 2, "highest": 1}]
    parts["maps"][1:3] = [("float", 6, 1, 0), (form, 6, 1, 0)]
    parts["maps"].append(("float", 6, 1, 0))
    codes = {"codes": np.ones((6, 3, 3), np.int16), "floats": None, "scale": np.ones(6, np.float32), "format": form}
    parts["stages"][2] |= {"input": 2, "out": 4, "ranges": (-1, 1, -1, 1) if form == "bits" else (0, 1, 0, 1), **codes}
    parts["stages"].insert(2, {"kind": "map", "input": 1, "sinks": sinks})
    parts["stages"][4] |= {"input": 4}
    with pytest.raises(FormatError):
        made(parts)


@pytest.mark.drill("F1")
@pytest.mark.parametrize("highest", [128, 2**31 - 1])
def test_ranges_of_more_than_a_byte(highest: int) -> None:
    """Their difference was taken in 32 bits (found by the fuzzer: undefined, and below 256 where it wraps)."""
    parts = plan()
    parts["maps"].append(("bytes", 3, 1, 128))
    codes = {"floats": None, "codes": np.ones((3, 3, 1, 1), np.int16), "scale": ONES, "format": "bytes"}
    parts["stages"][1] |= {"input": 3, "ranges": (-128, highest, -1, 1), **codes}
    parts["stages"].insert(1, {"kind": "map", "input": 0, "sinks": [{"map": 3, "lowest": -128, "highest": 127}]})
    with pytest.raises(FormatError):
        made(parts)
    parts["stages"][2] |= {"ranges": (-128, 127, -1, 1)}
    made(parts)


def swin(channels: int, window: int) -> dict[str, Any]:
    def linear(c_in: int, c_out: int) -> dict[str, Any]:
        return {"weight": np.zeros((c_out, c_in), np.float32), "bias": np.zeros(c_out, np.float32)}

    vector = np.ones(channels, np.float32)
    norms = {f"norm{n}_{key}": vector for n in (1, 2) for key in ("weight", "bias")}
    sizes = {"qkv": (channels, 3 * channels), "proj": (channels, channels), "fc1": (channels, 4), "fc2": (4, channels)}
    table = np.zeros(((2 * window - 1) ** 2, 1), np.float32)
    layers = {name: linear(*size) for name, size in sizes.items()}
    return {"channels": channels, "window": window, "heads": 1, "table": table, **norms, **layers}


@pytest.mark.drill("F1")
@pytest.mark.parametrize(("channels", "window", "says"), [(5, 2, 2), (3, 2, 4), (3, 4, 2)])
def test_a_swin_layer_for_another_map(channels: int, window: int, says: int) -> None:
    parts = plan()
    layer = {"kind": "swin", "input": 2, "out": 2, "window": says, "swin": swin(channels, window)}
    parts["stages"].insert(3, layer)
    parts["segments"] = [0, 3, 4]
    with pytest.raises(FormatError):
        made(parts)
    parts["stages"][3] = layer | {"window": 2, "swin": swin(3, 2)}
    made(parts)


@pytest.mark.drill("F1")
def test_scales_of_a_quantizer_that_has_none() -> None:
    """They were looked for in a vector that is empty."""
    layer = swin(3, 2)
    layer["qkv"]["weight"] = np.eye(9, 3, dtype=np.float32)
    x = np.random.default_rng(0).random((2, 2, 3), np.float32)
    results = []
    for more in ({}, {"scales": ONES}):
        layer["fc1"]["act"] = {"kind": "uniform", "lowest": 0, "highest": 3, "step": 0.5, **more}
        layer["fc1"]["weight"] = np.ones((4, 3), np.float32)
        results.append(x.copy())
        _kernels.SwinLayer(layer, "portable").run(results[-1])
    assert np.array_equal(*results)

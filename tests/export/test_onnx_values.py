"""Quantized inputs as nodes: the levels, halves to even, signs at zero, means, elastic maps, and which layers carry QDQ."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from qsr.export.onnx_builder import Builder  # noqa: E402
from qsr.export.onnx_values import layer_input, levels, quantized  # noqa: E402
from qsr.runtime.packed.ops import Act, Conv, ElasticAct, SignAct, SignWeight, UniformAct, UniformWeight  # noqa: E402


def run(act: Act | ElasticAct, x: np.ndarray, tensors: dict | None = None, **how: object) -> np.ndarray:
    """x: (n, c, h, w)."""
    graph = Builder()
    name = graph.input("x", x.shape)
    graph.output(quantized(graph, name, act, tensors or {}, **{"axes": (1, 2, 3), **how}), "y", x.shape)
    session = onnxruntime.InferenceSession(graph.model("a", "1", {}).SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x.astype(np.float32)})[0]


def row(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 1, 1, -1)


def test_halves_go_to_even_and_ends_are_clipped() -> None:
    found = run(UniformAct(2, signed=True, step=0.5), row(-9, -0.75, -0.25, 0.25, 0.26, 0.75, 9))
    assert found.ravel().tolist() == [-1.0, -1.0, 0.0, 0.0, 0.5, 0.5, 0.5]
    assert run(UniformAct(2, signed=True, step=0.5, narrow=True), row(-9)).item() == -0.5


def test_shift_stays_and_offset_comes_back() -> None:
    assert run(UniformAct(4, signed=False, step=1.0, shift=0.25), row(1.3, 1.2)).ravel().tolist() == [2.0, 1.0]
    assert run(UniformAct(4, signed=False, step=1.0, shift=1.5, offset=-1.5), row(-1.5, 0.4)).ravel().tolist() == [-1.5, 0.5]


@pytest.mark.parametrize("signed", [True, False])
def test_quantize_nodes_give_what_round_and_clip_give(signed: bool) -> None:
    act = UniformAct(8, signed=signed, step=0.125, narrow=signed)
    x = np.linspace(-40, 40, 777, dtype=np.float32).reshape(1, 1, 7, 111)
    assert np.array_equal(run(act, x, as_qdq=True), run(act, x))


def test_signs_count_zero_as_positive_and_carry_their_scale() -> None:
    x = np.array([[[[0.0, -1.0]], [[-3.0, 4.0]]]], np.float32)
    assert run(SignAct(), x).ravel().tolist() == [1, -1, -1, 1]
    assert run(SignAct(scale="mean"), x).ravel().tolist() == [2, -2, -2, 2]
    given = {"s": np.array([0.5, -4.5], np.float32), "k": np.array([2.0, 3.0], np.float32)}
    assert run(SignAct(shift="s", scale="k"), x, given).ravel().tolist() == [2, -2, -3, -3]


def test_elastic_maps_have_two_levels() -> None:
    assert run(ElasticAct(0.5), row(0.24, 0.25, 1.0)).ravel().tolist() == [0.0, 0.5, 0.5]


def test_which_layers_carry_quantize_nodes() -> None:
    def conv(weight: object, act: object) -> Conv:
        return Conv((0,), "c", 4, 4, (3, 3), weight, act)  # type: ignore[arg-type]

    eight, a8 = UniformWeight("w", 8, 1.0), UniformAct(8, False, 1.0)
    assert layer_input(conv(eight, a8)) == "qdq"
    for weight, act in (
        (UniformWeight("w", 4, 1.0), a8),
        (UniformWeight("w", 8, 1.0, odd=True), a8),
        (eight, UniformAct(4, False, 1.0)),
        (eight, UniformAct(8, False, 1.0, offset=0.5)),
        (SignWeight("w", (1.0,)), SignAct()),
        (eight, None),
    ):
        assert layer_input(conv(weight, act)) == "grid"
    assert levels(UniformAct(3, True, 1.0, narrow=True)) == (-3, 3)

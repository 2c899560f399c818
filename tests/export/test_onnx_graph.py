"""Packed networks as ONNX graphs: onnxruntime's picture is the interpreter's, at sizes the graph never saw."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from qsr.export.onnx_builder import OPSET  # noqa: E402
from qsr.export.onnx_graph import integer_layers, to_onnx  # noqa: E402
from qsr.runtime.interpreter import Interpreter  # noqa: E402
from tests.runtime.packed.build import conv_net, mixer_net, swin_net  # noqa: E402

CONVOLUTIONAL = ("fp", "w2a2", "w3a3", "w4a4", "w8a8", "w2a4", "w1a1", "w1a1x2")


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """(h, w, 3) -> (s h, s w, 3)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.ascontiguousarray(x.transpose(2, 0, 1)[None])})[0][0].transpose(1, 2, 0)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 100 + width).random((height, width, 3), np.float32)


@pytest.mark.parametrize("layout", ["edsr", "msr"])
@pytest.mark.parametrize("method", CONVOLUTIONAL)
def test_convolutional_networks_agree_with_the_interpreter_at_any_size(method: str, layout: str):
    header, tensors = conv_net(method, features=8, blocks=2, layout=layout)
    model = to_onnx(header, tensors)
    ours = Interpreter(header, tensors, header.programs[0])
    for size in ((1, 1), (9, 7), (16, 5)):
        x = picture(*size)
        assert np.abs(run(model, x) - ours.run(x)).max() < 2e-6, size


@pytest.mark.parametrize("expansion", [2, 3])
@pytest.mark.parametrize("method", ["fp", "fp16", "w4a4", "w8a8", "w1a1", "w1a1x2"])
def test_mixers_agree_with_the_interpreter_at_any_size(method: str, expansion: int):
    header, tensors = mixer_net(method, expansion=expansion, kernel=(3, 5))
    model = to_onnx(header, tensors)
    ours = Interpreter(header, tensors, header.programs[0])
    for size in ((1, 1), (9, 7)):
        x = picture(*size)
        assert np.abs(run(model, x) - ours.run(x)).max() < 5e-6, size


@pytest.mark.parametrize("method", ["fp", "w4a4", "w1a1"])
def test_attention_agrees_where_the_window_fits(method: str):
    header, tensors = swin_net(method, proj_skip=method == "w1a1")
    model = to_onnx(header, tensors)
    ours = Interpreter(header, tensors, header.programs[0])
    for size in ((4, 4), (8, 16)):
        x = picture(*size)
        assert np.abs(run(model, x) - ours.run(x)).max() < 5e-6, size


def test_attention_takes_sizes_that_are_no_multiple_of_the_window():
    header, tensors = swin_net("fp")
    model = to_onnx(header, tensors)
    x = picture(5, 6)
    index_y, index_x = np.array([0, 1, 2, 3, 4, 3, 2, 1]), np.array([0, 1, 2, 3, 4, 5, 4, 3])
    expected = Interpreter(header, tensors, header.programs[0]).run(x[index_y][:, index_x])[:10, :12]
    assert np.abs(run(model, x) - expected).max() < 5e-6
    assert run(model, picture(1, 1)).shape == (2, 2, 3)


def test_eight_bits_are_quantize_nodes_and_fewer_bits_stay_on_the_grid():
    kinds = {}
    for method in ("w8a8", "w4a4"):
        header, tensors = conv_net(method, features=8, blocks=2)
        kinds[method] = {node.op_type for node in to_onnx(header, tensors).graph.node}
        integer, grid = integer_layers(header.programs[0])
        assert (integer > 0, grid > 0) == ((True, False) if method == "w8a8" else (False, True))
    assert "QuantizeLinear" in kinds["w8a8"]
    assert "QuantizeLinear" not in kinds["w4a4"]


def test_the_graph_names_its_opset_and_leaves_height_and_width_free():
    header, tensors = conv_net("fp", features=8, blocks=1)
    model = to_onnx(header, tensors)
    assert model.opset_import[0].version == OPSET
    shape = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == ["n", 3, "h", "w"]

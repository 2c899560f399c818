"""The hand on onnx.helper: names, constants stored once, opset, and a check that sees mistakes."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from qsr.export.onnx_builder import IR_VERSION, OPSET, Builder  # noqa: E402


def test_a_graph_of_two_nodes_is_checked_and_named() -> None:
    graph = Builder()
    x = graph.input("x", ("n", 3, "h", "w"))
    graph.output(graph("Relu", graph("Mul", x, graph.constant(2.0))), "y", ("n", 3, "h", "w"))
    model = graph.model("someone", "1.2", {"scale": "2"})
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET)
    assert (model.producer_name, model.producer_version) == ("someone", "1.2")
    assert {entry.key: entry.value for entry in model.metadata_props} == {"scale": "2"}
    names = [node.name for node in model.graph.node]
    assert len(names) == len(set(names)) == 3


def test_equal_constants_are_stored_once_and_others_are_not_mixed_up() -> None:
    graph = Builder()
    assert graph.constant(1.0) == graph.constant(1.0)
    assert graph.constant([1, 2]) == graph.constant([1, 2])
    assert graph.constant(1.0) != graph.constant([1])
    assert graph.constant(np.zeros(2, np.float32)) != graph.constant(np.zeros((1, 2), np.float32))
    assert graph.constant(0.0) != graph.constant(-0.0)


def test_several_outputs_have_names_of_their_own() -> None:
    graph = Builder()
    x = graph.input("x", (4, 6))
    first = graph("Split", x, axis=1, num_outputs=3, outputs=3)
    graph.output(graph("Concat", f"{first}_2", f"{first}_1", first, axis=1), "y", (4, 6))
    graph.model("a", "1", {})


def test_a_mistake_is_seen() -> None:
    graph = Builder()
    graph.input("x", (2, 2))
    graph.output(graph("Relu", "nobody"), "y", (2, 2))
    with pytest.raises(onnx.checker.ValidationError):
        graph.model("a", "1", {})

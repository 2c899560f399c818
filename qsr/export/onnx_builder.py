"""A thin hand on onnx.helper: nodes by call, constants by value, names made up. Opset and IR version are fixed here.

>>> graph = Builder()                                               # doctest: +SKIP
>>> y = graph("Relu", graph.input("x", ("n", 3, "h", "w")))         # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 19  # first with everything used here in its present form; every engine of the last three years reads it
IR_VERSION = 9


class Builder:
    """Nodes and constants of one graph, in the order of the calls."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._counter = 0

    def __call__(self, kind: str, *inputs: str, name: str = "", outputs: int = 1, **attributes: Any) -> str:
        """Add a node; the name of its first output (the others end in _1, _2, ...)."""
        self._counter += 1
        made = f"{name or kind.lower()}_{self._counter}"
        names = [made, *(f"{made}_{number}" for number in range(1, outputs))]
        self._nodes.append(helper.make_node(kind, list(inputs), names, name=made, **attributes))
        return made

    def constant(self, value: NDArray[Any] | float | Sequence[int], name: str = "c") -> str:
        """An initializer; numbers become float32, lists int64. Equal constants are stored once."""
        array = (
            value if isinstance(value, np.ndarray) else np.array(value, np.float32 if isinstance(value, float) else np.int64)
        )
        array = np.ascontiguousarray(array) if array.ndim else array
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._known:
            self._counter += 1
            self._known[key] = f"{name}_{self._counter}"
            self._constants.append(numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def input(self, name: str, shape: Sequence[str | int]) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        return name

    def output(self, value: str, name: str, shape: Sequence[str | int]) -> None:
        self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))

    def model(self, producer: str, version: str, metadata: dict[str, str]) -> onnx.ModelProto:
        """The checked model. Raises onnx.checker.ValidationError where this file has a mistake."""
        graph = helper.make_graph(self._nodes, "qsr", self._inputs, self._outputs, self._constants)
        model = helper.make_model(
            graph,
            producer_name=producer,
            producer_version=version,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model

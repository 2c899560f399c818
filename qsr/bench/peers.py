"""Other engines that run a network's ONNX twin, behind one function each: a callable that upscales once.

None is a requirement of qsr (`pip install qsr[peers]`). Each is imported only when asked for.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.errors import EnvironmentFault, OptionsError

Run = Callable[[], NDArray[Any]]


@dataclass(frozen=True)
class Peer:
    """module: what has to be importable; package: its distribution, for the version. precisions: twins it runs."""

    module: str
    package: str
    precisions: tuple[str, ...]
    make: Callable[[bytes, NDArray[np.float32], int, ExitStack], Run]


def _onnxruntime(model: bytes, x: NDArray[np.float32], threads: int, keep: ExitStack) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})[0]


def _openvino(model: bytes, x: NDArray[np.float32], threads: int, keep: ExitStack) -> Run:
    import openvino

    core = openvino.Core()
    network = core.read_model(model)
    network.reshape(list(x.shape))  # a fixed size is what it is fastest at
    config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(network, "CPU", config).create_infer_request()
    return lambda: request.infer({0: x})[0]


def _mnn(model: bytes, x: NDArray[np.float32], threads: int, keep: ExitStack) -> Run:
    # MNN's own converter script installs a logging service by pip when it is imported; its compiled half does not
    import _tools
    import MNN

    folder = Path(keep.enter_context(tempfile.TemporaryDirectory()))
    source, target = folder / "net.onnx", folder / "net.mnn"
    source.write_bytes(model)
    _tools.mnnconvert(["", "-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(target), "--bizCode", "qsr"])
    if not target.is_file():
        raise EnvironmentFault("MNN's converter wrote no model")
    interpreter = MNN.Interpreter(str(target))
    session = interpreter.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
    tensor = interpreter.getSessionInput(session, "x")
    interpreter.resizeTensor(tensor, x.shape)
    interpreter.resizeSession(session)
    given = MNN.Tensor(x.shape, MNN.Halide_Type_Float, np.ascontiguousarray(x), MNN.Tensor_DimensionType_Caffe)

    def run() -> NDArray[Any]:
        tensor.copyFrom(given)
        interpreter.runSession(session)
        found = interpreter.getSessionOutput(session)
        host = MNN.Tensor(
            found.getShape(), MNN.Halide_Type_Float, np.zeros(found.getShape(), np.float32), MNN.Tensor_DimensionType_Caffe
        )
        found.copyToHostTensor(host)
        return np.array(host.getNumpyData())  # a copy: the view dies with `host`

    return run


PEERS = {
    "onnxruntime": Peer("onnxruntime", "onnxruntime", ("fp32", "int8"), _onnxruntime),
    "openvino": Peer("openvino", "openvino", ("fp32", "int8"), _openvino),
    "mnn": Peer("MNN", "MNN", ("fp32",), _mnn),
}


def wanted(names: str) -> list[str]:
    """The engines of a list `onnxruntime,openvino`, checked. `all`: those installed. Raises OptionsError, EnvironmentFault."""
    if names == "all":
        return [name for name in (*PEERS, "torch") if installed(name)]
    found = [name.strip() for name in names.split(",") if name.strip()]
    for name in found:
        if name not in (*PEERS, "torch"):
            raise OptionsError(f"found {name!r}, expected some of {', '.join((*PEERS, 'torch'))}", where="--against")
        if not installed(name):
            raise EnvironmentFault(f"{name} is not installed", where="--against", hint="pip install 'qsr[peers]'")
    return found


def installed(name: str) -> bool:
    module = PEERS[name].module if name in PEERS else name
    needed = (module, "onnx") if name in PEERS else (module,)
    return all(importlib.util.find_spec(one) is not None for one in needed)


def version(name: str) -> str:
    return metadata.version(PEERS[name].package if name in PEERS else name)

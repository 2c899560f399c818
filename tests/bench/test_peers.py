"""Each engine that is installed upscales the fp32 twin as the interpreter does: what is timed is the same network."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest

from qsr.bench import peers
from qsr.bench.twin import fp32
from qsr.runtime.interpreter import Interpreter
from tests.runtime.packed.build import conv_net


@pytest.mark.parametrize("name", list(peers.PEERS))
def test_the_twin_is_the_same_network_everywhere(name: str):
    if not peers.installed(name):
        pytest.skip(f"{name} (or onnx) is not installed")
    from qsr.export.onnx_graph import to_onnx

    header, tensors = conv_net("w4a4", features=8, blocks=1, layout="msr")
    twin, kept = fp32(header, tensors, header.programs[0])
    picture = np.random.default_rng(0).random((8, 12, 3), np.float32)
    x = np.ascontiguousarray(picture.transpose(2, 0, 1)[None])
    with ExitStack() as keep:
        run = peers.PEERS[name].make(to_onnx(twin, kept).SerializeToString(), x, 1, keep)
        found = np.array(run()).reshape(3, 16, 24).transpose(1, 2, 0)
    expected = Interpreter(twin, kept, twin.programs[0]).run(picture)
    assert np.abs(found - expected).max() < 1e-4 * max(1.0, np.abs(expected).max())


def test_versions_are_those_of_the_distributions():
    assert peers.version("torch").startswith("2.")

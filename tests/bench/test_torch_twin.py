"""The torch twin computes the fp32 twin's picture, in both memory formats."""

from __future__ import annotations

import numpy as np
import pytest

from qsr.bench.torch_twin import TorchTwin
from qsr.bench.twin import fp32
from qsr.errors import OptionsError
from qsr.runtime.interpreter import Interpreter
from tests.runtime.packed.build import conv_net, mixer_net, swin_net


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("layout", ["edsr", "msr", "mixer"])
def test_it_is_the_interpreters_picture(layout: str, channels_last: bool):
    header, tensors = mixer_net("w1a1") if layout == "mixer" else conv_net("w1a1", features=8, blocks=2, layout=layout)
    twin, kept = fp32(header, tensors, header.programs[0])
    picture = np.random.default_rng(0).random((7, 9, 3), np.float32)
    found = TorchTwin(twin, kept, np.ascontiguousarray(picture.transpose(2, 0, 1)[None]), 1, channels_last)()
    expected = Interpreter(twin, kept, twin.programs[0]).run(picture)
    assert np.abs(found[0].transpose(1, 2, 0) - expected).max() < 1e-5 * max(1.0, np.abs(expected).max())


def test_attention_is_refused():
    header, tensors = swin_net("fp")
    with pytest.raises(OptionsError, match="swin|norm"):
        TorchTwin(header, tensors, np.zeros((1, 3, 4, 4), np.float32), 1, False)

"""The container: round trips, foreign and damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qsr.runtime.packed import container
from tests.runtime.packed.build import METHODS, conv_net, swin_net


@pytest.mark.parametrize("method", [*METHODS, "w4a4o", "w2a2ns", "w4a4f", "w1a1m", "w1a1p", "w1a1c", "w4a8w"])
@pytest.mark.parametrize("make", [conv_net, swin_net])
def test_round_trip(make, method: str, tmp_path: Path) -> None:
    header, tensors = make(method, features=8)
    path = tmp_path / "net.qsr"
    assert container.write(path, header, tensors) == path.stat().st_size
    again, arrays = container.read(path)
    assert again == header
    assert arrays.keys() == tensors.keys()
    for name, array in arrays.items():
        assert array.dtype == tensors[name].dtype
        assert np.array_equal(array, tensors[name])
    assert container.to_bytes(again, dict(reversed(arrays.items()))) == path.read_bytes()

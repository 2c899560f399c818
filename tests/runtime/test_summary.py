"""What a packed file says about itself."""

from __future__ import annotations

import json

import pytest

from qsr.runtime.summary import layer_rows, summary
from tests.runtime.packed.build import conv_net, mixer_net, swin_net


@pytest.fixture(params=["numpy", ""], autouse=True)
def _backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSR_BACKEND", request.param)


@pytest.mark.parametrize(
    "net", [conv_net("w2a4", features=8, blocks=1), mixer_net("w1a1"), swin_net("w1a1", features=8, layers=1)]
)
def test_every_layer_has_a_row_and_a_kernel(net) -> None:
    header, tensors = net
    found = summary(header, tensors)
    json.dumps(found, allow_nan=False)
    rows = found["layers"]
    assert all(row["kernel"] != "-" for row in rows)
    weights = [
        array for name, array in tensors.items() if name.endswith(".weight") and (array.ndim > 1 or array.dtype == "uint8")
    ]
    assert sum(row["bytes"] for row in rows) == sum(array.nbytes for array in weights)
    assert found["scale"] == header.scale
    assert found["receptive_field"] == header.receptive_field
    assert found["operations"] == len(header.programs[0].ops)


def test_rows() -> None:
    header, tensors = conv_net("w1a1x2", features=8, blocks=1)
    row = layer_rows(header.programs[0], tensors, [])[1]
    assert (row.name, row.op, row.shape, row.bits, row.bytes) == ("body.0.conv1", "conv", (8, 8, 3, 3), "w1x2a1", 144)
    assert (row.kernel, row.isa) == ("-", "-")
    header, tensors = mixer_net("w1a1")
    row = layer_rows(header.programs[0], tensors, [])[1]
    assert (row.name, row.op, row.shape, row.bits, row.bytes) == ("body.0.dw", "depthwise", (8, 3, 3), "float", 288)

"""What the MLP-like backbone looks like as operations; that they compute the same is test_lower.py's business."""

from __future__ import annotations

import pytest

from qsr.errors import OptionsError
from qsr.export.lower import lower
from qsr.export.prepare import tail_layers
from qsr.runtime.packed.ops import Average, Depthwise, Repeat
from tests.export.test_srresnet import names

TAIL = ["conv_last", "Shuffle", "Bilinear", "Add"]


def test_residual_blocks(trained) -> None:
    network, info = trained("mixer", {"w_bits": 2}, num_block=1)
    header = lower(network, info).header
    block = ["Depthwise", "Add", "body.0.conv1", "PReLU", "body.0.conv2", "Add"]
    assert names(header.programs[0].ops) == ["Image", "conv_first", *block, *TAIL]
    assert header.receptive_field == network.receptive_field == 3


@pytest.mark.parametrize("expansion", [2, 3])
def test_units(trained, expansion: int) -> None:
    network, info = trained("mixer_unit", {"w_bits": 2}, num_block=1, expansion=expansion)
    ops = lower(network, info).header.programs[0].ops
    first = ["Depthwise", "Add", "Repeat", "body.0.conv1", "PReLU", "Add"]
    assert names(ops) == ["Image", "conv_first", *first, "Average", "body.0.conv2", "PReLU", "Add", *TAIL]
    assert [op.factor for op in ops if isinstance(op, Repeat | Average)] == [expansion, expansion]


def test_nothing_is_repeated_where_the_channels_stay_as_many(trained) -> None:
    network, info = trained("mixer_unit", {"w_bits": 2}, num_block=1, expansion=1)
    assert not any(isinstance(op, Repeat | Average) for op in lower(network, info).header.programs[0].ops)


def test_gains_are_in_the_scales(trained) -> None:
    """No operation multiplies by them."""
    network, info = trained("mixer_unit", {"method": "bnn", "w_bits": 1, "a_bits": 1})
    ops = lower(network, info).header.programs[0].ops
    assert "Affine" not in names(ops)
    assert len([op for op in ops if isinstance(op, Depthwise)]) == 2


def test_half_floats(trained) -> None:
    network, info = trained("mixer", {"w_bits": 2})
    for floats, kind in (("fp32", "float32"), ("fp16", "float16")):
        lowered = lower(network, info, floats=floats)
        assert lowered.tensors["body.0.dw.weight"].dtype == kind
        assert ("body.0.dw" in lowered.rounded) == (floats == "fp16")
    assert lowered.rounded["body.0.dw"].shape == network.body[0].dw.weight.shape


def test_a_quantized_depthwise_convolution_is_refused(trained) -> None:
    network, info = trained("mixer", {"rules": [{"match": "body.0.dw", "w_bits": 4, "a_bits": 4}]})
    with pytest.raises(OptionsError, match=r"layer body\.0\.dw: a depthwise convolution is packed in full precision only"):
        lower(network, info)


def test_there_is_no_other_tail(trained) -> None:
    network, _ = trained("mixer", None)
    assert tail_layers(network) == ()

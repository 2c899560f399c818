"""What both layouts look like as operations; that they compute the same is test_lower.py's business."""

from __future__ import annotations

import torch

from qsr.export.lower import lower
from qsr.runtime.packed.ops import Affine, Bilinear, Conv, PReLU, Shuffle


def names(ops) -> list[str]:
    return [op.name if isinstance(op, Conv) else type(op).__name__ for op in ops]


def test_edsr(trained) -> None:
    network, info = trained("srresnet", {"w_bits": 2}, num_block=1)
    ops = lower(network, info).header.programs[0].ops
    body = ["body.0.conv1", "PReLU", "body.0.conv2", "Add", "conv_after_body", "Add"]
    assert names(ops) == ["Image", "Affine", "conv_first", *body, "upsample.0", "Shuffle", "conv_last"]
    assert isinstance(ops[1], Affine)
    assert ops[1].scale == 255.0, "the range of the colours comes back within the last convolution"


def test_msr(trained) -> None:
    network, info = trained("unit", None, num_block=1)
    ops = lower(network, info).header.programs[0].ops
    unit = ["body.0.conv1", "PReLU", "Add", "body.0.conv2", "PReLU", "Add"]
    tail = ["upconv1", "PReLU", "Shuffle", "conv_hr", "PReLU", "conv_last", "Bilinear", "Add"]
    assert names(ops) == ["Image", "conv_first", "PReLU", *unit, *tail]
    assert next(op for op in ops if isinstance(op, Bilinear)).inputs == (0,)
    assert next(op for op in ops if isinstance(op, Shuffle)).factor == 2


def test_a_run_of_skipped_blocks_is_one_factor(trained) -> None:
    network, info = trained("srresnet", {"w_bits": 2}, (5, 2))
    network.body.order.copy_(torch.tensor([1, 4, 0, 2, 3]))
    program = lower(network, info, depth=2).header.programs[0]
    shortcuts = [block.shortcut.item() for block in network.body]
    found = [op.scale for op in program.ops if isinstance(op, Affine)][1:]
    expected = [shortcuts[0], shortcuts[1], shortcuts[2] * shortcuts[3], shortcuts[4]]
    assert [round(scale, 5) for scale in found] == [round(value, 5) for value in expected]
    assert not any(isinstance(op, PReLU) and op.before for op in program.ops)

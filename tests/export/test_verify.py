"""`verify` passes for what was exported and fails, in the right place, for what was not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from qsr.archs.depth import find_stack
from qsr.errors import OptionsError
from qsr.export.packed import pack, to_bytes
from qsr.export.unpack import parse_packed
from qsr.export.verify import TOLERANCE, verify


def exported(network, info, depth=None):
    return parse_packed(to_bytes(*pack(network, info, depth)))


@pytest.mark.parametrize(
    "case",
    [
        ("srresnet", {"w_bits": 2, "a_bits": 8}),
        ("msr", {"method": "lsq", "w_bits": 8, "a_bits": 8, "w_granularity": "channel"}),
        ("swinir", {"w_bits": 3, "a_bits": 5, "quant_matmul": True}),
    ],
)
def test_what_was_exported_passes(case, trained, lr) -> None:
    network, info = trained(*case)
    report = verify(network, exported(network, info), [lr, lr[:5]])
    assert report.passed
    assert (report.equal_share, report.max_difference, report.pictures) == (1.0, 0, 2)
    measured = [layer for layer in report.layers if layer.w_bits != 32]
    assert all(layer.codes_equal and layer.error is not None and layer.error < TOLERANCE for layer in measured)
    assert max(layer.error for layer in measured) > 0, "floats that agree to the last bit were not computed in another way"
    assert report.to_json()["passed"]
    assert "100.0000 % of output bytes equal" in report.table()


def test_every_depth_is_compared_and_depth_restored(trained, lr) -> None:
    network, info = trained("srresnet", {}, (4, 2, 1))
    packed = exported(network, info)
    assert verify(network, packed, [lr]).passed
    assert len(find_stack(network).active) == 4
    with torch.no_grad():
        find_stack(network).order.copy_(find_stack(network).order.flip(0))  # matters below full depth only
    assert not verify(network, packed, [lr]).passed


def test_one_depth(trained, lr) -> None:
    from qsr.archs.depth import set_depth

    network, info = trained("srresnet", {}, (4, 2))
    packed = exported(network, info, 2)
    set_depth(network, 2)
    assert verify(network, packed, [lr]).passed
    set_depth(network, None)
    assert not verify(network, packed, [lr]).passed


@pytest.mark.parametrize("suffix", [".act.scale", ".weight.scale", ".bias"])
def test_a_changed_tensor_is_found_in_its_layer(suffix: str, trained, lr) -> None:
    network, info = trained("srresnet", {})
    packed = exported(network, info)
    name = "body.1.conv1"
    tensors = {**packed.tensors, name + suffix: np.asarray(packed.tensors[name + suffix] * np.float32(1.05))}
    report = verify(network, replace(packed, tensors=tensors), [lr])
    assert [layer.name for layer in report.layers if not layer.passed] == [name]
    assert "FAILED" in report.table()


def test_a_changed_code_is_found(trained, lr) -> None:
    network, info = trained("srresnet", {})
    packed = exported(network, info)
    codes = packed.codes["conv_after_body"].copy()
    codes[0, 0, 0, 0] ^= 1
    report = verify(network, replace(packed, codes={**packed.codes, "conv_after_body": codes}), [lr])
    assert [layer.name for layer in report.layers if layer.codes_equal is False] == ["conv_after_body"]
    assert not report.passed


def test_training_mode_is_restored_and_pictures_are_asked_for(trained, lr) -> None:
    network, info = trained("srresnet", {})
    packed = exported(network, info)
    network.train()
    verify(network, packed, [lr])
    assert network.training
    with pytest.raises(OptionsError, match="no picture was given"):
        verify(network, packed, [])

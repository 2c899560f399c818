"""Roundings are taken from the runtime, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qsr.export.alike import ROUNDING, run_alike, taken
from qsr.export.lower import lower
from qsr.spec import METHODS


def test_only_what_is_the_same_but_for_rounding_is_taken() -> None:
    runtime = torch.tensor([[[[100.0, 1.0, 2.0]]]])
    x = runtime + torch.tensor([0.5 * ROUNDING * 100, 0.9 * ROUNDING * 100, 2 * ROUNDING * 100])
    assert taken(x, runtime).tolist() == [[[[100.0, 1.0, x[0, 0, 0, 2].item()]]]]


@pytest.mark.drill("K8")
@pytest.mark.parametrize("method", METHODS)
def test_the_same_picture_for_every_method(trained, lr, method: str) -> None:
    bits = METHODS[method].w_bits[-1]
    network, info = trained("unit", {"method": method, "w_bits": bits, "a_bits": bits})
    lowered = lower(network, info)
    before = torch.from_numpy(lr).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        plain = network(before)
        expected, found = run_alike(network, lowered.header, lowered.tensors, lowered.header.programs[0], lr)
        assert torch.equal(network(before), plain), "nothing of it stays in the network"
    difference = np.abs(expected.astype(int) - found)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.99


def test_a_border_case_is_decided_as_in_the_runtime(trained, lr) -> None:
    """Steps so that half of all values lie on a border: float32 alone would decide them by chance."""
    network, info = trained("srresnet", {"method": "lsq", "w_bits": 2, "a_bits": 2})
    lowered = lower(network, info)
    program = lowered.header.programs[0]
    real, _ = run_alike(network, lowered.header, lowered.tensors, program, lr)
    with torch.no_grad():
        network.conv_first.bias += 1e-6  # below what rounding may be
    moved, found = run_alike(network, lowered.header, lowered.tensors, program, lr)
    assert np.abs(moved.astype(int) - found).max() <= 1
    assert np.abs(real.astype(int) - moved).max() <= 1
    with torch.no_grad():
        network.conv_first.bias += 5.0  # above it
    other, found = run_alike(network, lowered.header, lowered.tensors, program, lr)
    assert np.abs(other.astype(int) - found).max() > 1

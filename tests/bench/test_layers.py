"""The layer table's arithmetic, on an executor that reports known times."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from qsr.bench.layers import layer_times
from qsr.errors import EnvironmentFault
from qsr.runtime.executor import LayerKernel

kernels = pytest.importorskip("qsr._kernels")


def entry(layer: str, seconds: float, macs: int, sums: float = 0.0) -> SimpleNamespace:
    return SimpleNamespace(layer=layer, stage="conv rows", seconds=seconds, sums=sums, macs=macs, bytes=1000)


def model_of(kernels: dict[str, str], *entries: SimpleNamespace) -> SimpleNamespace:
    listed = [LayerKernel(name, "conv", "w2a2", kernel, "avx2") for name, kernel in kernels.items()]
    executor = SimpleNamespace(profile=lambda picture, repeat: entries, kernels=lambda: listed)
    return SimpleNamespace(executor=lambda depth: executor)


def test_rates_and_shares_are_of_the_family_of_the_kernel(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kernels, "measure_peak", lambda isa: {"float": 1e9, "bytes": 4e9, "bits": 8e9})
    model = model_of(
        {"a": "conv_f32_avx2", "b": "conv_u8s8_avx2", "c": "conv_b1b1_avx2"},
        entry("a", 1.0, 10**9),
        entry("b", 2.0, 10**9, sums=1.0),
        entry("c", 0.5, 10**9),
        entry("", 0.25, 0),
    )
    found = layer_times(model, np.zeros((2, 2, 3), np.uint8), None, 1)
    assert [layer.share for layer in found] == [1.0, 0.25, 0.25, None]
    assert [layer.rate for layer in found] == [1e9, 1e9, 2e9, 0.0]
    assert (found[3].name, found[3].kernel) == ("conv rows", "conv rows")


def test_only_the_compiled_engine_has_a_profile():
    model = SimpleNamespace(executor=lambda depth: object())
    with pytest.raises(EnvironmentFault, match="compiled engine"):
        layer_times(model, np.zeros((2, 2, 3), np.uint8), None, 1)

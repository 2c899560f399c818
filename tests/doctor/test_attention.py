from __future__ import annotations

import numpy as np
import pytest

from qsr.doctor import attention
from qsr.doctor.attention import check_attention, network
from qsr.runtime.packed.check import check

pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)
engine = pytest.importorskip("qsr.runtime.engine")


def test_this_installation_is_healthy():
    for _ in range(5):  # random weights each time
        found = check_attention()
        assert found.status == "ok", found
    assert "portable" in found.found


@pytest.mark.parametrize("quantized", [False, True])
def test_the_network_is_a_valid_packed_one(quantized: bool):
    check(*network(np.random.default_rng(0), quantized))


@pytest.mark.parametrize("off", [2, -3])
def test_an_engine_that_computes_wrongly_is_found(monkeypatch, off: int):
    real = engine.Engine.run

    def wrong(self, picture, as_bytes):
        made = real(self, picture, as_bytes).copy()
        made[3, 3, 0] = np.clip(int(made[3, 3, 0]) + off, 0, 255) if 3 < made[3, 3, 0] < 252 else 128
        return made

    monkeypatch.setattr(engine.Engine, "run", wrong)
    found = check_attention()
    assert found.status == "fail"
    assert f"seed {found.facts['seed']}" in found.found


def test_many_small_differences_are_found(monkeypatch):
    real = engine.Engine.run
    monkeypatch.setattr(engine.Engine, "run", lambda self, picture, as_bytes: real(self, picture, as_bytes) ^ 1)
    assert check_attention().status == "fail"


def test_without_the_extension_there_is_nothing_to_check(no_extension: None):
    assert attention.check_attention().status == "skip"

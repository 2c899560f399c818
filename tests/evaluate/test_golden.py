from __future__ import annotations

import json

import numpy as np
import pytest

from qsr.evaluate import golden, metrics


@pytest.mark.drill("D6")
def test_this_machine_measures_as_it_should():
    assert golden.check() == []


@pytest.mark.drill("D6")
def test_eight_pairs_and_twelve_protocols_are_stored():
    stored = json.loads(golden.FILE.read_text())
    assert len(stored) == 8
    assert {len(values) for values in stored.values()} == {12}
    assert all(output.dtype == truth.dtype == np.uint8 for output, truth in golden.pairs().values())


def test_a_wrong_metric_is_noticed(monkeypatch):
    monkeypatch.setattr(metrics, "C1", metrics.C1 * 1.001)
    problems = golden.check()
    assert problems
    assert all(problem.startswith("SSIM of ") for problem in problems)


def test_a_hidden_infinite_psnr_is_noticed(monkeypatch):
    same = np.zeros((20, 21, 3), np.uint8)
    spoiled = {**golden.pairs(), "black_white": (same, same)}
    monkeypatch.setattr(golden, "pairs", lambda: spoiled)
    assert any("found None" in problem for problem in golden.check())

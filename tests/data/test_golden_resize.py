"""The stored bytes of the resizer, and that they are not only the resizer's own opinion."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qsr.data import golden_resize, resize
from tests.data.test_resize import _by_definition


@pytest.mark.drill("D7")
def test_both_implementations_give_the_stored_bytes(drill):
    pytest.importorskip("numba")
    assert golden_resize.check(["numpy", "numba"]) == []
    drill.count(2 * len(golden_resize.measure()))


def test_every_picture_is_stored_and_no_other():
    stored = json.loads(golden_resize.FILE.read_text())
    assert list(stored) == list(golden_resize.measure())
    assert len(stored) == 21


def test_stored_bytes_follow_the_definition():
    """Loops over MATLAB's formula, rounded between the axes; a tie may fall either way."""
    stored, ties = json.loads(golden_resize.FILE.read_text()), 0
    for name, picture in golden_resize.pictures().items():
        for scale in golden_resize.SCALES:
            for key, factor in ((f"{name} x{scale}", scale), (f"{name} /{scale}", 1 / scale)):
                if key not in stored:
                    continue
                source = picture if factor > 1 else resize.modcrop(picture, scale)
                rows = _by_definition(source, factor)
                wanted = _by_definition(rows.transpose(1, 0, 2), factor).transpose(1, 0, 2)
                off = np.abs(golden_resize.decoded(stored[key]) - wanted)
                assert off.max() <= 1, key
                ties += int(off.sum())
    assert ties <= 20


def test_what_is_written_is_read_again(tmp_path):
    golden_resize.write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == golden_resize.FILE.read_text()


@pytest.mark.drill("D7")
@pytest.mark.parametrize("how", ["no rounding between the axes", "halves down", "another kernel", "a missing picture"])
def test_another_resizer_is_noticed(monkeypatch, how, drill):
    real = resize.imresize
    if how == "no rounding between the axes":
        monkeypatch.setattr(resize, "imresize", lambda x, scale, mode, backend: real(x, scale, "float", backend))
    elif how == "halves down":
        monkeypatch.setattr(resize, "_rounded", _halves_down)
    elif how == "another kernel":
        monkeypatch.setattr(resize, "_cubic", lambda x: np.maximum(1 - np.abs(x) / 2, 0))
        resize.taps.cache_clear()
    else:
        monkeypatch.setattr(golden_resize, "SCALES", (2, 3))
    problems = golden_resize.check()
    resize.taps.cache_clear()
    assert problems
    assert all(" by numpy: " in problem for problem in problems)
    drill.count()


def _halves_down(total, dtype):
    if dtype is np.float64:
        return total
    return np.clip(np.ceil(total - 0.5), 0, 255).astype(np.uint8)

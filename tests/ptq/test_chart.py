from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from qsr.errors import EnvironmentFault
from qsr.ptq.chart import draw
from qsr.ptq.sensitivity import FULL, Loss, Sensitivity


def table(*rows: Loss) -> Sensitivity:
    return Sensitivity("m", "pictures", 4, 8, 30.0, {}, rows)


def ink(found: Sensitivity) -> int:
    """Pixels that have a colour (text, axes and background are grey)."""
    picture = np.asarray(Image.open(io.BytesIO(draw(found))).convert("RGB")).astype(int)
    return int((picture.max(2) - picture.min(2) > 40).sum())


def test_a_longer_bar_for_a_larger_loss() -> None:
    pytest.importorskip("matplotlib")
    fixed = Loss("other", 2, 2, 25.0, 5.0, 30.0)
    small = ink(table(Loss("body.0", 2, 2, 29.99, 0.01, 0.1), fixed))
    large = ink(table(Loss("body.0", 2, 2, 26.0, 4.0, 20.0), fixed))
    assert large > 1.2 * small > 0


def test_gains_and_single_sides_can_be_drawn() -> None:
    pytest.importorskip("matplotlib")
    assert draw(table(Loss("a", 4, FULL, 30.1, -0.1, 0.2), Loss("a", FULL, 4, 29.0, 1.0, 2.0)))[:4] == b"\x89PNG"


def test_without_matplotlib_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EnvironmentFault, match="needs matplotlib"):
        draw(table(Loss("a", 2, 2, 29.0, 1.0, 2.0)))

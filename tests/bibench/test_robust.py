"""Networks and bicubic on corrupted pictures."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsr.bibench import robust
from qsr.bibench.cells import Cell, cells
from qsr.data.benchmark import open_set
from qsr.data.corrupt import corrupt
from qsr.data.image import read_rgb
from qsr.data.resize import bicubic_upscale
from qsr.evaluate.metrics import psnr
from tests.bibench.bench_drill import work


def bicubic(folder: Path, data: Path, **changes: Any) -> Cell:
    return cells(work(folder, data, **changes), "robust")[0]


def test_the_same_numbers_as_by_hand(data: Path, tmp_path: Path) -> None:
    cell = bicubic(tmp_path, data)
    found = robust.measure(cell)
    pairs = list(open_set("Held", 2, data))
    for place, severity in enumerate((1, 5)):
        by_hand = [
            psnr(bicubic_upscale(corrupt(pair.lr, "gaussian_noise", severity, seed=0, name=pair.name), 2), pair.hr, crop=2)
            for pair in pairs
        ]
        assert found["corrupted"]["gaussian_noise"][place] == pytest.approx(statistics.fmean(by_hand))
    noise = found["corrupted"]["gaussian_noise"]
    assert found["clean"] > noise[0] > noise[1]
    assert set(found["corrupted"]) == {"gaussian_noise", "brightness"}


def test_two_sets_count_by_their_pictures(data: Path, tmp_path: Path) -> None:
    setting = {"sets": ["Held", "Out"], "kinds": ["gaussian_noise"], "severities": [3]}
    both = robust.measure(bicubic(tmp_path, data, robust=setting))
    by_set = both["sets"]
    assert (by_set["Held"]["pictures"], by_set["Out"]["pictures"]) == (2, 1)
    assert both["clean"] == pytest.approx((2 * by_set["Held"]["clean"] + by_set["Out"]["clean"]) / 3)
    own, other = (by_set[name]["corrupted"]["gaussian_noise"][0] for name in ("Held", "Out"))
    assert both["corrupted"]["gaussian_noise"] == pytest.approx([(2 * own + other) / 3])


def test_pictures_are_kept_with_what_was_put_in(data: Path, tmp_path: Path) -> None:
    cell = bicubic(tmp_path, data)
    kept = robust.measure(cell)["pictures"]["Held/0"]
    assert set(kept) == {*("clean", "gaussian_noise", "brightness"), *("lr_clean", "lr_gaussian_noise", "lr_brightness")}
    lr = open_set("Held", 2, data).pair(0).lr
    shown = read_rgb(cell.folder / kept["lr_gaussian_noise"])
    assert np.array_equal(shown, corrupt(lr, "gaussian_noise", robust.SHOWN, seed=0, name="0"))
    assert np.array_equal(read_rgb(cell.folder / kept["gaussian_noise"]), bicubic_upscale(shown, 2))
    assert np.array_equal(read_rgb(cell.folder / kept["lr_clean"]), lr)


def test_a_set_that_is_opened_corrupted_leaves_the_other_alone(data: Path, tmp_path: Path) -> None:
    whole = open_set("Held", 2, data)
    before = whole.pair(0).lr.copy()
    dark = robust.Corrupted(whole, "contrast", 5, 0, "cifar")
    assert not np.array_equal(dark.pair(0).lr, before)
    assert np.array_equal(whole.pair(0).lr, before)
    assert np.array_equal(dark.pair(0).hr, whole.pair(0).hr)
    assert (len(dark), dark.name, dark.scale) == (2, "Held", 2)

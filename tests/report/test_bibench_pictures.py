"""The patches of the benchmark's page."""

from __future__ import annotations

import numpy as np
import pytest

from qsr.report.bibench_pictures import SIDE, _middle, pictures
from tests.report.example_bench import example, write_pictures


def test_the_middle_of_a_picture_or_all_of_a_small_one() -> None:
    picture = np.arange(100 * 60 * 3, dtype=np.uint32).reshape(100, 60, 3)
    patch = _middle(picture, SIDE)
    assert patch.shape == (32, 32, 3)
    assert np.array_equal(patch, picture[34:66, 14:46])
    assert _middle(picture, 80).shape == (80, 60, 3)


def test_a_family_without_pictures_is_left_out(tmp_path: object) -> None:
    bench = example()
    bench["families"]["other"] = {"label": "Other"}
    write_pictures(tmp_path, bench)  # type: ignore[arg-type]
    drawn = pictures(bench, tmp_path)  # type: ignore[arg-type]
    assert drawn is not None
    assert "Other x2" not in drawn
    for cell in bench["cells"].values():
        cell["values"].pop("pictures", None)
    with pytest.raises(KeyError):
        pictures(bench, tmp_path)  # type: ignore[arg-type]
    bench["cells"] = {}
    assert pictures(bench, tmp_path) is None  # type: ignore[arg-type]

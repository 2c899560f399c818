from __future__ import annotations

import builtins
import json

import pytest

from qsr.data.image import read_rgb
from qsr.errors import DataError, EnvironmentFault
from qsr.report.curves import read_curves, write_curves

ROWS = [
    {"iter": 10, "lr": 1e-3, "l_pix": 0.5, "time": 0.1, "data_wait": 0.0},
    {"iter": 20, "lr": 1e-3, "l_pix": 0.25, "grad_norm": 3.0, "time": 0.1, "data_wait": 0.0},
    {"iter": 20, "validation": {"Set5": {"psnr_y": 31.5, "ssim_y": 0.9}}, "protocol": "sr-y-crop2-uint8", "best": True},
    {"iter": 40, "validation": {"Set5": {"psnr_y": 32.5, "ssim_y": 0.91}}, "protocol": "sr-y-crop2-uint8", "best": False},
]


@pytest.fixture
def experiment(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def test_points_by_term_and_set(experiment):
    curves = read_curves(experiment / "metrics.jsonl")
    assert curves.losses == {"l_pix": [(10, 0.5), (20, 0.25)]}
    assert curves.psnr == {"Set5": [(20, 31.5), (40, 32.5)]}


def test_the_picture_is_written(experiment):
    pytest.importorskip("matplotlib")
    path = write_curves(experiment)
    assert path == experiment / "visualization" / "curves.png"
    assert read_rgb(path).shape == (480, 1200, 3)


def test_without_matplotlib_it_says_so(experiment, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EnvironmentFault, match="matplotlib"):
        write_curves(experiment)


def test_a_damaged_line_is_named(experiment):
    with open(experiment / "metrics.jsonl", "a") as handle:
        handle.write('{"iter": 50, "l_p')
    with pytest.raises(DataError, match=r"metrics.jsonl:5"):
        read_curves(experiment / "metrics.jsonl")
    with pytest.raises(DataError, match="no such file"):
        read_curves(experiment / "absent.jsonl")

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from qsr.cli.data_verb import command
from qsr.data.image import read_rgb
from qsr.errors import QsrError


def _run(*arguments: object) -> str:
    result = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def hr(tmp_path) -> Path:
    folder = tmp_path / "set" / "HR"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 256, (24, 36, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


def test_prepare_check_and_pack(hr, tmp_path):
    lr = hr.parent / "LR_bicubic" / "X2"
    assert _run("degrade", hr, lr, "--scale", 2) == f"2 LR pictures written to {lr}\n"
    assert read_rgb(lr / "ax2.png").shape == (12, 18, 3)
    assert _run("check", hr.parent).startswith("4 pictures, 2 pairs: no problems\nmanifest written: ")
    assert json.loads((hr / "manifest.json").read_text())["files"]["a.png"]["shape"] == [24, 36, 3]
    assert _run("subimages", hr, tmp_path / "sub", "--crop", 24, "--step", 12) == f"4 pieces written to {tmp_path / 'sub'}\n"
    assert _run("lmdb", tmp_path / "sub", tmp_path / "sub.lmdb") == f"4 pictures in {tmp_path / 'sub.lmdb'}\n"
    assert _run("check", tmp_path / "sub.lmdb") == "4 pictures: no problems\n"


def test_float_mode_is_an_option(hr, tmp_path):
    _run("degrade", hr, tmp_path / "exact", "-s", 2)
    _run("degrade", hr, tmp_path / "float", "-s", 2, "--float")
    assert not np.array_equal(read_rgb(tmp_path / "exact" / "ax2.png"), read_rgb(tmp_path / "float" / "ax2.png"))


def test_problems_are_all_listed_with_exit_code_3(hr):
    for name in ("a", "b"):
        (hr / f"{name}.png").write_bytes((hr / f"{name}.png").read_bytes()[:-5])
    with pytest.raises(QsrError) as caught:
        _run("check", hr.parent)
    assert caught.value.exit_code == 3
    assert str(caught.value).count("cannot decode: cut short") == 2


def test_list_and_add(hr, tmp_path, monkeypatch):
    monkeypatch.delenv("QSR_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert _run("add", "mine", "--from", hr.parent) == f"2 pictures in {Path('datasets/mine')}\n"
    assert _run("list").splitlines()[1].split()[:3] == ["Set5", "benchmark", "5"]
    assert "Manga109 Dataset" in _run("list", "manga109")
    with pytest.raises(QsrError) as caught:
        _run("add", "Set5")
    assert caught.value.exit_code == 2
    assert "--from" in str(caught.value)


def test_corrupt(hr, tmp_path):
    out = tmp_path / "out"
    assert _run("corrupt", hr, "-o", out) == f"110 pictures written to {out}\n"
    some = tmp_path / "some"
    choice = ("--kinds", "jpeg, shot_noise", "--severities", "5,2", "--table", "imagenet", "--seed", 3)
    assert _run("corrupt", hr, "-o", some, *choice) == f"8 pictures written to {some}\n"
    assert sorted(str(path.relative_to(some)) for path in some.rglob("*.png"))[-1] == "shot_noise/5/b.png"
    report = json.loads((some / "corrupt.json").read_text())
    assert (report["seed"], report["table"], report["settings"]["jpeg"]) == (3, "imagenet", {"5": 7, "2": 18})
    assert _run("check", some / "jpeg" / "5").startswith("2 pictures: no problems")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--kinds", "jpg"), 2, "no corruption 'jpg' (expected some of gaussian_noise, "),
        (("--kinds", " ,"), 2, "no corruption is chosen"),
        (("--severities", "1,7"), 2, "severity 7 of gaussian_noise (expected 1, 2, 3, 4 or 5)"),
        (("--severities", "1-5"), 2, "--severities: found '1-5', expected numbers from 1 to 5 by comma"),
    ],
)
def test_corrupt_refuses_in_one_line(arguments, code, said, hr, tmp_path):
    with pytest.raises(QsrError) as caught:
        _run("corrupt", hr, "-o", tmp_path / "out", *arguments)
    assert caught.value.exit_code == code
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_corrupt_overwrites_nothing_and_leaves_nothing_half_written(hr, tmp_path):
    with pytest.raises(QsrError, match="HR: is there already") as caught:
        _run("corrupt", hr, "-o", hr)
    assert caught.value.exit_code == 3
    (hr / "b.png").write_bytes((hr / "b.png").read_bytes()[:-5])
    with pytest.raises(QsrError, match=r"b\.png: cannot decode") as caught:
        _run("corrupt", hr, "-o", tmp_path / "out")
    assert caught.value.exit_code == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]
    for wrong in (("--table", "coco"), ("--seed", "-1")):
        assert CliRunner().invoke(command, ["corrupt", str(hr), "-o", str(tmp_path / "out"), *wrong]).exit_code == 2


def test_interrupt_leaves_only_whole_files(tmp_path, repository):
    # noise compresses badly, so that the verb is still at work when the signal comes
    source = tmp_path / "HR"
    source.mkdir()
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)).save(buffer, "PNG")
    for k in range(150):
        (source / f"p{k:03d}.png").write_bytes(buffer.getvalue())
    target = tmp_path / "sub"
    # a shell that runs the tests in the background hands down an ignored SIGINT
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from qsr.cli.data_verb import command; command()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, "subimages", str(source), str(target), "--crop", "200", "--step", "200"],
        env={**os.environ, "PYTHONPATH": str(repository)},
        stderr=subprocess.PIPE,
    )
    for _ in range(600):
        if target.is_dir() and any(target.glob("*.png")):
            break
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode != 0
    written = list(target.iterdir())
    assert 0 < len(written) < 600
    assert all(path.suffix == ".png" and read_rgb(path).shape == (200, 200, 3) for path in written)


def test_help_loads_nothing_heavy(repository):
    program = "import sys, qsr.cli.data_verb; print({'numpy', 'cv2', 'torch', 'numba', 'PIL'} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "set()"

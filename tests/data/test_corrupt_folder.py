from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qsr.data import corrupt_folder as module
from qsr.data.corrupt import KINDS, corrupt
from qsr.data.corrupt_folder import corrupt_folder
from qsr.data.image import list_pictures, read_rgb
from qsr.data.manifest import digest
from qsr.errors import DataError, EnvironmentFault, OptionsError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_picture_in_every_kind_and_severity(make_folder, tmp_path):
    lr, seen = make_folder("LR", a=(12, 16), b=(20, 8)), []
    assert corrupt_folder(lr, tmp_path / "out", notify=lambda done, total: seen.append((done, total))) == 2 * 11 * 5
    assert seen == [(1, 2), (2, 2)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*KINDS, "corrupt.json"])
    for kind in KINDS:
        for severity in range(1, 6):
            pictures = list_pictures(tmp_path / "out" / kind / str(severity))
            assert [path.name for path in pictures] == ["a.png", "b.png"]
            for path in pictures:
                expected = corrupt(read_rgb(lr / path.name), kind, severity, seed=0, name=path.stem)
                assert np.array_equal(read_rgb(path), expected)


def test_the_report_says_how_it_came_about(make_folder, tmp_path):
    chosen = ["saturate", "shot_noise", "saturate"]
    count = corrupt_folder(make_folder("LR", a=(12, 16)), tmp_path / "out", chosen, [5, 1], table="imagenet", seed=7)
    report = json.loads((tmp_path / "out" / "corrupt.json").read_text())
    assert (report["format"], report["seed"], report["table"]) == (1, 7, "imagenet")
    assert report["settings"] == {"saturate": {"5": [20, 0.2], "1": [0.3, 0]}, "shot_noise": {"5": 3, "1": 60}}
    assert report["versions"]["numpy"] == np.__version__
    assert all(report["versions"][name] for name in ("qsr", "pillow", "libjpeg"))
    places = [f"{kind}/{severity}/a.png" for kind in ("saturate", "shot_noise") for severity in (1, 5)]
    assert list(report["pixels_blake2b"]) == places
    assert len(places) == count
    for place, text in report["pixels_blake2b"].items():
        assert digest(read_rgb(tmp_path / "out" / place).tobytes()) == text


def test_other_pictures_orders_threads_and_processes_change_nothing(make_folder, tmp_path, monkeypatch, repository):
    lr = make_folder("LR", a=(12, 16), b=(20, 8), c=(9, 9))
    kinds = ["shot_noise", "gaussian_noise", "jpeg", "defocus_blur"]
    corrupt_folder(lr, tmp_path / "all", kinds, [1, 3])
    program = "import sys; from pathlib import Path; from qsr.data.corrupt_folder import *; "
    program += f"corrupt_folder(Path(sys.argv[1]), Path(sys.argv[2]), {kinds[::-1]}, [3, 1])"
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    subprocess.run([sys.executable, "-c", program, str(lr), str(tmp_path / "again")], env=environment, check=True)
    (lr / "a.png").unlink()
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    corrupt_folder(lr, tmp_path / "some", kinds, [3])
    every, again, some = (contents(tmp_path / name) for name in ("all", "again", "some"))
    for pictures in (every, again, some):
        pictures.pop("corrupt.json")
    assert again == every
    assert some == {place: data for place, data in every.items() if "/3/" in place and "a.png" not in place}


def test_words_are_checked_before_anything_is_read(make_folder, tmp_path):
    lr = make_folder("LR", a=(12, 16))
    for arguments, said in (
        ((["fog"], [1]), "no corruption 'fog'"),
        ((["jpeg", "fog"], [1]), "no corruption 'fog'"),
        ((KINDS, [1, 6]), "severity 6"),
        (([], [1]), "no corruption is chosen .kinds: gaussian_noise"),
        ((KINDS, []), "no corruption is chosen"),
    ):
        with pytest.raises(OptionsError, match=said):
            corrupt_folder(tmp_path / "nowhere", tmp_path / "out", *arguments)
    with pytest.raises(OptionsError, match="no table 'coco'"):
        corrupt_folder(lr, tmp_path / "out", table="coco")
    assert [path.name for path in tmp_path.iterdir()] == ["LR"]


def test_what_is_there_is_kept(make_folder, tmp_path):
    (tmp_path / "out").mkdir()
    for source in (make_folder("LR", a=(12, 16)), tmp_path / "nowhere"):  # said before pictures are looked for
        with pytest.raises(DataError, match="out: is there already"):
            corrupt_folder(source, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_bad_folder_leaves_nothing(make_folder, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        corrupt_folder(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no pictures"):
        corrupt_folder(tmp_path / "empty", tmp_path / "out")
    lr = make_folder("LR", a=(12, 16), b=(20, 8))
    (lr / "b.png").write_bytes((lr / "b.png").read_bytes()[:-5])
    with pytest.raises(DataError, match=r"b\.png: cannot decode: cut short"):
        corrupt_folder(lr, tmp_path / "out")
    (lr / "b.png").rename(lr / "a.bmp")
    with pytest.raises(DataError, match="share the name 'a'"):
        corrupt_folder(lr, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LR", "empty"]


def test_a_picture_too_long_for_jpeg_is_named(make_folder, tmp_path):
    lr = make_folder("LR", long=(1, 65_501))
    with pytest.raises(DataError, match=r"long\.png: 65501 x 1 pixels, and JPEG has"):
        corrupt_folder(lr, tmp_path / "out", ["brightness", "jpeg"], [1])
    assert not (tmp_path / "out").exists()
    assert corrupt_folder(lr, tmp_path / "out", ["brightness"], [1]) == 1


@pytest.mark.parametrize("fault", [KeyboardInterrupt, EnvironmentFault("disk full")])
def test_an_interrupt_leaves_nothing(fault, make_folder, tmp_path, monkeypatch):
    lr, written = make_folder("LR", a=(12, 16), b=(20, 8)), []

    def write(path: Path, picture: np.ndarray) -> None:
        written.append(path)
        if len(written) == 30:
            raise fault
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")

    monkeypatch.setattr(module, "write_png", write)
    with pytest.raises(KeyboardInterrupt if fault is KeyboardInterrupt else EnvironmentFault):
        corrupt_folder(lr, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["LR"]
    assert len(written) >= 30


def test_noise_follows_the_name_without_suffix(make_folder, tmp_path, encode, picture):
    lr = make_folder("LR", a=(12, 16))
    corrupt_folder(lr, tmp_path / "png", ["gaussian_noise"], [1])
    (lr / "a.png").unlink()
    (lr / "a.bmp").write_bytes(encode(picture(12, 16, 0), "BMP"))
    corrupt_folder(lr, tmp_path / "bmp", ["gaussian_noise"], [1])
    assert contents(tmp_path / "bmp") == contents(tmp_path / "png")

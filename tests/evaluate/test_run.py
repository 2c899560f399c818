from __future__ import annotations

import pytest

from qsr.errors import DataError
from qsr.evaluate import subject as subjects
from qsr.evaluate.run import run_test
from qsr.evaluate.subject import HowToRun


def test_rows_per_set_and_scale(pictures):
    outcome = run_test(subjects.bicubic((2, 4)), ["mine"], data_root=pictures)
    assert [(row["dataset"], row["scale"], len(row["images"])) for row in outcome.results["rows"]] == [
        ("mine", 2, 3),
        ("mine", 4, 3),
    ]
    assert outcome.skipped == ()


def test_a_missing_set_is_said_once_and_skipped(pictures):
    outcome = run_test(subjects.bicubic((2, 3)), ["Urban100", "mine"], data_root=pictures)
    assert [row["dataset"] for row in outcome.results["rows"]] == ["mine", "mine"]
    assert len(outcome.skipped) == 1
    assert outcome.skipped[0].startswith("Urban100: not found below")


def test_no_set_at_all_is_an_error(tmp_path, monkeypatch):
    monkeypatch.delenv("QSR_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"Set5: not found.*Manga109: not found"):
        run_test(subjects.bicubic((2,)), data_root=tmp_path)


def test_a_damaged_picture_stops_the_run_and_is_named(tmp_path, pictures):
    folder = tmp_path / "mine"
    folder.mkdir()
    for path in (pictures / "mine" / "HR").iterdir():
        content = path.read_bytes()
        (folder / path.name).write_bytes(content[: len(content) // 2] if path.name == "p1.png" else content)
    with pytest.raises(DataError, match=r"p1\.png"):
        run_test(subjects.bicubic((2,)), [str(folder)])


def test_an_option_files_own_test_sets(pictures, make_options, save, tmp_path):
    folder = save(make_options())
    kind = "PairedImageDataset"
    datasets = {
        "test_1": {"name": "own", "type": kind, "dataroot_gt": str(pictures / "mine" / "HR")},
        "test_2": {"name": "gone", "type": kind, "dataroot_gt": str(tmp_path / "gone")},
    }
    options = make_options(path={"pretrain_network_g": str(folder)}, datasets=datasets)
    subject = subjects.from_options(options, HowToRun("cpu"))
    outcome = run_test(subject)
    assert [row["dataset"] for row in outcome.results["rows"]] == ["own"]
    assert outcome.skipped == (f"gone: no {tmp_path / 'gone'}",)
    named = run_test(subject, ["mine"], data_root=pictures)
    assert [row["dataset"] for row in named.results["rows"]] == ["mine"]


def test_progress_and_pictures(pictures, tmp_path):
    told = []
    run_test(subjects.bicubic((2,)), ["mine"], data_root=pictures, save_to=tmp_path, notify=told.append)
    assert [(at.picture, at.done, at.of) for at in told] == [("p0", 1, 3), ("p1", 2, 3), ("p2", 3, 3)]
    assert len(list((tmp_path / "mine").glob("*.png"))) == 3

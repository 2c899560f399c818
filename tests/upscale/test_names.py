"""Names are hostile: dashes, new lines, bytes that are no text, links in circles and links that lead out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qsr.errors import DataError, OptionsError
from qsr.upscale.names import Job, check_inside, plan, printable


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def pairs(made, folder: Path) -> list[tuple[str, str]]:
    return [(os.path.relpath(job.source, folder), os.path.relpath(job.target, folder)) for job in made.jobs]


def test_one_file_goes_beside_itself(tmp_path: Path) -> None:
    touch(tmp_path, "a.b.jpg")
    assert plan([str(tmp_path / "a.b.jpg")], None, 4, None).jobs == [Job(tmp_path / "a.b.jpg", tmp_path / "a.b_x4.png")]


@pytest.mark.parametrize(
    ("out", "wanted", "target"),
    [
        ("big.webp", None, "big.webp"),
        ("big", None, "big/a_x2.png"),
        ("big.d/", "jpg", "big.d/a_x2.jpg"),
        ("b.TIF", "tiff", "b.TIF"),
    ],
)
def test_out_is_a_file_or_a_folder(tmp_path: Path, out: str, wanted: str | None, target: str) -> None:
    touch(tmp_path, "a.png")
    assert pairs(plan([str(tmp_path / "a.png")], f"{tmp_path}/{out}", 2, wanted), tmp_path) == [("a.png", target)]


@pytest.mark.parametrize(
    ("out", "wanted", "message"),
    [("a.gif", None, "cannot write .gif files"), ("a.jpg", "png", "contradict"), ("o", "gif", "--format is 'gif'")],
)
def test_an_out_that_cannot_be_meant_is_refused(tmp_path: Path, out: str, wanted: str | None, message: str) -> None:
    touch(tmp_path, "b.png")
    with pytest.raises(OptionsError, match=message):
        plan([str(tmp_path / "b.png")], f"{tmp_path}/{out}", 2, wanted)


def test_several_results_need_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png", "there.png")
    with pytest.raises(OptionsError, match="expected a folder"):
        plan([str(tmp_path / "a.png"), str(tmp_path / "b.png")], str(tmp_path / "there.png"), 2, None)


def test_a_folder_keeps_its_tree_and_hidden_files_stay_out(tmp_path: Path) -> None:
    folder = touch(tmp_path, "in/b.png", "in/a.JPG", "in/notes.txt", "in/.c.png", "in/deep/er/d.webp", "in/.git/e.png") / "in"
    flat = [("in/a.JPG", "out/a_x2.png"), ("in/b.png", "out/b_x2.png")]
    assert pairs(plan([str(folder)], str(tmp_path / "out"), 2, None), tmp_path) == flat
    deep = [*flat, ("in/deep/er/d.webp", "out/deep/er/d_x2.png")]
    assert pairs(plan([str(folder)], str(tmp_path / "out"), 2, None, recursive=True), tmp_path) == deep


def test_several_folders_keep_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.png", "two/a.png", "b.png")
    made = plan([str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path / "b.png")], str(tmp_path / "out"), 2, None)
    assert pairs(made, tmp_path) == [
        ("one/a.png", "out/one/a_x2.png"),
        ("two/a.png", "out/two/a_x2.png"),
        ("b.png", "out/b_x2.png"),
    ]


def test_patterns_are_expanded_and_names_with_brackets_are_not_patterns(tmp_path: Path) -> None:
    touch(tmp_path, "a1.png", "a2.png", "b.png", "a[1].png", "a.txt")
    assert pairs(plan([f"{tmp_path}/a[12].*"], f"{tmp_path}/o/", 2, None), tmp_path) == [
        ("a1.png", "o/a1_x2.png"), ("a2.png", "o/a2_x2.png"),
    ]  # fmt: skip
    assert pairs(plan([f"{tmp_path}/a[1].png"], f"{tmp_path}/o/", 2, None), tmp_path) == [("a[1].png", "o/a[1]_x2.png")]


def test_results_are_no_inputs(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a_x2.png", "out/b.png")
    made = plan([str(tmp_path)], None, 2, None)
    assert pairs(made, tmp_path) == [("a.png", "a_x2.png")]
    assert made.left_out == [tmp_path / "a_x2.png"]
    # the output folder inside of the input folder is not walked
    made = plan([str(tmp_path)], str(tmp_path / "out"), 2, None, recursive=True)
    assert ("out/b.png", "out/out/b_x2.png") not in pairs(made, tmp_path)


@pytest.mark.drill("F8")
def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    os.link(tmp_path / "a.png", tmp_path / "same.png")
    for out in ("a.png", "same.png", "./x/../a.png"):
        (tmp_path / "x").mkdir(exist_ok=True)
        made = plan([str(tmp_path / "a.png")], f"{tmp_path}/{out}", 2, None)
        assert made.jobs == []
        assert "overwrite an input" in made.faults[0][1]


def test_names_that_would_be_one_are_kept_apart(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a.jpg", "b.png", "two/b.png")
    assert pairs(plan([str(tmp_path)], f"{tmp_path}/o", 2, "webp"), tmp_path) == [
        ("a.jpg", "o/a_jpg_x2.webp"), ("a.png", "o/a_png_x2.webp"), ("b.png", "o/b_x2.webp"),
    ]  # fmt: skip
    made = plan([f"{tmp_path}/b.png", f"{tmp_path}/two/b.png"], f"{tmp_path}/o", 2, None)
    assert made.jobs == []
    assert [path for path, _ in made.faults] == [tmp_path / "b.png", tmp_path / "two/b.png"]


def test_the_same_input_twice_is_one_job(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    assert len(plan([f"{tmp_path}/a.png", f"{tmp_path}/*.png"], f"{tmp_path}/o", 2, None).jobs) == 1


@pytest.mark.drill("F8")
def test_links_in_circles_are_not_followed(tmp_path: Path) -> None:
    folder = touch(tmp_path, "in/a.png") / "in"
    (folder / "loop").symlink_to(folder)
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "nowhere.png").symlink_to(folder / "gone.png")
    made = plan([str(folder)], f"{tmp_path}/o", 2, None, recursive=True)
    assert pairs(made, tmp_path) == [("in/a.png", "o/a_x2.png")]
    made = plan([str(folder / "self.png"), str(folder / "a.png")], None, 2, None)
    assert [path.name for path, _ in made.faults] == ["self.png"]
    assert len(made.jobs) == 1


@pytest.mark.drill("F8")
def test_what_is_no_file_is_a_fault_and_not_the_end(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.gif")
    os.mkfifo(tmp_path / "pipe.png")
    names = ["pipe.png", "gone.png", "b.gif", "a.png", "nul\0.png"]
    made = plan([f"{tmp_path}/{name}" for name in names], None, 2, None)
    assert [(path.name, why.split(";")[0]) for path, why in made.faults] == [
        ("pipe.png", "not a regular file"), ("gone.png", "no such file or folder"),
        ("b.gif", "not a kind that is read"), ("nul\0.png", "embedded null byte"),
    ]  # fmt: skip
    assert pairs(made, tmp_path) == [("a.png", "a_x2.png")]
    assert pairs(plan([str(tmp_path)], None, 2, None), tmp_path) == [("a.png", "a_x2.png")]


def test_nothing_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures or videos there"):
        plan([str(tmp_path)], None, 2, None)


@pytest.mark.drill("F8")
@pytest.mark.parametrize(
    "name", ["-rf.png", "--out=x.png", "new\nline.png", "ünï ☃.png", os.fsdecode(b"\xff\xfe.png"), "\x1b[31m.png"]
)
def test_odd_names_are_only_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    for made in (plan([name], None, 2, None), plan(["."], None, 2, None)):
        assert [(job.source.name, job.target.name) for job in made.jobs] == [(name, name.removesuffix(".png") + "_x2.png")]
    shown = printable(name)
    assert shown.isprintable()
    shown.encode()


@pytest.mark.drill("F8")
def test_a_link_that_leads_out_of_the_output_folder_is_refused(tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    out.mkdir()
    other.mkdir()
    (out / "deep").symlink_to(other)
    check_inside(out / "new" / "a.png", out)
    check_inside(tmp_path / "beside.png", None)
    with pytest.raises(DataError, match="a link leads out of the output folder"):
        check_inside(out / "deep" / "a.png", out)


def test_videos_keep_their_container(tmp_path: Path) -> None:
    touch(tmp_path, "a.MP4", "b.avi", "c.webm", "d.png")
    assert [job.target.name for job in plan([str(tmp_path)], None, 2, "jpg").jobs] == [
        "a_x2.mp4", "b_x2.mkv", "c_x2.webm", "d_x2.jpg",
    ]  # fmt: skip
    assert plan([f"{tmp_path}/a.MP4"], f"{tmp_path}/o.mkv", 2, None).jobs[0].target.name == "o.mkv"
    with pytest.raises(OptionsError, match="cannot write .avi files"):
        plan([f"{tmp_path}/a.MP4"], f"{tmp_path}/o.avi", 2, None)


def test_same_format(tmp_path: Path) -> None:
    touch(tmp_path, "a.JPG", "b.bmp", "c.tif")
    assert [job.target.name for job in plan([str(tmp_path)], None, 2, "same").jobs] == ["a_x2.JPG", "b_x2.png", "c_x2.tif"]

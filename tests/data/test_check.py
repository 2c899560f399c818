from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

from qsr.data.check import check_set
from qsr.data.image import decode, read_rgb, write_png
from qsr.data.lmdb_writer import write_lmdb
from qsr.data.prepare import degrade_folder
from qsr.errors import DataError

# what Pillow says about damaged TIFF tags on the way to our error
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")

KINDS = ("PNG", "JPEG", "WebP", "WebP-lossy", "BMP", "TIFF", "TIFF-lzw")


@pytest.fixture
def good(make_folder):
    hr = make_folder("set/HR", a=(24, 32), b=(25, 33), c=(40, 24))
    for scale in (2, 4):
        degrade_folder(hr, hr.parent / "LR_bicubic" / f"X{scale}", scale)
    return hr.parent


def test_a_good_set_gets_manifests_and_passes_again(good):
    report = check_set(good)
    assert (report.pictures, report.pairs, report.problems, report.notes) == (9, 6, [], [])
    assert [path.parent.name for path in report.manifests] == ["HR", "X2", "X4"]
    again = check_set(good)
    assert (again.pictures, again.problems, again.manifests) == (9, [], [])


def test_manifest_can_be_left_alone(good):
    assert check_set(good, manifest=False).manifests == []
    assert not list(good.rglob("*.json"))


@pytest.mark.drill("D4")
def test_one_report_lists_every_problem(good, encode, picture):
    hr, x2, x4 = good / "HR", good / "LR_bicubic" / "X2", good / "LR_bicubic" / "X4"
    (hr / "a.png").write_bytes((hr / "a.png").read_bytes()[:-9])  # damaged
    (x2 / "bx2.png").unlink()  # missing
    write_png(x2 / "dx2.png", picture(8, 8))  # extra
    write_png(x4 / "bx4.png", picture(12, 16))  # the size for x2
    write_png(hr / "C.png", picture(40, 24, 9))  # case only
    (hr / "b.jpg").write_bytes(encode(picture(25, 33), "JPEG"))  # the same stem
    (hr / "loop.png").symlink_to(hr / "loop.png")
    report = check_set(good)
    for words in (
        "HR/a.png: cannot decode: cut short",
        "HR/loop.png: cannot read: Too many levels",
        "HR: C.png and c.png differ only in upper and lower case",
        "HR: b.jpg and b.png share one name",
        "X2/bx2: missing; HR b has no LR",
        "X2/dx2.png: no HR belongs to it",
        "X4/bx4.png: is 12x16, but HR b of 25x33 asks for 6x8 at x4",
    ):
        assert any(words in line for line in report.problems), words
    assert report.manifests == []
    with pytest.raises(DataError, match=r"(?s)problems in 12 pictures\n.*a\.png.*bx4\.png"):
        report.raise_if_bad()


def _set(folder, picture, encode, count=7):
    """HR and LR for x2 of `count` pictures p0, p1, ..., written without waiting for the disk."""
    hr, x2 = folder / "HR", folder / "LR_bicubic" / "X2"
    for place in (hr, x2):
        place.mkdir(parents=True)
    for number in range(count):
        (hr / f"p{number}.png").write_bytes(encode(picture(16, 20, number), "PNG"))
        (x2 / f"p{number}x2.png").write_bytes(encode(picture(8, 10, 100 + number), "PNG"))
    return hr, x2


def _plant(kind, name, hr, x2, picture, encode):
    """Do what `kind` says to the pair `name`; what the report has to say of it."""
    if kind == "missing":
        (x2 / f"{name}x2.png").unlink()
        return [f"X2/{name}x2: missing; HR {name} has no LR"]
    if kind == "extra":
        (x2 / f"{name}_morex2.png").write_bytes(encode(picture(8, 10, 55), "PNG"))
        return [f"X2/{name}_morex2.png: no HR belongs to it"]
    if kind == "ratio":
        (x2 / f"{name}x2.png").write_bytes(encode(picture(8, 9, 56), "PNG"))
        return [f"X2/{name}x2.png: is 8x9, but HR {name} of 16x20 asks for 8x10 at x2"]
    if kind == "stem":
        (hr / f"{name}.jpg").write_bytes(encode(picture(16, 20, 57), "JPEG"))
        return [f"HR: {name}.jpg and {name}.png share one name"]
    if kind == "case":
        (hr / f"{name.upper()}.png").write_bytes(encode(picture(16, 20, 58), "PNG"))
        told = f"HR: {name.upper()}.png and {name}.png differ only in upper and lower case"
        return [told, f"X2/{name.upper()}x2: missing; HR {name.upper()} has no LR"]
    if kind == "loop":
        (hr / f"{name}_loop.png").symlink_to(hr / f"{name}_loop.png")
        return [f"HR/{name}_loop.png: cannot read: Too many levels", f"X2/{name}_loopx2: missing; HR {name}_loop has no LR"]
    path = hr / f"{name}.png" if kind == "damaged HR" else x2 / f"{name}x2.png"
    path.write_bytes(path.read_bytes()[:-9])
    return [f"{path.parent.name}/{path.name}: cannot decode: cut short"]


@pytest.mark.drill("D4")
def test_every_fault_that_was_planted_is_listed_and_no_other(drill, tmp_path, picture, encode):
    kinds = ("missing", "extra", "ratio", "stem", "case", "loop", "damaged HR", "damaged LR")
    for number in drill.rounds(push=30, nightly=300):
        root = tmp_path / str(number)
        hr, x2 = _set(root, picture, encode)
        chosen = drill.random.sample(kinds, drill.random.randrange(1, 7))
        expected = [
            line
            for kind, place in zip(chosen, drill.random.sample(range(7), len(chosen)))
            for line in _plant(kind, f"p{place}", hr, x2, picture, encode)
        ]
        report = check_set(root)
        unheard = [words for words in expected if not any(words in line for line in report.problems)]
        if unheard or len(report.problems) != len(expected):
            drill.fail(f"planted {chosen}: not told of {unheard}; told {report.problems}")
        with pytest.raises(DataError) as caught:
            report.raise_if_bad()
        assert caught.value.exit_code == 3
        assert all(words in str(caught.value) for words in expected)
        assert not list(root.rglob("manifest.json")), "a set with faults is not recorded as good"


@pytest.mark.drill("D4")
def test_the_verb_lists_them_all_and_ends_with_3(tmp_path, picture, encode):
    hr, x2 = _set(tmp_path / "set", picture, encode)
    expected = _plant("missing", "p1", hr, x2, picture, encode) + _plant("loop", "p2", hr, x2, picture, encode)
    done = subprocess.run(
        [sys.executable, "-m", "qsr.cli.main", "data", "check", str(tmp_path / "set")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    assert all(words in done.stderr + done.stdout for words in expected)
    assert "Traceback" not in done.stderr


def test_a_good_report_raises_nothing(good):
    check_set(good).raise_if_bad()


def test_lr_elsewhere_needs_its_scale(good, make_folder):
    elsewhere = make_folder("lr", a=(12, 16), b=(12, 16), c=(20, 12))
    assert check_set(good, elsewhere, 2, tmpl="{}").problems == []
    assert check_set(good, elsewhere, 2).pairs == 3
    assert len(check_set(good, elsewhere, 3).problems) == 3
    with pytest.raises(DataError, match="scale of these LR pictures"):
        check_set(good, elsewhere)


def test_a_scale_restricts_what_is_looked_at(good):
    assert check_set(good, scale=2, manifest=False).pictures == 6


@pytest.mark.drill("D1")
@pytest.mark.parametrize("kind", KINDS)
def test_with_a_manifest_every_changed_pixel_is_flagged(kind, tmp_path, picture, encode):
    folder = tmp_path / "HR"
    folder.mkdir()
    path = folder / f"a.{kind.split('-')[0].lower()}"
    data = encode(picture(20, 20), kind)
    path.write_bytes(data)
    assert check_set(folder).problems == []
    wanted = decode(data, "whole")
    rng = random.Random(41)
    missed, flagged = [], 0
    for _ in range(25):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        if check_set(folder).problems:
            flagged += 1
        elif not np.array_equal(read_rgb(path), wanted):
            missed.append(bytes(damaged))
    assert missed == []
    assert flagged == 25  # any flipped bit changes the hash


def test_notes_are_no_problems(tmp_path, picture, encode):
    folder = tmp_path / "HR"
    rgba = np.dstack((picture(8, 8), np.full((8, 8), 9, np.uint8)))
    write_png(folder / "alpha.png", rgba)
    (folder / "wide.png").write_bytes(encode(picture(8, 8), "PNG16"))
    (folder / "named.png").write_bytes(encode(picture(8, 8, 3), "JPEG"))
    write_png(folder / "one.png", picture(9, 9))
    write_png(folder / "two.png", picture(9, 9))
    report = check_set(folder)
    assert report.problems == []
    text = "\n".join(report.notes)
    assert "alpha.png: has an alpha" in text
    assert "wide.png: has 16 bits" in text
    assert "named.png: is a JPEG" in text
    assert "one.png and two.png are the same" in text
    assert len(report.notes) == 4


def test_lmdb_is_checked_too(good, tmp_path):
    write_lmdb(good / "HR", tmp_path / "hr.lmdb")
    assert check_set(tmp_path / "hr.lmdb").pictures == 3
    meta = tmp_path / "hr.lmdb" / "meta_info.txt"
    lines = meta.read_text().splitlines(keepends=True)
    meta.write_text("".join(lines[:-1]).replace("24,32", "24,31"))
    problems = check_set(tmp_path / "hr.lmdb").problems
    assert any("decoded to 24x32" in line for line in problems)
    assert any("3 entries, but meta_info.txt lists 2" in line for line in problems)

"""The batch: what is done is skipped, what fails is counted, what is written is whole."""

from __future__ import annotations

import errno
import importlib.util
import io
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from upscale_fakes import Nearest, colours, larger, profile

from qsr.data.image import read_image
from qsr.upscale import batch, large, save, target
from qsr.upscale.batch import How, Outcome, Summary, clean, run
from qsr.upscale.enlarge import Way
from qsr.upscale.names import Job, plan
from qsr.upscale.save import mark_of

HOW = How("x2, model abc")


def write(folder: Path, *names: str) -> Path:
    """Pictures as their names say: grey, alpha, palette, 16 bits, turned, broken, cut."""
    for number, name in enumerate(names):
        path = folder / name
        pixels = colours(20, 30, seed=number)
        if "grey" in name:
            Image.fromarray(pixels[:, :, 0]).save(path)
        elif "alpha" in name:
            Image.fromarray(colours(20, 30, 4)).save(path)
        elif "palette" in name:
            Image.fromarray(pixels).quantize(16).save(path)
        elif "deep" in name:
            with open(path, "wb") as handle:
                save.save(handle, save.Picture(colours(20, 30, dtype=np.uint16)), "tiff" if ".tif" in name else "png", "")
        elif "turned" in name:
            exif = Image.Exif()
            exif[0x0112] = 6
            Image.fromarray(pixels).save(path, exif=exif, icc_profile=profile())
        elif "broken" in name:
            path.write_bytes(b"\x89PNG, said the name")
        else:
            Image.fromarray(pixels).save(path)
        if "cut" in name:
            path.write_bytes(path.read_bytes()[:-30])
    return folder


def done(network: Nearest, folder: Path, out: Path | None = None, how: How = HOW, wanted: str | None = None) -> list[Outcome]:
    made = plan([str(folder)], None if out is None else str(out), network.scale, wanted)
    outcomes: list[Outcome] = []
    assert run(network, made.jobs, replace(how, root=made.root), outcomes.append) == outcomes
    return outcomes


def states(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.job.source.name: outcome.state for outcome in outcomes}


def test_a_folder_of_everything(network: Nearest, pictures: Path, tmp_path: Path) -> None:
    write(pictures, "alpha.png", "broken.png", "cut.jpg", "deep.png", "deep2.tif", "grey.png", "palette.png", "turned.jpg")
    outcomes = done(network, pictures, tmp_path / "out")
    failed = {name for name, state in states(outcomes).items() if state == "failed"}
    assert failed == {"broken.png", "cut.jpg"}
    assert sorted(os.listdir(tmp_path / "out")) == sorted(
        f"{Path(name).stem}_x2.png" for name in os.listdir(pictures) if name not in failed
    )
    shapes = {name: read_image(tmp_path / "out" / f"{name}_x2.png") for name in ("alpha", "deep", "deep2", "grey", "palette")}
    assert {name: (made.shape, made.dtype.name) for name, made in shapes.items()} == {
        "alpha": ((40, 60, 4), "uint8"), "deep": ((40, 60, 3), "uint16"), "deep2": ((40, 60, 3), "uint16"),
        "grey": ((40, 60, 1), "uint8"), "palette": ((40, 60, 3), "uint8"),
    }  # fmt: skip
    assert np.array_equal(shapes["deep"], larger(colours(20, 30, dtype=np.uint16)))
    turned = Image.open(tmp_path / "out" / "turned_x2.png")
    assert turned.size == (40, 60)
    assert turned.getexif()[0x0112] == 1
    assert turned.info["icc_profile"] == profile()
    summary = Summary.of(outcomes, faults=1)
    assert (summary.done, summary.failed, summary.exit_code) == (6, 3, 3)
    assert summary.line(2.0) == "6 done, 0 skipped, 3 failed in 2.00 s, 0.01 MP/s"


@pytest.mark.drill("M5")
def test_what_is_done_is_skipped(network: Nearest, pictures: Path) -> None:
    write(pictures, "a.png", "b.png")
    assert states(done(network, pictures)) == {"a.png": "done", "b.png": "done"}
    assert mark_of(pictures / "a_x2.png") == HOW.mark
    assert states(done(network, pictures)) == {"a.png": "skipped", "b.png": "skipped"}
    assert len(network.seen) == 2
    # newer sources, other networks and --overwrite are done again
    later = time.time() + 10
    os.utime(pictures / "a.png", (later, later))
    assert states(done(network, pictures)) == {"a.png": "done", "b.png": "skipped"}
    other = replace(HOW, mark="x2, model def")
    assert states(done(network, pictures, how=other))["b.png"] == "done"
    assert states(done(network, pictures, how=replace(other, overwrite=True)))["b.png"] == "done"


def test_a_file_of_someone_elses_is_not_replaced_unasked(network: Nearest, pictures: Path) -> None:
    write(pictures, "a.png")
    out = pictures / "out"
    out.mkdir()
    (out / "a_x2.png").write_bytes(b"precious")
    (failed,) = done(network, pictures, out)
    assert (failed.state, failed.exit_code) == ("failed", 3)
    assert "there is another file of that name (--overwrite replaces it)" in failed.line()
    assert (out / "a_x2.png").read_bytes() == b"precious"
    assert states(done(network, pictures, out, replace(HOW, overwrite=True))) == {"a.png": "done"}


def test_a_full_disk_ends_the_batch_and_leaves_nothing(
    network: Nearest, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(pictures, "a.png", "b.png", "c.png")
    whole = save.save

    def full(handle: io.BufferedWriter, picture: object, *rest: object) -> None:
        if np.array_equal(picture.pixels, larger(colours(20, 30, seed=1))):
            handle.write(b"\x89PNG and some")
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(handle, picture, *rest)

    monkeypatch.setattr(save, "save", full)
    outcomes = done(network, pictures, tmp_path / "out")
    assert states(outcomes) == {"a.png": "done", "b.png": "failed", "c.png": "not tried"}
    assert os.listdir(tmp_path / "out") == ["a_x2.png"]
    assert "No space left on device; needed" in outcomes[1].line()
    summary = Summary.of(outcomes)
    assert (summary.exit_code, summary.not_tried) == (6, 1)
    assert "1 done, 0 skipped, 1 failed, 1 not tried" in summary.line(1)


@pytest.mark.parametrize(
    ("fault", "code", "why"),
    [(MemoryError(), 6, "not enough memory"), (RuntimeError("oh"), 1, "RuntimeError: oh (a bug in qsr)")],
)
def test_whatever_goes_wrong_is_one_files(network: Nearest, pictures: Path, fault: Exception, code: int, why: str) -> None:
    write(pictures, "a.png")
    network.fault = fault
    (outcome,) = done(network, pictures)
    assert (outcome.state, outcome.exit_code) == ("failed", code)
    assert why in outcome.line()
    assert Summary.of([outcome]).exit_code == code
    assert os.listdir(pictures) == ["a.png"]


def test_ctrl_c_ends_it_and_leaves_nothing(network: Nearest, pictures: Path) -> None:
    write(pictures, "a.png")
    network.fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        done(network, pictures)
    assert os.listdir(pictures) == ["a.png"]


@pytest.mark.drill("F8")
def test_the_result_replaces_a_link_and_not_what_it_leads_to(network: Nearest, pictures: Path, tmp_path: Path) -> None:
    write(pictures, "a.png")
    (tmp_path / "precious").write_bytes(b"precious")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_x2.png").symlink_to(tmp_path / "precious")
    assert states(done(network, pictures, out, replace(HOW, overwrite=True))) == {"a.png": "done"}
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (out / "a_x2.png").is_symlink()


@pytest.mark.drill("F8")
def test_a_link_out_of_the_folder_fails_its_file(network: Nearest, pictures: Path, tmp_path: Path) -> None:
    (pictures / "deep").mkdir()
    write(pictures / "deep", "a.png")
    out = tmp_path / "out"
    out.mkdir()
    (out / "deep").symlink_to(tmp_path)
    made = plan([str(pictures)], str(out), 2, None, recursive=True)
    (outcome,) = run(network, made.jobs, replace(HOW, root=made.root), lambda outcome: None)
    assert "a link leads out of the output folder" in outcome.why
    assert sorted(os.listdir(tmp_path)) == ["out", "pictures"]


def test_large_pictures_are_streamed(network: Nearest, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyvips")
    write(pictures, "a.png", "deep.tif")
    monkeypatch.setattr(large, "STREAM_BYTES", 1000)
    monkeypatch.setattr("qsr.upscale.picture.read", None)
    assert states(done(network, pictures, tmp_path)) == {"a.png": "done", "deep.tif": "done"}
    assert np.array_equal(read_image(tmp_path / "a_x2.png"), larger(colours(20, 30)))
    assert mark_of(tmp_path / "a_x2.png") == HOW.mark
    monkeypatch.undo()
    # formats that are written at once are read at once
    monkeypatch.setattr(large, "STREAM_BYTES", 1000)
    assert states(done(network, pictures, tmp_path, wanted="webp"))["a.png"] == "done"


def test_16_bits_without_opencv(network: Nearest, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(pictures, "deep.png")
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cv2" else there(name))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyvips", None)
        (outcome,) = done(network, pictures)
        assert (outcome.exit_code, "pictures of 16 bits need pyvips" in outcome.why) == (6, True)
    pytest.importorskip("pyvips")
    assert states(done(network, pictures)) == {"deep.png": "done"}
    assert np.array_equal(read_image(pictures / "deep_x2.png"), larger(colours(20, 30, dtype=np.uint16)))


def test_larger_than_can_be_read_at_once_needs_pyvips(
    network: Nearest, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(pictures, "a.png")
    monkeypatch.setenv("QSR_MAX_PIXELS", "100")
    monkeypatch.setitem(sys.modules, "pyvips", None)
    (outcome,) = done(network, pictures)
    assert outcome.exit_code == 6
    assert "qsr[large]" in outcome.why


def test_more_than_the_machines_memory_is_refused(network: Nearest, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(pictures, "a.png")
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 3}.__getitem__)
    (outcome,) = done(network, pictures)
    assert "needs 0.0 GiB of memory" in outcome.why
    assert network.seen == []


def test_a_result_larger_than_its_format_is_refused_before_the_work(network: Nearest, pictures: Path) -> None:
    Image.new("L", (9000, 1)).save(pictures / "a.png")
    (outcome,) = done(network, pictures, wanted="webp")
    assert "18000x2 pixels are more than webp can hold" in outcome.why
    assert network.seen == []


def test_jpg_of_an_opaque_picture_with_alpha(network: Nearest, pictures: Path) -> None:
    opaque = colours(20, 30, 4)
    opaque[:, :, 3] = 255
    Image.fromarray(opaque).save(pictures / "a.png")
    write(pictures, "alpha.png")
    outcomes = done(network, pictures, wanted="jpg")
    assert states(outcomes) == {"a.png": "done", "alpha.png": "failed"}
    assert len(network.seen) == 1


def test_the_way_reaches_the_network(network: Nearest, pictures: Path) -> None:
    write(pictures, "a.png")
    ticks: list[int] = []
    jobs = plan([str(pictures)], None, 2, None).jobs
    run(network, jobs, replace(HOW, way=Way(ensemble=True)), lambda outcome: None, ticks.append)
    assert len(network.seen) == 8
    assert sum(ticks) == 40 * 60


def test_videos_are_batched_too(network: Nearest, pictures: Path) -> None:
    pytest.importorskip("av")
    from test_video import film

    film(pictures / "a.mp4")
    (pictures / "b.mp4").write_bytes(b"no video")
    outcomes = done(network, pictures)
    assert states(outcomes) == {"a.mp4": "done", "b.mp4": "failed"}
    assert ", 10 frames" in outcomes[0].line()
    assert states(done(network, pictures))["a.mp4"] == "skipped"
    assert sorted(os.listdir(pictures)) == ["a.mp4", "a_x2.mp4", "b.mp4"]


def test_names_cannot_break_a_line() -> None:
    outcome = Outcome(Job(Path("a\nb.png"), Path("\x1b[31m.png")), "done", size=(2, 3), pixels=6, seconds=1)
    assert outcome.line() == "a\\nb.png -> \\x1b[31m.png  3x2  1.00 s, 0.00 MP/s"
    assert "\n" not in replace(outcome, state="failed", why="two\nlines").line()


def test_leftovers_of_killed_runs_go(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(pictures, "a.png")
    (pictures / f"{target.PREFIX}aaaa-{target._host()}-4000000-0").touch()
    monkeypatch.setattr(target, "process_alive", lambda pid: False)
    assert clean(plan([str(pictures)], None, 2, None).jobs) == 1
    assert os.listdir(pictures) == ["a.png"]


def test_exit_codes() -> None:
    def code(*codes: int, faults: int = 0) -> int:
        outcomes = [Outcome(Job(Path("a"), Path("b")), "failed" if code else "done", exit_code=code) for code in codes]
        return Summary.of(outcomes, faults).exit_code

    assert [code(0, 0), code(0, 3), code(3, 6), code(1, 3), code(1, 6), code(0, faults=1)] == [0, 3, 6, 1, 6, 3]
    assert code() == 0
    assert batch.new_token() != batch.new_token()

"""The reader believes only what verifies; the writer deletes only what a good checkpoint has replaced."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from qsr.errors import EnvironmentFault, FormatError
from qsr.files import write_synced
from qsr.train import checkpoint


def save(root: Path, iteration: int, keep: int = 3) -> Path:
    def fill(folder: Path) -> None:
        write_synced(folder / "model.safetensors", b"model of %d" % iteration)
        write_synced(folder / "state.json", b"state of %d" % iteration)

    return checkpoint.write(root, iteration, fill, keep)


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_keeps_the_newest_and_names_the_latest(tmp_path: Path) -> None:
    for iteration in (1, 2, 3, 4):
        assert save(tmp_path, iteration, keep=2).name == f"{iteration:08d}"
    assert names(tmp_path) == ["00000003", "00000004", "LATEST"]
    assert (tmp_path / "LATEST").read_text() == "00000004"


def damage_truncate(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"mod")


def damage_flip(folder: Path) -> None:
    (folder / "state.json").write_bytes(b"State of 3")


def damage_drop(folder: Path) -> None:
    (folder / "state.json").unlink()


def damage_extra(folder: Path) -> None:
    (folder / "foreign").touch()


def damage_manifest(folder: Path) -> None:
    (folder / checkpoint.MANIFEST).write_bytes(b"[]")


def damage_no_manifest(folder: Path) -> None:
    (folder / checkpoint.MANIFEST).unlink()


def damage_swap(folder: Path) -> None:
    shutil.copy(folder.parent / "00000002" / "state.json", folder / "state.json")


def damage_gone(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "damage",
    [
        damage_truncate,
        damage_flip,
        damage_drop,
        damage_extra,
        damage_manifest,
        damage_no_manifest,
        damage_swap,
        damage_gone,
    ],
)
def test_a_damaged_one_is_passed_over_and_said(tmp_path: Path, damage: object) -> None:
    for iteration in (1, 2, 3):
        save(tmp_path, iteration)
    damage(tmp_path / "00000003")  # type: ignore[operator]
    said: list[str] = []
    assert checkpoint.newest(tmp_path, said.append) == tmp_path / "00000002"
    assert len(said) == 1
    assert "00000003" in said[0]


def test_none_intact_is_an_error_not_a_fresh_start(tmp_path: Path) -> None:
    damage_flip(save(tmp_path, 3))
    with pytest.raises(FormatError, match="no checkpoint is intact"):
        checkpoint.newest(tmp_path, print)


@pytest.mark.parametrize("pointer", [b"00000003", b"\xff\xfe", b""])
def test_a_pointer_to_nothing_is_an_error_not_a_fresh_start(tmp_path: Path, pointer: bytes) -> None:
    (tmp_path / checkpoint.LATEST).write_bytes(pointer)
    with pytest.raises(FormatError, match="no checkpoint is intact"):
        checkpoint.newest(tmp_path, print)


def test_a_pointer_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    save(tmp_path, 3)
    (tmp_path / checkpoint.LATEST).unlink()
    (tmp_path / checkpoint.LATEST).mkdir()
    said: list[str] = []
    assert checkpoint.newest(tmp_path, said.append) == tmp_path / "00000003"
    assert said == [f"{tmp_path / 'LATEST'}: cannot be read (Is a directory)"]


def test_a_pointer_that_cannot_be_read_beside_nothing_is_no_fresh_start(tmp_path: Path) -> None:
    """Something was saved here once: beginning again in silence would bury it."""
    (tmp_path / checkpoint.LATEST).mkdir()
    with pytest.raises(FormatError, match="no checkpoint is intact"):
        checkpoint.newest(tmp_path, print)


def test_a_manifest_is_read_up_to_a_mebibyte(tmp_path: Path) -> None:
    folder = save(tmp_path, 3)
    manifest = (folder / checkpoint.MANIFEST).read_bytes().ljust(1 << 20)
    (folder / checkpoint.MANIFEST).write_bytes(manifest)
    checkpoint.verify(folder)
    (folder / checkpoint.MANIFEST).write_bytes(manifest + b" ")
    with pytest.raises(FormatError, match="larger than 1,048,576 bytes"):
        checkpoint.verify(folder)


@pytest.mark.parametrize("name", ["state.json", checkpoint.MANIFEST])
def test_a_pipe_in_place_of_a_file_is_refused_and_not_read(tmp_path: Path, name: str) -> None:
    """Reading it would wait for a writer, for ever."""
    folder = save(tmp_path, 3)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(FormatError, match="not an ordinary file"):
        checkpoint.verify(folder)


def test_iterations_are_numbers_not_text(tmp_path: Path) -> None:
    """100,000,000 comes after 99,999,999, although its name sorts before it."""
    for iteration in (99_999_998, 99_999_999, 100_000_000):
        save(tmp_path, iteration, keep=2)
    assert names(tmp_path) == sorted(["99999999", "100000000", "LATEST"])
    (tmp_path / checkpoint.LATEST).unlink()
    assert checkpoint.newest(tmp_path, print) == tmp_path / "100000000"


def test_what_stepped_aside_comes_back(tmp_path: Path) -> None:
    """A process died between the two renames of a replacement; its number may belong to another one by now."""
    save(tmp_path, 7, keep=1)
    (tmp_path / "00000007").rename(tmp_path / f".00000007.old-{os.getppid()}")
    assert checkpoint.newest(tmp_path, print) == tmp_path / "00000007"
    assert names(tmp_path) == ["00000007", "LATEST"]


def test_a_save_that_fails_keeps_what_had_stepped_aside(tmp_path: Path) -> None:
    save(tmp_path, 7, keep=1)
    (tmp_path / "00000007").rename(tmp_path / f".00000007.old-{os.getpid()}")

    def fail(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(EnvironmentFault):
        checkpoint.write(tmp_path, 8, fail, keep=1)
    assert checkpoint.newest(tmp_path, print) == tmp_path / "00000007"


def test_a_check_of_the_caller_passes_over_as_well(tmp_path: Path) -> None:
    for iteration in (1, 2):
        save(tmp_path, iteration)

    def check(folder: Path) -> None:
        if folder.name == "00000002":
            raise FormatError("mixed")

    said: list[str] = []
    assert checkpoint.newest(tmp_path, said.append, check) == tmp_path / "00000001"
    assert said == ["damaged checkpoint passed over: mixed"]


def test_nothing_there_is_a_fresh_start(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "checkpoints", print) is None


def test_a_resume_from_an_older_one_abandons_the_later(tmp_path: Path) -> None:
    for iteration in (1, 2, 3):
        save(tmp_path, iteration)
    save(tmp_path, 2)
    assert names(tmp_path) == ["00000001", "00000002", "LATEST"]


def test_unfinished_work_of_dead_processes_is_swept_that_of_live_ones_is_not(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    (tmp_path / f".00000001.tmp-{child}").mkdir()
    (tmp_path / f".LATEST.tmp-{child}").touch()
    living = tmp_path / f".00000001.tmp-{os.getppid()}"
    living.mkdir()
    save(tmp_path, 5)
    assert names(tmp_path) == sorted([living.name, "00000005", "LATEST"])


def test_the_manifest_lists_sizes_and_hashes(tmp_path: Path) -> None:
    listed = json.loads((save(tmp_path, 1) / checkpoint.MANIFEST).read_text())
    assert listed["version"] == 1
    assert listed["files"]["model.safetensors"]["bytes"] == len(b"model of 1")
    assert len(listed["files"]["state.json"]["blake2b"]) == 32

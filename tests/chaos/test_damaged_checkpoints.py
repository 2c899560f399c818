"""Checkpoint folders that somebody or something damaged: never a mixed state, always the last good one (reliability F4)."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from train_drill import small_options

from qsr.errors import FormatError, QsrError
from qsr.train import checkpoint, state
from qsr.train.run import train
from tests.drill import Drill

NAMES = ("00000004", "00000008", "00000012")
FILES = ("model.safetensors", "training.safetensors", "state.json", checkpoint.MANIFEST)


@pytest.fixture(scope="module")
def good(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of a finished run, three of them."""
    root = tmp_path_factory.mktemp("good")
    train(small_options(pictures, root, logger={"keep_checkpoints": 3}), notify=lambda line: None)
    return root / "tiny" / "checkpoints"


# --- damages of one folder: (folder, chance) ---------------------------------------------------------------------------
def some_file(folder: Path, chance: random.Random) -> Path:
    return folder / chance.choice(FILES)


def drop(folder: Path, chance: random.Random) -> None:
    some_file(folder, chance).unlink()


def flip(folder: Path, chance: random.Random) -> None:
    file = some_file(folder, chance)
    content = bytearray(file.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def truncate(folder: Path, chance: random.Random) -> None:
    file = some_file(folder, chance)
    os.truncate(file, chance.randrange(file.stat().st_size))


def lengthen(folder: Path, chance: random.Random) -> None:
    with open(some_file(folder, chance), "ab") as handle:
        handle.write(bytes(chance.randint(1, 100)))


def zeros(folder: Path, chance: random.Random) -> None:
    file = some_file(folder, chance)
    file.write_bytes(bytes(file.stat().st_size))


def take_from_another(folder: Path, chance: random.Random) -> None:
    file = some_file(folder, chance)
    other = chance.choice([name for name in NAMES if name != folder.name])
    shutil.copy(folder.parent / f"{other}.good" / file.name, file)


def take_and_forge(folder: Path, chance: random.Random) -> None:
    """Files of another save under a manifest that says all is well."""
    other = chance.choice([name for name in NAMES if name != folder.name])
    for name in chance.sample(FILES[:3], chance.randint(1, 3)):
        shutil.copy(folder.parent / f"{other}.good" / name, folder / name)
    forge(folder)


def drop_and_forge(folder: Path, chance: random.Random) -> None:
    (folder / chance.choice(FILES[:3])).unlink()
    forge(folder)


def flip_and_forge(folder: Path, chance: random.Random) -> None:
    file = folder / chance.choice(FILES[:2])
    content = bytearray(file.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    forge(folder)


def forge(folder: Path) -> None:
    (folder / checkpoint.MANIFEST).unlink(missing_ok=True)
    (folder / checkpoint.MANIFEST).write_bytes(checkpoint._manifest(folder))


def nonsense_manifest(folder: Path, chance: random.Random) -> None:
    listed = json.loads((folder / checkpoint.MANIFEST).read_text())
    name = chance.choice(FILES[:3])
    versions: list[Any] = [
        [], 7, None, {}, {"files": []}, {"files": 3}, {"files": {}}, {"files": list(FILES[:3])}, {"files": {name: {}}},
        {"files": {**listed["files"], "../../state.json": listed["files"][name]}},
        {"files": {**listed["files"], name: {"bytes": "0", "blake2b": ""}}},
        {"files": {**listed["files"], name: {"bytes": -1, "blake2b": listed["files"][name]["blake2b"]}}},
        {"files": {**listed["files"], name: None}},
        {"files": {**listed["files"], name: {**listed["files"][name], "blake2b": "0" * 32}}},
    ]  # fmt: skip
    texts = [json.dumps(version) for version in versions]
    texts += [
        "[" * 100_000,
        '{"files": ' * 50_000,
        "9" * 10_000,
        "NaN",
        "\ud800".encode("utf-16", "surrogatepass").hex(),
        "",
        " " * (2 << 20),
    ]
    (folder / checkpoint.MANIFEST).write_text(chance.choice(texts))


def nonsense_state(folder: Path, chance: random.Random) -> None:
    facts = json.loads((folder / "state.json").read_text())
    wrong: dict[str, tuple[Any, ...]] = {
        "version": (None, -1, "x", [], {}),
        "iteration": (None, -1, 10**30, "x", [], {}, 1.5),
        "stage": (None, 3, []),
        "world": (None, "x", []),
        "options": (None, "x", []),
        "files": (None, "x", []),
    }
    key = chance.choice(list(wrong))
    if key != "files" and chance.random() < 0.3:  # without `files` it is an older qsr's, and good
        facts.pop(key)
    else:
        facts[key] = chance.choice(wrong[key])
    text = json.dumps(facts) if chance.random() < 0.8 else chance.choice(("", "[]", "null", "[" * 100_000, "\0"))
    (folder / "state.json").write_text(text)
    forge(folder)


def not_a_file(folder: Path, chance: random.Random) -> None:
    file = some_file(folder, chance)
    file.unlink()
    make: Callable[[Path], None] = chance.choice((Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")))
    make(file)


def foreign(folder: Path, chance: random.Random) -> None:
    (folder / chance.choice(("x", ".hidden", "model.safetensors.bak"))).write_bytes(b"")


def swap_names(folder: Path, chance: random.Random) -> None:
    """A whole and honest checkpoint under the name of another iteration."""
    other = folder.parent / f"{chance.choice([name for name in NAMES if name != folder.name])}.good"
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


def gone(folder: Path, chance: random.Random) -> None:
    shutil.rmtree(folder)


def a_file_instead(folder: Path, chance: random.Random) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"")


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    drop, flip, truncate, lengthen, zeros, take_from_another, take_and_forge, drop_and_forge, flip_and_forge, nonsense_manifest,
    nonsense_state, not_a_file, foreign, swap_names, gone, a_file_instead,
)  # fmt: skip
POINTERS: tuple[bytes | None, ...] = (
    *(name.encode() for name in NAMES), None, b"", b"\xff\xfe\x00", b"../../etc", b"9" * 500, "٠٠٠٠٠٠٠٤".encode(), b"00000099",
    b"00000012\n\n", bytes(8),
)  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() if path.is_file() else b"" for path in folder.iterdir()} if folder.is_dir() else {}


def is_whole(folder: Path) -> bool:
    return contents(folder) == contents(folder.parent / f"{folder.name}.good")


def says_another_version(folder: Path) -> bool:
    """Whether it may be a later qsr's: then to stop is right, since the next save would remove it."""
    for name in ("state.json", checkpoint.MANIFEST):
        try:
            if (folder / name).is_file() and json.loads((folder / name).read_bytes())["version"] != 1:
                return True
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    return False


@pytest.mark.drill("F4")
def test_never_mixed_and_always_the_last_good_one(good: Path, tmp_path: Path, drill: Drill) -> None:
    root = tmp_path / "checkpoints"
    for _ in drill.rounds(push=500, nightly=20_000):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for name in NAMES:
            shutil.copytree(good / name, root / name)
            (root / f"{name}.good").symlink_to(good / name)
        hit = drill.random.sample(NAMES, drill.random.choice((1, 1, 2, 2, 3)))
        done = {name: drill.random.choice(DAMAGES) for name in hit}
        for name, damage in done.items():
            damage(root / name, drill.random)
        pointer = drill.random.choice(POINTERS)
        if pointer is not None:
            (root / checkpoint.LATEST).write_bytes(pointer)
        whole = [name for name in NAMES if is_whole(root / name)]
        named = (pointer or b"").decode("latin-1").strip()
        wanted = named if named in whole else max(whole, default=None)
        case = f"{ {name: damage.__name__ for name, damage in done.items()} }, LATEST {pointer!r}"
        try:
            found = checkpoint.newest(root, lambda line: None, state.check)
        except checkpoint.OtherVersion as fault:
            if not any(says_another_version(root / name) for name in hit):
                drill.fail(f"{fault} for {case}")
            continue
        except FormatError:
            found = None
        except Exception as fault:
            drill.fail(f"{type(fault).__name__}: {fault} for {case}")
        if (found.name if found else None) != wanted:
            drill.fail(f"found {found}, expected {wanted} for {case}")


@pytest.mark.drill("F4")
@pytest.mark.parametrize(
    "damage", [take_and_forge, drop_and_forge, swap_names, nonsense_state], ids=lambda damage: damage.__name__
)
def test_a_named_checkpoint_is_looked_at_as_closely(
    good: Path, pictures: Path, tmp_path: Path, drill: Drill, damage: Callable[[Path, random.Random], None]
) -> None:
    """path.resume_state names one; there is no other to fall back to."""
    root = tmp_path / "checkpoints"
    for _ in drill.rounds(push=5, nightly=200):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for name in NAMES:
            (root / f"{name}.good").symlink_to(good / name)
        shutil.copytree(good / NAMES[2], root / NAMES[2])
        damage(root / NAMES[2], drill.random)
        if is_whole(root / NAMES[2]):
            continue
        options = small_options(
            pictures,
            tmp_path / "again",
            path={"resume_state": str(root / NAMES[2]), "experiments_root": str(tmp_path / "again")},
        )
        with pytest.raises(QsrError) as caught:
            train(options, notify=lambda line: None)
        assert caught.value.exit_code in (2, 3)

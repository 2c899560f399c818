"""T12, the other direction: a file of a format that this version does not know is refused by that name, and not half read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from qsr.archs.modelfile import load_model
from qsr.errors import FormatError
from qsr.runtime import load
from qsr.train import checkpoint, state
from qsr.zoo.index import read_index
from tests.compatibility.freeze import RUN, STOPPED_AT, unpack
from tests.compatibility.test_frozen import VERSIONS

pytestmark = pytest.mark.drill("T12")


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(VERSIONS[-1], tmp_path_factory.mktemp("frozen"))


def rewritten(source: Path, target: Path, **changes: Any) -> Path:
    """A copy of a safetensors file in whose metadata some keys are changed."""
    with safe_open(source, framework="pt") as handle:
        data = json.loads(handle.metadata()["qsr"])
    save_file(load_file(source), target, {"qsr": json.dumps({**data, **changes})})
    return target


def folder_of(frozen: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(frozen / RUN, tmp_path / RUN)) / "checkpoints" / f"{STOPPED_AT:08d}"


def test_packed_files(frozen: Path, tmp_path: Path) -> None:
    old = rewritten(frozen / "fp.qsr", tmp_path / "old.qsr", format="qsr.packed/0")
    with pytest.raises(FormatError, match=r"old.qsr: format: found 'qsr.packed/0', .* \(export it again with this qsr\)$"):
        load(old)
    new = rewritten(frozen / "fp.qsr", tmp_path / "new.qsr", format="qsr.packed/2")
    with pytest.raises(FormatError, match=r"new.qsr: format: found 'qsr.packed/2', .* \(a newer qsr may read it\)$"):
        load(new)


@pytest.mark.parametrize("number", [0, 2, None])
def test_model_files(frozen: Path, tmp_path: Path, number: int | None) -> None:
    file = rewritten(frozen / "fp.safetensors", tmp_path / "a.safetensors", format=number)
    with pytest.raises(FormatError, match=rf"a.safetensors: model file of format {number}, this qsr reads 1 \(upgrade qsr\)"):
        load_model(file)


def test_a_model_file_with_an_entry_of_later_is_refused_by_name(frozen: Path, tmp_path: Path) -> None:
    file = rewritten(frozen / "fp.safetensors", tmp_path / "a.safetensors", colour="blue")
    with pytest.raises(FormatError, match="a.safetensors: metadata has the entries .*'colour'"):
        load_model(file)


def test_a_tensor_of_later_is_not_left_aside(frozen: Path, tmp_path: Path) -> None:
    with safe_open(frozen / "fp.safetensors", framework="pt") as handle:
        metadata = handle.metadata()
    save_file({**load_file(frozen / "fp.safetensors"), "later": torch.zeros(1)}, tmp_path / "a.safetensors", metadata)
    with pytest.raises(FormatError, match="later"):
        load_model(tmp_path / "a.safetensors")


@pytest.mark.parametrize("what", ["checkpoint", "manifest"])
def test_a_later_checkpoint_is_neither_damaged_nor_passed_over(frozen: Path, tmp_path: Path, what: str) -> None:
    """An older checkpoint beside it must not be taken instead: the next save would remove the later one."""
    folder = folder_of(frozen, tmp_path)
    older = folder.with_name("00000008")
    shutil.copytree(folder, older)
    rewrite(older, iteration=8)
    lines: list[str] = []
    assert checkpoint.newest(folder.parent, lines.append, state.check) == folder
    if what == "checkpoint":
        rewrite(folder, version=2)
    else:
        listed = json.loads((folder / "MANIFEST.json").read_text())
        (folder / "MANIFEST.json").write_text(json.dumps({"version": 2, "entries": listed["files"]}))
    with pytest.raises(FormatError, match=rf"{what} of version 2, this qsr reads 1 \(upgrade qsr\)"):
        checkpoint.newest(folder.parent, lines.append, state.check)
    assert lines == []
    shutil.rmtree(folder)
    (folder.parent / "LATEST").write_text(older.name)
    assert checkpoint.newest(folder.parent, lines.append, state.check) == older, "which would have been taken"


def rewrite(folder: Path, **facts: Any) -> None:
    """Change entries of a checkpoint's state, and its manifest with it."""
    file = folder / "state.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **facts}))
    listed = json.loads((folder / "MANIFEST.json").read_text())
    listed["files"]["state.json"] = {"bytes": file.stat().st_size, "blake2b": checkpoint.digest(file)}
    (folder / "MANIFEST.json").write_text(json.dumps(listed))


def test_the_zoo_index(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(json.dumps({"format": 2, "models": []}))
    with pytest.raises(FormatError, match=r"not an index of format 1 \(upgrade qsr\)"):
        read_index(tmp_path)

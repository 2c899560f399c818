"""The locked lists: complete, of the versions in constraints.txt, and a changed file is refused."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from supply import lock

LISTS = {path.stem: lock.entries(path.read_text()) for path in sorted(lock.LOCKED.glob("*.txt"))}
PROJECT = tomllib.loads((lock.REPOSITORY / "pyproject.toml").read_text())["project"]
PINS = lock.pins((lock.REPOSITORY / "constraints.txt").read_text())


def test_every_step_has_its_list() -> None:
    assert set(LISTS) == {*lock.groups(PROJECT), "torch-index", "torch-cpu"}
    assert all(LISTS.values())


@pytest.mark.parametrize("group", LISTS)
def test_versions_are_those_of_the_constraints(group: str) -> None:
    for name, entry in LISTS[group].items():
        pinned = PINS.get(name)
        if pinned is None:
            assert group == "torch-index", f"{name} is not in constraints.txt: run `make lock`"
        else:
            assert lock.version_of(entry).split("+")[0] == pinned, "run `make lock`"


@pytest.mark.parametrize("group", LISTS)
def test_every_package_has_hashes_and_nothing_else(group: str) -> None:
    for name, entry in LISTS[group].items():
        head, *rest = [line.strip().removesuffix("\\").strip() for line in entry.splitlines()]
        assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+( ; .+)?", head), head
        assert rest, f"{name} has no hash"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in rest)


def test_whatever_a_step_asks_for_is_in_its_list_or_an_earlier_one() -> None:
    known: set[str] = set()
    for group, names in lock.groups(PROJECT).items():
        known |= set(LISTS[group])
        if group == "torch":
            known |= set(LISTS["torch-cpu"])
        asked = {lock.canonical(re.split(r"[\[<>=; ]", name, maxsplit=1)[0]) for name in names}
        assert asked <= known, "run `make lock`"


def test_no_package_is_in_two_lists() -> None:
    names = [name for group, found in LISTS.items() if group != "torch-cpu" for name in found]
    assert len(names) == len(set(names))


def test_both_builds_of_torch_are_of_one_version() -> None:
    index, cpu = (lock.version_of(LISTS[group]["torch"]) for group in ("torch-index", "torch-cpu"))
    assert cpu == f"{index}+cpu"


@pytest.mark.parametrize("right", [True, False], ids=["as-recorded", "changed"])
def test_pip_installs_the_recorded_file_and_no_other(tmp_path: Path, right: bool) -> None:
    """The command of the Makefile, on a package that is made here."""
    wheel = tmp_path / "tinypart-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tinypart.py", "")
        archive.writestr("tinypart-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinypart\nVersion: 1.0\n")
        archive.writestr("tinypart-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tinypart-1.0.dist-info/RECORD", "")
    digest = sha256(wheel.read_bytes()).hexdigest()
    if not right:
        wheel.write_bytes(wheel.read_bytes() + b" ")
    (tmp_path / "list.txt").write_text(f"tinypart==1.0 \\\n    --hash=sha256:{digest}\n")
    options = ["--no-deps", "--require-hashes", "--no-index", "--find-links", str(tmp_path), "--target", str(tmp_path / "to")]
    command = [sys.executable, "-m", "pip", "install", "-q", *options, "-r", str(tmp_path / "list.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is right, done.stderr
    assert (tmp_path / "to" / "tinypart.py").is_file() is right
    if not right:
        assert "DO NOT MATCH THE HASHES" in done.stderr


def test_the_makefile_installs_from_the_lists_only() -> None:
    text = (lock.REPOSITORY / "Makefile").read_text()
    locked = text[text.index("ifeq ($(LOCKED),1)") : text.index("else", text.index("ifeq ($(LOCKED),1)"))]
    assert "--require-hashes" in locked
    assert "--no-deps" in locked
    named = set(re.findall(r"\$\(call install,([a-z-]+)[,)]", text)) | {"torch-index", "torch-cpu"}
    assert named == set(LISTS)


def test_entries_and_pins_read_what_they_should() -> None:
    text = "# head\nA.b==1.0 ; python_version < '3.12' \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\nc[d]==2\n"
    found = lock.entries(text)
    assert list(found) == ["a-b", "c"]
    assert lock.version_of(found["a-b"]) == "1.0"
    assert found["a-b"].count("--hash") == 2
    assert lock.pins("# no\nPyYAML==6.0.3  # why\n\ntorch==2.13.0\n") == {"pyyaml": "6.0.3", "torch": "2.13.0"}
    with pytest.raises(AssertionError, match="pinned twice"):
        lock.entries("a==1\nA==2\n")


def test_what_constraints_do_not_name_is_an_error() -> None:
    made = {"run": {"a": "a==1 \\\n  --hash=sha256:0", "b": "b==2"}, "torch-index": {"nvidia-x": "nvidia-x==3"}}
    assert lock.unpinned(made, {"a": "1"}) == ["b==2"]


def test_the_cpu_build_is_found_where_pip_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch-9.0+cpu-cp311-cp311-linux_x86_64.whl").write_bytes(b"a")
    (tmp_path / "torch-9.0-cp311-cp311-linux_x86_64.whl").write_bytes(b"b")
    (tmp_path / "torch-8.0+cpu-cp311-cp311-linux_x86_64.whl").write_bytes(b"c")
    monkeypatch.setattr(lock, "find_links", lambda: [tmp_path])
    assert lock.cpu_build("9.0") == {"torch": f"torch==9.0+cpu \\\n    --hash=sha256:{sha256(b'a').hexdigest()}"}
    assert lock.cpu_build("7.0") == {}
    monkeypatch.undo()
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path} {tmp_path / 'none'}")
    assert tmp_path in lock.find_links()

"""Python, qsr's files and its requirements, each on an installation that lacks something."""

from __future__ import annotations

import base64
import hashlib
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import qsr
from qsr.doctor import installation
from qsr.doctor.installation import check_files, check_packages, check_python, fits, judge, requirements


def test_this_installation_is_healthy():
    assert check_python().status == "ok"
    assert check_files().status == "ok"
    found = check_packages()
    assert found.status == "ok", found
    assert set(found.facts["versions"]) == {"numpy", "pillow", "rich", "safetensors", "typer"}


def test_the_supported_pythons_are_those_of_the_project_file(repository: Path):
    wanted = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest, newest = installation.OLDEST, installation.NEWEST
    assert wanted == f">={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"


def test_another_python_is_a_reservation_and_a_narrow_one_a_failure(monkeypatch):
    monkeypatch.setattr(installation, "NEWEST", (3, 10))
    assert check_python().status == "warn"
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    assert check_python().status == "fail"


# --- files ----------------------------------------------------------------------------------------------------------------
@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as pip leaves it: qsr with two files, and a record of them; it is what `metadata` and `qsr` point at."""
    package, record = tmp_path / "qsr", tmp_path / f"qsr-{qsr.__version__}.dist-info"
    package.mkdir()
    record.mkdir()
    (package / "__init__.py").write_text("one\n")
    (package / "data.json").write_text("two\n")
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: qsr\nVersion: {qsr.__version__}\n")
    hashes = {
        path.name: base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
        for path in package.iterdir()
    }
    lines = [f"qsr/{name},sha256={value},4" for name, value in hashes.items()] + ["qsr/__pycache__/x.pyc,,"]
    (record / "RECORD").write_text("\n".join(lines) + "\n")
    found = metadata.PathDistribution(record)
    monkeypatch.setattr(metadata, "distribution", lambda name: found)
    monkeypatch.setattr(qsr, "__file__", str(package / "__init__.py"))
    return package


def test_files_as_installed(wheel: Path):
    assert check_files().status == "ok"
    assert "3 files as installed" in check_files().found


def test_a_missing_file_is_named(wheel: Path):
    (wheel / "data.json").unlink()
    found = check_files()
    assert (found.status, found.found) == ("fail", "qsr/data.json is missing")


def test_a_changed_file_is_named(wheel: Path):
    (wheel / "data.json").write_text("changed")
    (wheel / "__init__.py").write_text("changed too")
    found = check_files()
    assert found.status == "fail"
    assert found.found.endswith("was changed and 1 more")
    assert len(found.facts["damaged"]) == 2


def test_another_copy_in_front_is_noticed(wheel: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(qsr, "__file__", str(tmp_path / "clone" / "qsr" / "__init__.py"))
    assert check_files().status == "warn"
    assert "another copy" in check_files().found


def test_another_copy_than_the_clone_that_was_installed(monkeypatch, tmp_path: Path):
    record = tmp_path / "qsr.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: qsr\nVersion: {qsr.__version__}\n")
    (record / "direct_url.json").write_text('{"dir_info": {"editable": true}, "url": "file:///some%20where/qsr"}')
    monkeypatch.setattr(metadata, "distribution", lambda name: metadata.PathDistribution(record))
    found = check_files()
    assert found.status == "warn"
    assert found.found.startswith("pip installed the clone in /some where/qsr, what runs is another copy")


def test_another_version_in_front_is_noticed(wheel: Path, monkeypatch):
    monkeypatch.setattr(qsr, "__version__", "99.0")
    found = check_files()
    assert found.status == "warn"
    assert "what runs is qsr 99.0" in found.found


def _unknown(name: str) -> object:
    raise metadata.PackageNotFoundError(name)


def test_a_copy_that_pip_does_not_know(monkeypatch):
    monkeypatch.setattr(metadata, "distribution", _unknown)
    assert check_files().status == "warn"
    monkeypatch.setattr(metadata, "requires", _unknown)
    assert check_packages().status == "skip"


# --- requirements ---------------------------------------------------------------------------------------------------------
def test_requirements_are_the_project_files(repository: Path):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert len(requirements()) == len(project["dependencies"])
    assert len(requirements("train")) == len(project["optional-dependencies"]["train"])
    assert requirements("train")["torch"].startswith(">=")


def test_a_missing_and_an_old_package(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy>=99", "no-such-package", 'torch>=2; extra == "train"'])
    problems, versions = judge(requirements())
    assert problems == [f"numpy is {versions['numpy']}, expected >=99", "no-such-package is not installed"]
    found = check_packages()
    assert found.status == "fail"
    assert "no-such-package is not installed" in found.found


def test_a_package_that_does_not_import(monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    found = check_packages()
    assert found.status == "fail"
    assert "safetensors does not import: ModuleNotFoundError" in found.found


@pytest.mark.parametrize(
    ("version", "asked", "expected"),
    [
        ("2.10.0", ">=2.9", True),
        ("2.10", ">=2.10.0", True),
        ("2.9.9", ">=2.10", False),
        ("3.0", ">=2,<3", False),
        ("2.13.0+cpu", ">=2.10", True),
        ("1.4.2", "==1.4.2", True),
        ("1.4.3", "==1.4.2", False),
        ("1.4.3", "==1.4.*", True),
        ("1.5", "!=1.5", False),
        ("1.4.5", "~=1.4.2", True),
        ("1.5.0", "~=1.4.2", False),
        ("2", ">1,<=2", True),
        ("1.0", "", True),
        ("1.0", "nonsense", False),
    ],
)
def test_fits(version: str, asked: str, expected: bool):
    assert fits(version, asked) == expected

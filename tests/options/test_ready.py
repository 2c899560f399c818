from __future__ import annotations

from pathlib import Path

import pytest

import qsr
from qsr.errors import OptionsError
from qsr.options.ready import ready_file


def test_current_folder_comes_before_the_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ready_file("demo.yml").is_absolute()
    (tmp_path / "options").mkdir()
    (tmp_path / "options" / "demo.yml").write_text("name: mine\n")
    assert ready_file("demo.yml") == Path("options/demo.yml")


def test_a_wheel_has_its_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """setup.py puts options/ there; bases are found beside the file that names them."""
    monkeypatch.chdir(tmp_path)
    copied = tmp_path / "site-packages" / "qsr" / "options" / "files"
    copied.mkdir(parents=True)
    (copied / "demo.yml").write_text("name: packaged\n")
    monkeypatch.setattr(qsr, "__file__", str(tmp_path / "site-packages" / "qsr" / "__init__.py"))
    assert ready_file("demo.yml") == copied / "demo.yml"


def test_unknown_file_is_named() -> None:
    with pytest.raises(OptionsError, match=r"options/none\.yml"):
        ready_file("none.yml")

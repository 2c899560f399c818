"""Which list holds the build of torch that pip would choose."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from supply import torch_build


@pytest.mark.parametrize(
    ("version", "name"), [("2.13.0", "torch-index"), ("2.13.0+cpu", "torch-cpu"), ("2.13.0+xpu", "torch-xpu")]
)
def test_the_list_of_a_version(version: str, name: str) -> None:
    assert torch_build.list_of(version) == name


@pytest.mark.parametrize(
    ("local", "code", "said"), [("+cpu", 0, "torch-cpu"), ("+odd", 1, "torch 2.13.0+odd, of which no hash")]
)
def test_pip_is_asked(tmp_path: Path, local: str, code: int, said: str) -> None:
    """The script as the Makefile runs it, where only one build is to be had."""
    version = f"2.13.0{local}"
    with zipfile.ZipFile(tmp_path / f"torch-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("torch.py", "")
        archive.writestr(f"torch-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        archive.writestr(f"torch-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"torch-{version}.dist-info/RECORD", "")
    environment = {
        "PATH": "/usr/bin:/bin",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
        "PIP_CONFIG_FILE": "/dev/null",
    }
    done = subprocess.run([sys.executable, torch_build.__file__], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == code, done.stderr
    assert said in (done.stdout if code == 0 else done.stderr)

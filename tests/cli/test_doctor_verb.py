"""`qsr doctor` as a user calls it: on this installation, and on installations that lack something."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qsr.cli.main import app
from qsr.doctor.installation import _REQUIREMENT
from qsr.doctor.registry import CHECKS
from qsr.errors import OptionsError

LIGHT = "python,files,packages,threads,isa,backend,packing,decoder,packed"


BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from qsr.cli.main import main; main()"
STANDARD = [entry for entry in sys.path if "lib/python" in entry and "-packages" not in entry]
PACKAGES = [entry for entry in sys.path if "-packages" in entry]


def doctor(
    path: list[str], *arguments: str | Path, cwd: Path | None = None, patience: float = 110
) -> subprocess.CompletedProcess[str]:
    """`qsr doctor` in a process of its own whose sys.path, behind the standard library, is `path`; no .pth file adds to it."""
    command = [sys.executable, "-P", "-S", "-c", BOOT, json.dumps([*STANDARD, *path]), "doctor", *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if key not in ("QSR_BACKEND", "QSR_ISA", "PYTHONPATH")}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, timeout=patience, check=False)


def test_one_line_each_and_a_summary(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", "--only", LIGHT, "--experiments", str(tmp_path)])
    assert done.exit_code == 0, done.output
    *lines, last = done.stdout.splitlines()
    assert [line.split()[1] for line in lines] == LIGHT.split(",")
    assert {line.split()[0] for line in lines} <= {"ok", "warn"}
    assert last.startswith("9 checks in ")


def test_json(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", "--json", "--only", "python, disk", "--experiments", str(tmp_path)])
    report = json.loads(done.stdout)
    assert [check["name"] for check in report["checks"]] == ["python", "disk"]
    assert done.exit_code == 0
    assert set(report) == {"qsr", "verdict", "counts", "seconds", "checks"}


def test_a_failure_is_exit_code_6(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSR_ISA", "mmx")
    done = CliRunner().invoke(app, ["doctor", "--only", "isa,python", "--experiments", str(tmp_path)])
    assert done.exit_code == 6
    assert "fail  isa           QSR_ISA: found 'mmx'" in done.stdout
    assert "1 ok, 0 warn, 1 fail, 0 skip" in done.stdout


def test_an_unknown_check_is_refused_before_anything_runs() -> None:
    assert isinstance(CliRunner().invoke(app, ["doctor", "--only", "kernels"]).exception, OptionsError)


@pytest.mark.nightly
@pytest.mark.timeout(700)
def test_all_of_it_within_forty_seconds_of_processor_time(tmp_path: Path, repository: Path) -> None:
    """Seconds of a clock say little beside other tests; two idle cores take no longer than one processor's time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = doctor([str(repository), *PACKAGES], "--json", "--experiments", tmp_path, patience=600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {check["status"] for check in json.loads(done.stdout)["checks"]} <= {"ok", "warn", "skip"}
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 40
    assert list(tmp_path.iterdir()) == []


# --- installations that lack something ------------------------------------------------------------------------------------
def test_a_missing_and_a_damaged_extension(tmp_path: Path, repository: Path) -> None:
    shutil.copytree(repository / "qsr", tmp_path / "qsr", ignore=shutil.ignore_patterns("_kernels*", "__pycache__"))
    done = doctor([str(tmp_path), *PACKAGES], "--only", "isa,backend,convolutions,attention")
    assert done.returncode == 0, done.stdout
    assert "warn  backend       the extension qsr._kernels was not built" in done.stdout
    assert "skip  attention     no compiled kernels, see backend" in done.stdout
    built = next((repository / "qsr").glob("_kernels*.so"), None)
    if built is None:
        pytest.skip("the extension was not built")
    library = tmp_path / "qsr" / built.name
    library.write_bytes(b"no library")
    done = doctor([str(tmp_path), *PACKAGES], "--only", "backend,packing")
    assert done.returncode == 6, done.stdout
    assert "fail  backend       the extension is there and cannot be loaded" in done.stdout
    assert "ok    packing       numba, numpy" in done.stdout
    # cut short, it takes the process along that loads it
    library.write_bytes(built.read_bytes()[:4096])
    done = doctor([str(tmp_path), *PACKAGES], "--only", "python,backend,decoder")
    assert done.returncode == 6, done.stdout
    assert "fail  backend       the check ended its process with SIGBUS -> a library on the disk is cut short" in done.stdout
    assert "2 ok, 0 warn, 1 fail" in done.stdout


def test_a_torchvision_that_lacks_what_basicsr_needs(tmp_path: Path, repository: Path) -> None:
    if find_spec("basicsr") is None or find_spec("torch") is None:
        pytest.skip("basicsr is not installed")
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text('"""A torchvision without transforms."""\n__version__ = "0.0.1"\n')
    done = doctor([str(tmp_path), str(repository), *PACKAGES], "--only", "basicsr,python")
    assert done.returncode == 6, done.stdout + done.stderr
    first, second, _ = done.stdout.splitlines()[-3:]
    assert first.startswith("ok    python")
    assert second.startswith("fail  basicsr       basicsr is installed but cannot be imported: ")
    assert "torchvision" in second


def requires(name: str, found: set[str]) -> set[str]:
    """Names of a distribution and of all that it requires without extras."""
    if name not in found:
        found.add(name)
        for text in metadata.requires(name) or ():
            match = _REQUIREMENT.fullmatch(text)
            assert match is not None
            if not match[3]:  # no marker: needed on every machine
                requires(match[1].lower(), found)
    return found


@pytest.fixture(scope="module")
def without_training(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """sys.path of an installation without the extra `train`: links to what qsr itself requires, and to nothing else."""
    folder = tmp_path_factory.mktemp("light")
    for name in requires("qsr", set()):
        for file in metadata.files(name) or ():
            top = Path(str(file.locate())).parents[len(file.parts) - 1] / file.parts[0]
            if file.parts[0] not in ("..", "__pycache__") and not (folder / file.parts[0]).exists():
                (folder / file.parts[0]).symlink_to(top)
    return [str(Path(__file__).resolve().parents[2]), str(folder)]


def test_without_the_extra_everything_else_is_checked(without_training: list[str], tmp_path: Path) -> None:
    done = doctor(without_training, "--json", "--experiments", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert list(found) == [check.name for check in CHECKS]
    skipped = {name for name, check in found.items() if check["status"] == "skip"}
    assert {"torch", "train", "tensorboard", "gpu", "metrics", "resume"} <= skipped
    assert all("pip install 'qsr[train]'" in found[name]["todo"] for name in ("torch", "train", "gpu", "metrics", "resume"))
    assert not skipped & {"python", "packages", "convolutions", "packing", "decoder", "packed", "released", "disk", "locks"}


def test_a_wrong_kernel_and_a_disk_that_does_not_wait_are_said_together(tmp_path: Path, repository: Path) -> None:
    """Two things are broken in every process that imports qsr; each has its line, and the rest is healthy."""
    shutil.copytree(repository / "qsr", tmp_path / "qsr", ignore=shutil.ignore_patterns("__pycache__"))
    kernels = tmp_path / "qsr" / "runtime" / "numpy_kernels.py"
    kernels.write_text(
        kernels.read_text().replace("np.arange(bits, dtype=np.uint8)", "np.arange(bits, dtype=np.uint8)[::-1]", 1)
    )
    with open(tmp_path / "qsr" / "__init__.py", "a") as init:
        init.write("\nimport os\nos.fsync = lambda handle: None\n")
    done = doctor([str(tmp_path), *PACKAGES], "--only", "python,packing,disk", "--experiments", tmp_path)
    assert done.returncode == 6
    assert "fail  packing       numpy packs codes of 2 bits wrongly" in done.stdout
    assert "warn  disk" in done.stdout
    assert "ok    python" in done.stdout


def test_the_help_names_what_it_does() -> None:
    text = CliRunner().invoke(app, ["doctor", "--help"]).stdout
    for option in ("--only", "--quick", "--json", "--experiments"):
        assert option in text

"""Importing qsr and asking for help load nothing heavy and start at once. More about times: benchmarks/import_time.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.drill import NIGHTLY

HEAVY = {"torch", "cv2", "numba", "skimage", "scipy", "tensorboard", "basicsr", "torchvision"}


def loaded_after(code: str, repository: Path) -> set[str]:
    """Names in sys.modules of a fresh interpreter that ran `code`."""
    code = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.drill("M7")
def test_import_qsr(repository: Path) -> None:
    bare = loaded_after("", repository)
    added = loaded_after("import qsr", repository) - bare
    assert not added & (HEAVY | {"numpy", "pydantic", "typer"})
    assert len(added) < 20, sorted(added)


def test_errors_and_specs_are_light(repository: Path) -> None:
    assert not loaded_after("import qsr.errors, qsr.spec, qsr.files", repository) & (HEAVY | {"numpy", "pydantic"})


@pytest.mark.drill("M7")
def test_the_runtime_leaves_torch_alone(repository: Path) -> None:
    modules = "qsr.runtime, qsr.runtime.model, qsr.runtime.interpreter, qsr.runtime.packed.container"
    assert not loaded_after(f"import {modules}", repository) & HEAVY


HELP = """
import sys
from qsr.cli.main import main
for arguments in {arguments}:
    sys.argv = ["qsr", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (arguments, end.code)
"""


@pytest.mark.drill("M7")
def test_help(repository: Path) -> None:
    loaded = loaded_after(HELP.format(arguments=[["--help"]]), repository)
    assert "qsr.cli.main" in loaded
    assert not loaded & (HEAVY | {"numpy", "pydantic"})
    assert len(loaded) < 600, len(loaded)


def test_help_of_every_verb(repository: Path) -> None:
    from qsr.cli import main

    arguments = [[verb, "--help"] for verb in main.VERBS]
    assert not loaded_after(HELP.format(arguments=arguments), repository) & HEAVY


def test_lazy_names_are_found_and_unknown_ones_refused() -> None:
    import qsr

    for name in qsr.__all__:
        assert getattr(qsr, name) is not None
    assert set(dir(qsr)) == set(qsr.__all__)
    with pytest.raises(AttributeError, match="module 'qsr' has no attribute 'quantise'"):
        qsr.quantise  # noqa: B018


def milliseconds(arguments: list[str], repository: Path) -> float:
    """Of the processor, for a process that ends well: what other programs do meanwhile costs it no more than a little."""
    child = subprocess.Popen([sys.executable, *arguments], cwd=repository, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return 1e3 * (usage.ru_utime + usage.ru_stime)


@pytest.mark.drill("M7")
def test_import_takes_100_ms_and_help_300(drill, repository: Path) -> None:
    """The quickest of some starts, less the interpreter's own. Nightly as it is said; per push twice that, for a core that is
    shared with other tests has half a cache and half a clock.
    """
    slack = 1 if NIGHTLY else 2
    cases = {"bare": ["-c", "pass"], "import": ["-c", "import qsr"], "help": ["-m", "qsr.cli.main", "--help"]}
    least = dict.fromkeys(cases, float("inf"))
    for _ in drill.rounds(push=4, nightly=30):
        for name, arguments in cases.items():
            least[name] = min(least[name], milliseconds(arguments, repository))
    print({name: round(value, 1) for name, value in least.items()})
    assert least["import"] - least["bare"] <= 100 * slack
    assert least["help"] - least["bare"] <= 300 * slack

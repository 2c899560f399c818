"""The compiled engine under libFuzzer, ASan and UBSan (F1): see engine_target.cc. Building it takes minutes: nightly only."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.make_corpus import FOLDER, corpus

TARGET = Path("build", "fuzz", "engine")
SECONDS = 120


def test_the_corpus_is_what_its_script_makes() -> None:
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == corpus()
    assert sum(map(len, corpus().values())) < 300_000


@pytest.mark.nightly
@pytest.mark.drill("F1")
@pytest.mark.timeout(3600)
def test_networks_grown_from_bytes(drill, repository: Path, tmp_path: Path) -> None:
    """No write or read beyond a buffer, no undefined behaviour, no picture outside [0, 1], no input that takes 30 s."""
    if shutil.which("clang++") is None or shutil.which("make") is None:
        pytest.skip("no clang++ and make on this machine (apt-get install clang libclang-rt-dev make)")
    built = subprocess.run(["make", str(TARGET), "VENV=" + sys.prefix], cwd=repository, capture_output=True, text=True)
    if built.returncode != 0 and "libclang_rt.fuzzer" in built.stderr:
        pytest.skip("clang has no libFuzzer on this machine (apt-get install libclang-rt-dev)")
    assert built.returncode == 0, built.stderr[-3000:]
    grown = tmp_path / "corpus"
    grown.mkdir()
    options = ["-timeout=30", "-rss_limit_mb=2048", "-max_len=512", "-print_final_stats=1", f"-artifact_prefix={tmp_path}/"]
    command = [repository / TARGET, *options, f"-max_total_time={SECONDS}", f"-seed={drill.seed % 2**31}", grown, FOLDER]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = dict(line.removeprefix("stat::").split(":", 1) for line in done.stderr.splitlines() if line.startswith("stat::"))
    drill.count(int(lines.get("number_of_executed_units", 0)))
    broken = [path for pattern in ("crash-*", "timeout-*", "oom-*", "leak-*") for path in tmp_path.glob(pattern)]
    if broken:
        drill.fail(done.stderr[-4000:], broken[0].read_bytes())
    assert done.returncode == 0, done.stderr[-3000:]
    assert drill.runs > 100

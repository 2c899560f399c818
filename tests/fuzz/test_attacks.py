"""Checkpoints that mean harm (F5): no code runs, exit code 3, soon and without much memory."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from qsr.cli.main import main
from qsr.data.image import write_png
from tests.fuzz.attacks import PTH

MOST_SECONDS, MOST_MEMORY = 2.0, 512 << 20
HARMLESS = ("two pickles",)  # torch reads the first, which holds tensors, and never looks behind it

# One process loads one attack after the other: importing torch takes longer than all of them. Each is measured by itself: time,
# and the peak of memory, which the kernel forgets on request.
CHILD = """
    import json, sys, time
    from pathlib import Path
    import torch
    from qsr.archs.convert import load_foreign_state
    from qsr.errors import QsrError

    def peak():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    for path in map(Path, json.loads(sys.argv[1])):
        Path("/proc/self/clear_refs").write_text("5")
        before, began = peak(), time.process_time()
        try:
            load_foreign_state(path)
            said, code = "loaded", 0
        except QsrError as fault:
            said, code = str(fault), fault.exit_code
        except BaseException as fault:
            said, code = f"{type(fault).__name__}: {fault}", 1
        print(json.dumps([path.name, code, said, time.process_time() - began, (peak() - before) << 10]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, float, int]]:
    """By attack: exit code, message, seconds, bytes of memory."""
    folder = tmp_path_factory.mktemp("pth")
    files = []
    for number, (name, attack) in enumerate(PTH.items()):
        files.append(folder / f"{number}.pth")
        attack(files[-1], folder / f"{number}.canary")
        assert files[-1].stat().st_size < 2 << 20, name
    assert not list(folder.glob("*.canary")), "an attack went off while it was made"
    child = [sys.executable, "-c", textwrap.dedent(CHILD), json.dumps([str(file) for file in files])]
    done = subprocess.run(child, capture_output=True, text=True, timeout=110, cwd=folder)
    assert done.returncode == 0, f"ended by {done.returncode} after:\n{done.stdout}\n{done.stderr}"
    found = {Path(name).stem: rest for name, *rest in map(json.loads, done.stdout.splitlines())}
    return {
        name: (*found[str(number)][:1], *found[str(number)][1:], (folder / f"{number}.canary").exists())
        for number, name in enumerate(PTH)
    }


@pytest.mark.drill("F5")
@pytest.mark.parametrize("name", PTH)
def test_a_hostile_checkpoint_is_refused(name: str, outcomes) -> None:
    code, said, seconds, memory, ran = outcomes[name]
    assert not ran, "its code ran"
    if name in HARMLESS:
        assert (code, said) == (0, "loaded")
        return
    assert code == 3, said
    assert ".pth: " in said
    assert "\n" not in said
    assert said.isprintable()
    assert seconds < MOST_SECONDS
    assert memory < MOST_MEMORY


@pytest.mark.drill("F5")
def test_the_canaries_sing(tmp_path: Path) -> None:
    """The attacks are real: an unpickler that trusts them runs their code."""
    import pickle

    for name in ("reduce, before torch's zip", "reduce, newest protocol"):
        canary = tmp_path / "canary"
        PTH[name](tmp_path / "net.pth", canary)
        with open(tmp_path / "net.pth", "rb") as handle:
            pickle.load(handle)
        assert canary.exists()
        canary.unlink()


@pytest.mark.drill("F5")
def test_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Through the front door: `qsr train` that starts from such a file ends with exit code 3 and one line, and nothing ran."""
    canary = tmp_path / "canary"
    PTH["reduce"](tmp_path / "net.pth", canary)
    write_png(tmp_path / "data" / "a.png", np.zeros((48, 48, 3), np.uint8))
    (tmp_path / "net.yml").write_text(
        textwrap.dedent("""
        name: x
        scale: 2
        datasets: {train: {dataroot_gt: data, gt_size: 32}}
        network_g: {type: SRResNet, num_feat: 4, num_block: 1}
        path: {pretrain_network_g: net.pth}
        train: {total_iter: 1}
        """)
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["qsr", "train", "-opt", "net.yml"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 3, said
    assert said.startswith("qsr: net.pth: ")
    assert said.count("\n") == 1
    assert not canary.exists()

"""Option files from strangers (F6): exit code 2, at once, and the message names file and line."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from qsr.errors import OptionsError
from qsr.options import load
from qsr.options.show import show
from tests.fuzz.options_mutate import START, YAML, damage, good

MOST_SECONDS = 1.0


def refusal(file: Path) -> OptionsError | None:
    """The error that an option file ends in, None for one that loads. Anything but an OptionsError is passed on."""
    try:
        show(load(file))
    except OptionsError as fault:
        return fault
    return None


@pytest.mark.drill("F6")
@pytest.mark.parametrize("name", YAML)
def test_attacks(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, line = YAML[name]
    file = tmp_path / "attack.yml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    monkeypatch.chdir(tmp_path)
    began = time.process_time()
    fault = refusal(file)
    seconds = time.process_time() - began
    assert fault is not None
    assert fault.exit_code == 2
    said = str(fault)
    assert re.search(rf"attack\.yml:{line or r'[0-9]+'}\b", said) or "passwd:1: " in said, said[:300]
    assert all(part.isprintable() for part in said.splitlines())
    assert len(said) < 20_000
    assert seconds < MOST_SECONDS
    assert not (tmp_path / "canary").exists()


@pytest.mark.drill("F6")
def test_damaged_options(drill, tmp_path: Path) -> None:
    """Ready files with a few changes: loaded, or refused in lines that a terminal can print."""
    file, loaded = tmp_path / "net.yml", 0
    for _ in drill.rounds(push=200, nightly=200_000):
        text = damage(drill.random, drill.random.choice(good()))
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        began = time.process_time()
        try:
            fault = refusal(file)
        except Exception as other:
            drill.fail(f"{type(other).__name__}: {other}", text, ".yml")
        if time.process_time() - began > MOST_SECONDS:
            drill.fail("took more than a second", text, ".yml")
        loaded += fault is None
        if fault is not None and not all(part.isprintable() for part in str(fault).splitlines()):
            drill.fail(f"a message that a terminal would obey: {str(fault)!r}", text, ".yml")
        if fault is not None and "net.yml" not in str(fault):
            drill.fail(f"a message without its file: {fault}", text, ".yml")
    assert 0 < loaded < drill.runs
    print(f"{loaded} of {drill.runs} loaded")


def test_the_start_of_the_attacks_is_good(tmp_path: Path) -> None:
    """What is refused is refused for its harm."""
    (tmp_path / "x.yml").write_text(START)
    assert refusal(tmp_path / "x.yml") is None

"""The examples of docs/api.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch


def run_example(repository: Path, number: int) -> tuple[str, dict[str, Any]]:
    """Source and names of the page's example `number`, after it ran."""
    blocks = re.findall(r"```python\n(.*?)```", (repository / "docs" / "api.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(blocks[number], "docs/api.md", "exec"), names)
    return blocks[number], names


def test_quantizing_in_a_loop_of_ones_own(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, names = run_example(repository, 0)
    assert len([line for line in source.splitlines() if line.strip()]) == 25
    assert "lsq 8" in capsys.readouterr().out
    assert {-1, 0, 1} <= set(names["codes"].q.unique().tolist()) <= {-2, -1, 0, 1}
    assert torch.isfinite(names["loss"])


def test_from_a_model_file_to_a_picture(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _, names = run_example(repository, 1)
    assert names["big"].shape == (80, 120, 3)
    said = capsys.readouterr().out
    assert "quantized layers" in said
    assert said.rstrip().endswith(" ms")

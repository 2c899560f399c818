"""The example in docs/api.md is 25 lines long and runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch


def test_the_documented_example_runs(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = re.search(r"```python\n(.*?)```", (repository / "docs" / "api.md").read_text(), re.DOTALL).group(1)
    names: dict = {}
    exec(compile(source, "docs/api.md", "exec"), names)
    assert len([line for line in source.splitlines() if line.strip()]) == 25
    assert "lsq 8" in capsys.readouterr().out
    assert {-1, 0, 1} <= set(names["codes"].q.unique().tolist()) <= {-2, -1, 0, 1}
    assert torch.isfinite(names["loss"])

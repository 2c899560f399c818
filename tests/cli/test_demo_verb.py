from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qsr.cli.main import app


def test_demo_says_the_number_it_got_and_where_things_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    short = ["train.fp_iter=1", "train.total_iter=1", "datasets.train.batch_size_per_gpu=1", "logger.use_tb_logger=false"]
    settings = [part for key in short for part in ("--set", key)]
    result = CliRunner().invoke(app, ["demo", "-opt", str(repository / "options" / "demo.yml"), *settings])
    assert result.exit_code == 0, result.output
    assert re.search(r"The quantized network is \d+\.\d\d dB (above|below) bicubic", result.output)
    named = re.search(r"Upscaled picture +(\S+)", result.output)
    assert named is not None
    assert Path(named[1]).is_file()
    assert re.search(r"Speed +\d+\.\d ms for 320x180 on \d+ threads?; torch \S+ fp32 \d+\.\d times as long", result.output)

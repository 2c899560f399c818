"""`qsr serve` hands its options on; what it does then is tests/serve/test_run.py's business."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from qsr.cli.main import app
from qsr.serve import run


def test_options_arrive_in_bytes_and_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[run.Settings] = []
    monkeypatch.setattr(run, "serve", lambda settings, say: found.append(settings))
    result = CliRunner().invoke(app, ["serve", "-m", "x.qsr", "--port", "0", "--max-megabytes", "2", "--max-megapixels", "0.5"])
    assert result.exit_code == 0
    assert found == [run.Settings("x.qsr", None, "127.0.0.1", 0, None, 2 << 20, 500_000)]


@pytest.mark.parametrize("wrong", [["--port", "70000"], ["--max-megabytes", "0"]])
def test_out_of_range_is_a_usage_error(wrong: list[str]) -> None:
    assert CliRunner().invoke(app, ["serve", *wrong]).exit_code == 2

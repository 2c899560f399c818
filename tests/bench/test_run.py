"""`qsr bench` on a tiny network: what it says, what it refuses, and that a peer's failure is a line and not the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qsr.bench import peers
from qsr.bench.run import OURS, Settings, bench
from qsr.bench.text import table
from qsr.cli.main import app
from qsr.errors import EnvironmentFault, OptionsError
from qsr.runtime.packed import container
from tests.runtime.packed.build import conv_net


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "net.qsr"
    container.write(path, *conv_net("w2a2", features=8, blocks=1))
    return path


def test_ours_alone(packed: Path):
    found = bench(packed, Settings(size=(16, 12), rounds=3, threads=1))
    assert list(found.timings) == [OURS]
    assert found.timings[OURS].rounds == 3
    assert found.timings[OURS].median >= found.timings[OURS].fastest > 0
    assert found.file_bytes == packed.stat().st_size
    assert "16x12" in table(found)
    json.dumps(found.to_json())


def test_peers_run_both_twins_and_are_named_with_their_version(packed: Path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    found = bench(packed, Settings(size=(16, 12), rounds=2, threads=1, against=("onnxruntime", "torch")))
    assert not found.failed
    assert [name.split()[0] for name in found.timings] == [OURS, "onnxruntime", "onnxruntime", "torch", "torch"]
    assert f"onnxruntime {peers.version('onnxruntime')} int8" in table(found)


def test_an_engine_that_fails_is_a_line(packed: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")

    def broken(*_: object) -> None:
        raise RuntimeError("no such operator\nsecond line")

    monkeypatch.setitem(peers.PEERS, "onnxruntime", peers.Peer("onnxruntime", "onnxruntime", ("fp32",), broken))
    found = bench(packed, Settings(size=(8, 8), rounds=1, threads=1, against=("onnxruntime",)))
    assert list(found.timings) == [OURS]
    assert "failed: RuntimeError: no such operator" in table(found)
    assert "second line" not in table(found)


def test_engines_are_checked(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(OptionsError, match="expected some of"):
        peers.wanted("tensorflow")
    monkeypatch.setattr(peers, "installed", lambda name: False)
    with pytest.raises(EnvironmentFault, match="not installed"):
        peers.wanted("openvino")
    assert peers.wanted("all") == []


def test_the_verb(packed: Path):
    result = CliRunner().invoke(app, ["bench", str(packed), "--size", "16x12", "--rounds", "2", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["timings"][OURS]["rounds"] == 2


def test_a_picture_that_takes_minutes_is_refused(packed: Path):
    with pytest.raises(OptionsError, match=r"--size: 65536 x 65536 pixels, expected at most 67,108,864"):
        bench(packed, Settings(size=(65536, 65536)))

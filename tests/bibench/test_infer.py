"""Milliseconds and bytes of packed files, beside the twin's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qsr.bibench import infer
from qsr.bibench.rows import Work
from qsr.runtime.model import load
from tests.bibench.bench_drill import cell_of


def test_packed_files_are_written_measured_and_run_without_the_vector_instructions(made: Work) -> None:
    one = cell_of(made, "infer")
    before = os.environ.get(infer.VARIABLE)
    found = infer.measure(one)
    own, twin = one.folder / "packed" / "bnn_cnn_x2_s0.qsr", one.folder / "packed" / "fp_cnn_s0_x2.qsr"
    assert found["bytes"] == {"binary": own.stat().st_size, "twin": twin.stat().st_size}
    assert found["bytes_ratio"] == twin.stat().st_size / own.stat().st_size
    assert load(own).header.network["method"] == "bnn"
    assert (found["size"], found["threads"], found["layers"]) == ([12, 10], 1, 2)
    for part in (found, found["portable"]):
        assert part["ratio"] > 0
        assert set(part["milliseconds"]) == {"binary", "twin"}
    assert os.environ.get(infer.VARIABLE) == before
    assert sum(line.startswith("qsr bench") for line in found["commands"]) == 2


def test_the_portable_row_is_portable(made: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []
    original = infer.load

    def watched(path: Path, threads: int) -> object:
        model = original(path, threads=threads)
        seen.append({kernel.isa for kernel in model.kernels()})
        return model

    monkeypatch.setattr(infer, "load", watched)
    infer.measure(cell_of(made, "infer"))
    assert seen[2:] == [{"portable"}, {"portable"}]

"""The two kinds of cells that are times: training steps, and packed files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from qsr.archs import build, quantize
from qsr.archs.modelfile import ModelInfo, read_state, save_model, versions
from qsr.bibench import infer, speed
from qsr.bibench.cells import Cell, cells
from qsr.bibench.rows import Network, Work
from qsr.quant import calibrate
from qsr.runtime.model import load
from tests.bibench.bench_drill import work


def stored(work: Work, network: Network) -> Path:
    """A network that was never trained, as its experiment would hold it."""
    task = work.task(network)
    torch.manual_seed(0)
    built = build(task.options)
    report = quantize(built, task.options)
    calibrate(built, [torch.rand(1, 3, 8, 8)])
    file = task.folder / "models" / "net_g_latest.safetensors"
    file.parent.mkdir(parents=True)
    save_model(
        file, built, ModelInfo(options=task.options.to_json(), layers=report.to_json(), iteration=4, versions=versions())
    )
    return file


@pytest.fixture
def made(data: Path, tmp_path: Path) -> Work:
    found = work(tmp_path, data)
    stored(found, Network("bnn", "cnn", 2, 0))
    stored(found, Network("fp", "cnn", 2, 0))
    return found


def cell(work: Work, kind: str) -> Cell:
    return next(one for one in cells(work, kind) if one.name == "bnn_cnn_x2_s0")  # type: ignore[arg-type]


def test_a_steppers_step_trains(made: Work) -> None:
    model = made.task(Network("bnn", "cnn", 2, 0)).folder
    before = read_state(model)
    seen: list[torch.Tensor] = []
    original = speed.make

    def watched(network: torch.nn.Module, *rest: object) -> object:
        seen.append(next(network.parameters()))
        return original(network, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "make", watched)
        step = speed.stepper(model)
    first = seen[0].detach().clone()
    assert torch.equal(first, before["conv_first.weight"]), "it goes on from the trained weights"
    step()
    assert not torch.equal(seen[0], first)
    for _ in range(10):
        step()  # further than the training was long
    assert torch.isfinite(seen[0]).all()


def test_turns_alternate_and_their_median_counts(made: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    lengths = iter([9.0, 9.0, 2.0, 6.0, 8.0, 2.0])  # warm-ups; own, twin; twin, own

    def stepper(model: Path) -> object:
        return lambda: order.append(model.name)

    def turn(step: object, count: int) -> float:
        step()  # type: ignore[operator]
        return next(lengths)

    monkeypatch.setattr(speed, "stepper", stepper)
    monkeypatch.setattr(speed, "turn", turn)
    found = speed.measure(cell(made, "train"))
    assert order == [*("bnn_cnn_s0", "fp_cnn_s0"), *("bnn_cnn_s0", "fp_cnn_s0"), *("fp_cnn_s0", "bnn_cnn_s0")]
    assert found["turns"] == {"binary": [2.0, 2.0], "twin": [6.0, 8.0]}
    assert found["ratio"] == 3.5
    assert found["seconds_per_1000"] == {"binary": 2000.0, "twin": 7000.0}


def test_packed_files_are_written_measured_and_run_without_the_vector_instructions(made: Work) -> None:
    one = cell(made, "infer")
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
    infer.measure(cell(made, "infer"))
    assert seen[2:] == [{"portable"}, {"portable"}]

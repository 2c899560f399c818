"""What goes into a checkpoint comes out bit for bit; what does not belong together is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save, save_file
from train_drill import tiny_options

from qsr.archs.modelfile import load_model
from qsr.errors import FormatError
from qsr.train import optim, stages, state
from qsr.train.distributed import Team
from qsr.train.stages import Stage
from qsr.train.state import Position
from qsr.train.trainee import Trainee, make

POSITION = Position(iteration=9, stage="warm-up at full depth", validated=7, validations=1, best={"psnr_y": 30.0})


@pytest.fixture
def saved(pictures: Path, tmp_path: Path) -> tuple[Path, Trainee, Stage]:
    """A quantized supernet after one step of its optimiser, written to a folder."""
    options = tiny_options(pictures, tmp_path)
    stage = stages.plan(options)[1]
    torch.manual_seed(3)
    network, report = stage.begin(None, iter([torch.rand(2, 3, 4, 4)] * 2), torch.device("cpu"))
    trainee = make(network, report, stage, torch.device("cpu"))
    lq = torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    trainee.network(lq).square().mean().backward()
    trainee.optimiser.step()
    assert trainee.ema is not None
    trainee.ema.update(0)
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    state.write_files(folder, trainee, stage, POSITION, options, state.random_state(Team()))
    return folder, trainee, stage


def test_everything_comes_back(saved: tuple[Path, Trainee, Stage]) -> None:
    folder, trainee, stage = saved
    expected = torch.rand(3)
    twin = make(*stage.build(), stage, torch.device("cpu"))
    state.restore(folder, twin, Team())
    assert torch.equal(torch.rand(3), expected), "the random generator goes on where it was"
    for name, value in trainee.network.state_dict().items():
        assert torch.equal(twin.network.state_dict()[name], value), name
    assert trainee.ema is not None
    assert twin.ema is not None
    for name, value in trainee.ema.shadow.items():
        assert torch.equal(twin.ema.shadow[name], value), name
    theirs = optim.state(twin.optimiser)
    for name, value in optim.state(trainee.optimiser).items():
        assert torch.equal(theirs[name], value), name
        assert theirs[name].stride() == value.stride(), name
    facts = state.read_facts(folder)
    assert state.position_of(facts) == POSITION
    assert facts["world"] == 1


def test_the_model_file_describes_itself(saved: tuple[Path, Trainee, Stage]) -> None:
    folder, trainee, _ = saved
    network, info = load_model(folder / "model.safetensors")
    assert (info.iteration, info.weights) == (9, "ema")
    assert info.extra == {"stage": "warm-up at full depth"}
    assert info.metrics["best"] == {"psnr_y": 30.0}
    assert torch.equal(network.conv_last.bias, trainee.shipped_state()["conv_last.bias"])


def test_files_hold_no_pickle(saved: tuple[Path, Trainee, Stage]) -> None:
    assert sorted(path.suffix for path in saved[0].iterdir()) == [".json", ".safetensors", ".safetensors"]


def test_another_networks_tensors_are_refused(saved: tuple[Path, Trainee, Stage]) -> None:
    folder, _, stage = saved
    tensors = load_file(folder / "training.safetensors")
    tensors.pop("raw/conv_last.bias")
    save_file(tensors, folder / "training.safetensors")
    with pytest.raises(FormatError, match="tensors do not match the network: conv_last.bias"):
        state.restore(folder, make(*stage.build(), stage, torch.device("cpu")), Team())


def test_a_tensor_of_another_shape_is_refused(saved: tuple[Path, Trainee, Stage]) -> None:
    folder, _, stage = saved
    tensors = load_file(folder / "training.safetensors")
    tensors["raw/conv_last.bias"] = torch.zeros(1)  # would be spread over all three
    save_file(tensors, folder / "training.safetensors")
    with pytest.raises(FormatError, match=r"conv_last.bias has the shape \(1,\), the network's is \(3,\)"):
        state.restore(folder, make(*stage.build(), stage, torch.device("cpu")), Team())


@pytest.mark.parametrize("content", [b"", b"{}", save({"x/y": torch.zeros(1)}), save({"optim/a|exp_avg": torch.zeros(1)})])
def test_what_is_no_training_state_is_refused(saved: tuple[Path, Trainee, Stage], content: bytes) -> None:
    folder, _, stage = saved
    (folder / "training.safetensors").write_bytes(content)
    with pytest.raises(FormatError, match="not the tensors of this training"):
        state.restore(folder, make(*stage.build(), stage, torch.device("cpu")), Team())


def test_files_of_one_save_belong_together(saved: tuple[Path, Trainee, Stage]) -> None:
    folder = saved[0]
    state.check(folder)
    folder = folder.rename(folder.with_name("00000009"))
    state.check(folder)
    folder = folder.rename(folder.with_name("00000010"))
    with pytest.raises(FormatError, match="00000010: holds iteration 9"):
        state.check(folder)
    folder = folder.rename(folder.with_name("00000009"))
    tensors = load_file(folder / "training.safetensors")
    tensors["raw/conv_last.bias"] += 1
    save_file(tensors, folder / "training.safetensors")
    with pytest.raises(FormatError, match=r"training\.safetensors: is not the one that state\.json was saved with"):
        state.check(folder)
    (folder / "training.safetensors").unlink()
    with pytest.raises(FormatError, match=r"training\.safetensors: missing"):
        state.check(folder)


def test_a_checkpoint_from_before_the_hashes_is_as_good(saved: tuple[Path, Trainee, Stage]) -> None:
    folder = saved[0]
    facts = json.loads((folder / "state.json").read_text())
    for name in ("files", "skipped", "rewinds"):
        facts.pop(name)
    (folder / "state.json").write_text(json.dumps(facts))
    state.check(folder)
    assert state.position_of(state.read_facts(folder)) == POSITION


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_a_state_that_is_none_is_refused(saved: tuple[Path, Trainee, Stage], content: bytes) -> None:
    (saved[0] / "state.json").write_bytes(content)
    with pytest.raises(FormatError, match="not the state of a training"):
        state.read_facts(saved[0])


@pytest.mark.parametrize(("key", "value"), [("iteration", "9"), ("stage", None), ("world", 1.5), ("options", [])])
def test_entries_of_another_kind_are_refused(saved: tuple[Path, Trainee, Stage], key: str, value: object) -> None:
    facts = json.loads((saved[0] / "state.json").read_text())
    (saved[0] / "state.json").write_text(json.dumps({**facts, key: value}))
    with pytest.raises(FormatError, match=f"{key} is .*, expected"):
        state.check(saved[0])


def test_a_later_version_is_refused(saved: tuple[Path, Trainee, Stage]) -> None:
    folder = saved[0]
    facts = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**facts, "version": 99}))
    with pytest.raises(FormatError, match="version 99, this qsr reads 1"):
        state.read_facts(folder)

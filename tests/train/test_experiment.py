"""A folder that holds a run is refused, resumed or overwritten, never guessed at; changed options are told (T10)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from train_drill import tiny_options

from qsr.errors import FormatError, OptionsError
from qsr.options import from_json
from qsr.options.schema import Options
from qsr.train import experiment
from qsr.train.run import train


@pytest.fixture(scope="module")
def finished(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Options]:
    """A run of 4 iterations without validation: what it left, and its options."""
    root = tmp_path_factory.mktemp("finished")
    options = short(pictures, root)
    train(options, notify=lambda line: None)
    return root, options


def short(pictures: Path, root: Path) -> Options:
    train_set = {"dataroot_gt": str(pictures / "train"), "gt_size": 8, "batch_size_per_gpu": 2}
    sections = {"train": {"total_iter": 4, "fp_iter": 0}, "datasets": {"train": train_set, "val": None}}
    plain = tiny_options(pictures, root, depth=None, train=sections["train"]).to_json()
    plain["datasets"].pop("val")
    return from_json(plain)


def changed(options: Options, section: str, **values: object) -> Options:
    return options.model_copy(update={section: getattr(options, section).model_copy(update=values)})


def test_an_existing_run_is_refused_with_advice(finished: tuple[Path, Options]) -> None:
    with pytest.raises(OptionsError, match="exists already.*--auto_resume continues it, --overwrite starts it again") as caught:
        experiment.prepare(finished[1], False, False, print)
    assert caught.value.exit_code == 2


def test_flags_that_contradict_each_other(finished: tuple[Path, Options]) -> None:
    with pytest.raises(OptionsError, match="contradict"):
        experiment.prepare(finished[1], True, True, print)


SEMANTIC: list[tuple[Callable[[Options], Options], str]] = [
    (lambda o: changed(o, "quant", w_bits=4), "quant.w_bits: 2 -> 4"),
    (lambda o: changed(o, "train", total_iter=3), "train.total_iter: 4 -> 3"),
    (lambda o: changed(o, "train", accumulate=2), "train.accumulate: 1 -> 2"),
    (lambda o: changed(o, "network_g", num_feat=8), "network_g.num_feat: 4 -> 8"),
    (lambda o: o.model_copy(update={"manual_seed": 1}), "manual_seed: 0 -> 1"),
]


@pytest.mark.drill("T10")
@pytest.mark.parametrize(("change", "line"), SEMANTIC, ids=[line.split(":")[0] for _, line in SEMANTIC])
def test_a_change_that_matters_is_refused_with_its_diff(
    finished: tuple[Path, Options], change: Callable[[Options], Options], line: str
) -> None:
    with pytest.raises(OptionsError, match="resume refused") as caught:
        experiment.prepare(change(finished[1]), True, False, print)
    assert line in str(caught.value)


HARMLESS: list[tuple[Callable[[Options], Options], str]] = [
    (lambda o: changed(o, "logger", print_freq=3), "logger.print_freq: 1 -> 3"),
    (lambda o: changed(o, "val", val_freq=2), "val.val_freq: 7 -> 2"),
    (lambda o: changed(o, "train", total_iter=9), "train.total_iter: 4 -> 9"),
    (lambda o: changed(o, "train", nan_policy="skip"), "train.nan_policy: stop -> skip"),
    (lambda o: o.model_copy(update={"device": "auto"}), "device: cpu -> auto"),
]


@pytest.mark.drill("T10")
@pytest.mark.parametrize(("change", "line"), HARMLESS, ids=[line.split(":")[0] for _, line in HARMLESS])
def test_a_harmless_change_is_accepted_and_told(
    finished: tuple[Path, Options], change: Callable[[Options], Options], line: str
) -> None:
    said: list[str] = []
    assert experiment.prepare(change(finished[1]), True, False, said.append) == finished[0] / "tiny/checkpoints/00000004"
    assert said == [f"changed since the checkpoint: {line}"]


def test_resolved_options_are_written_twice(finished: tuple[Path, Options]) -> None:
    folder = finished[0] / "tiny"
    experiment.prepare(finished[1], True, False, print)
    assert from_json(json.loads((folder / "options.json").read_text())) == finished[1]
    assert from_json(yaml.safe_load((folder / "options.yml").read_text())) == finished[1]


def test_resume_state_names_a_checkpoint(finished: tuple[Path, Options], tmp_path: Path) -> None:
    chosen = finished[0] / "tiny/checkpoints/00000004"
    assert experiment.prepare(changed(finished[1], "path", resume_state=str(chosen)), False, False, print) == chosen
    with pytest.raises(FormatError, match="no such checkpoint folder"):
        experiment.prepare(changed(finished[1], "path", resume_state=str(tmp_path / "none")), False, False, print)


def test_overwrite_removes_what_a_run_wrote_and_nothing_else(pictures: Path, tmp_path: Path) -> None:
    options = short(pictures, tmp_path)
    train(options, notify=lambda line: None)
    (tmp_path / "tiny/notes.txt").write_text("mine")
    assert experiment.prepare(options, False, True, print) is None
    left = sorted(path.name for path in (tmp_path / "tiny").iterdir())
    assert left == ["LOCK", "notes.txt", "options.json", "options.yml"]

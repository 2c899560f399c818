"""From the file to trainings: which networks, which options, which of them are chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsr.bibench.rows import Network
from qsr.errors import OptionsError
from tests.bibench.bench_drill import work


def test_every_operator_on_every_family_with_its_twin_and_start(data: Path, tmp_path: Path) -> None:
    made = work(tmp_path, data)
    names = [task.name for task in made.plans["x2"].tasks]
    assert set(names) == {
        *("start_cnn_s0", "start_other_s0", "fp_cnn_s0", "fp_other_s0"),
        *("bnn_cnn_s0", "bnn_other_s0", "xnor_cnn_s0", "xnor_other_s0", "part_cnn_s0"),
    }
    assert len(list(made.networks())) == 7
    assert made.task(Network("bnn", "other", 2, 0)).name == "bnn_other_s0"
    assert Network("bnn", "cnn", 2, 0).twin == Network("fp", "cnn", 2, 0)
    assert Network("bnn", "cnn", 2, 1).name == "bnn_cnn_x2_s1"


def test_a_twin_has_the_recipe_of_its_family_and_no_quantizer(data: Path, tmp_path: Path) -> None:
    made = work(tmp_path, data)
    twin, own = (made.task(Network(name, "cnn", 2, 0)) for name in ("fp", "bnn"))
    assert twin.options.quant is None
    assert own.options.quant is not None
    assert twin.options.train == own.options.train
    assert twin.start == own.start == "start_cnn_s0"
    assert (twin.options.network_g.block, own.options.network_g.block) == ("residual", "unit")  # type: ignore[union-attr]
    other = made.task(Network("xnor", "other", 2, 0)).options
    assert other.network_g.num_feat == 8  # type: ignore[union-attr]
    assert other.quant is not None
    assert other.quant.method == "xnor"
    assert other.train is not None
    assert other.train.total_iter == 4


def test_the_grid_is_rates_times_schedules_of_twins_and_operators(data: Path, tmp_path: Path) -> None:
    made = work(tmp_path, data)
    points = made.grid("bnn", "cnn")
    assert [task.row.row.partition(".")[2] for task in points] == [
        *("0.0001-cosine", "0.0001-multistep", "0.001-cosine", "0.001-multistep")
    ]
    trains = [task.options.train for task in points]
    assert [train.optim_g.lr for train in trains if train] == [1e-4, 1e-4, 1e-3, 1e-3]
    assert [train.scheduler.milestones for train in trains if train] == [(), (2, 3), (), (2, 3)]
    assert len(made.grid("fp", "cnn")) == 4
    assert made.grid("bnn", "other") == [], "the first family only, unless more are named"
    assert made.grid("part", "cnn") == [], "an ablation has no metrics"
    assert "grid" not in work(tmp_path, data, {"tracks": ("task", "infer")}).plans


def test_scales_and_seeds_multiply(data: Path, tmp_path: Path) -> None:
    made = work(tmp_path, data, scales=[2, 4], seeds=[0, 3])
    assert set(made.plans) == {"x2", "x4", "grid"}
    task = made.task(Network("bnn", "cnn", 4, 3))
    assert (task.options.scale, task.seed, task.options.datasets["train"].gt_size) == (4, 3, 24)
    assert {t.seed for t in made.plans["grid"].tasks} == {0}
    assert len(list(made.networks())) == 28


def test_only_takes_twins_and_starts_along_and_nothing_else(data: Path, tmp_path: Path) -> None:
    made = work(tmp_path, data, {"only": ("xnor_c",)})
    assert made.plans["x2"].chosen == {"xnor_cnn_s0", "fp_cnn_s0", "start_cnn_s0"}
    assert {name.partition(".")[0] for name in made.plans["grid"].chosen} == {"xnor_cnn", "fp_cnn", "start_cnn_s0"}
    assert "grid" not in work(tmp_path, data, {"only": ("part",)}).plans
    with pytest.raises(OptionsError, match="no such network"):
        work(tmp_path, data, {"only": ("xnr",)})


def test_a_budget_and_options_that_do_not_resolve(data: Path, tmp_path: Path) -> None:
    train = work(tmp_path, data, {"budget": 9}).task(Network("bnn", "cnn", 2, 0)).options.train
    assert train is not None
    assert train.total_iter == 9
    with pytest.raises(OptionsError) as caught:
        work(tmp_path, data, operators=[{"operator": "odd", "set": {"quant.method": "bnm"}}])
    assert "bench.yml:" in str(caught.value)
    assert "row odd_cnn" in str(caught.value)
    assert "bnn" in str(caught.value)

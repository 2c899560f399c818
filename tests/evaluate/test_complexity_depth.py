"""The deepest sub-network within a budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsr import archs
from qsr.archs import depth
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.errors import OptionsError
from qsr.evaluate.complexity import complexity
from qsr.evaluate.complexity_depth import Budget, choose, described
from qsr.options import from_dict


def supernet_options(depths: tuple[int, ...] = (4, 2, 1)):
    data = {"name": "test", "scale": 2, "network_g": {"type": "SRResNet", "num_feat": 4, "num_block": 4}}
    return from_dict(data | ({"depth": {"dqa": {"depths": list(depths)}}} if depths else {}))


def save(folder: Path, depths: tuple[int, ...] = (4, 2, 1), freeze: bool = True) -> Path:
    options = supernet_options(depths)
    network = archs.build(options)
    if freeze:
        depth.freeze_order(network)
    save_model(folder / "m.safetensors", network, ModelInfo(options.to_json()))
    return folder / "m.safetensors"


def test_rows_are_the_counts_of_each_depth(tmp_path: Path) -> None:
    choice = choose(save(tmp_path), Budget(), 8, 8)
    expected = [complexity(supernet_options(), depth=n, height=8, width=8) for n in (4, 2, 1)]
    assert [(row.depth, row.params_k, row.ops_g, row.ms) for row in choice.rows] == [
        (report.depth, report.params_k, report.ops_g, None) for report in expected
    ]
    assert choice.chosen == 4


@pytest.mark.parametrize("limited", ["params", "ops"])
@pytest.mark.parametrize("chosen", [4, 2, 1])
def test_deepest_that_fits(tmp_path: Path, limited: str, chosen: int) -> None:
    path = save(tmp_path)
    row = next(row for row in choose(path, Budget(), 8, 8).rows if row.depth == chosen)
    exactly = {"params": row.params_k * 1e3, "ops": row.ops_g * 1e9}[limited]
    assert choose(path, Budget(**{limited: exactly}), 8, 8).chosen == chosen
    below = choose(path, Budget(**{limited: exactly - 1}), 8, 8)
    assert below.chosen == {4: 2, 2: 1, 1: None}[chosen]


def test_both_limits_hold(tmp_path: Path) -> None:
    path = save(tmp_path)
    rows = {row.depth: row for row in choose(path, Budget(), 8, 8).rows}
    assert choose(path, Budget(params=rows[4].params_k * 1e3, ops=rows[1].ops_g * 1e9), 8, 8).chosen == 1


def test_milliseconds_are_measured_when_limited(tmp_path: Path) -> None:
    choice = choose(save(tmp_path), Budget(ms=1e-9), 8, 8)
    assert choice.chosen is None
    assert all(row.ms > 0 for row in choice.rows)
    assert choose(save(tmp_path), Budget(ms=1e9), 8, 8).chosen == 4


def test_order_is_read_from_the_file(tmp_path: Path) -> None:
    assert described(save(tmp_path))[1] == [0, 1, 2, 3]
    assert described(save(tmp_path, freeze=False))[1] is None


def test_one_depth_only(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="one depth only"):
        choose(save(tmp_path, (), freeze=False), Budget())

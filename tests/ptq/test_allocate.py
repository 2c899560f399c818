from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from qsr.errors import OptionsError
from qsr.evaluate.complexity import complexity
from qsr.options import Options, from_dict, load
from qsr.ptq.allocate import Budget, allocate, choices, uniform_budget
from qsr.ptq.sensitivity import FULL, Loss, Sensitivity

BITS = (2, 4, 8)
LAYERS = ("body.0.conv1", "body.0.conv2", "body.1.conv1", "body.1.conv2", "conv_after_body")
SECTION = {"type": "SRResNet", "num_feat": 4, "num_block": 2}
QUANT = {"method": "lsq", "w_granularity": "channel", "w_bits": 4, "a_bits": 4}
SIZE = (16, 16)


def options() -> Options:
    return from_dict({"name": "fp", "scale": 2, "network_g": SECTION})


def table(errors: dict[tuple[str, int, int], float]) -> Sensitivity:
    rows = tuple(Loss(*key, psnr_y=30 - error, psnr_lost=error, error=error) for key, error in errors.items())
    return Sensitivity("m", "pictures", 4, 8, 30.0, QUANT, rows)


def uneven() -> Sensitivity:
    """Layer i is 10^i times as sensitive as the first; four times the error with half the bits."""
    return table({(name, b, b): 10.0**i * 16.0 / b**2 for i, name in enumerate(LAYERS) for b in BITS})


def cost(bits: dict[str, tuple[int, int]]) -> tuple[float, float]:
    """(params, ops) of the whole network with these bits, from `complexity` itself."""
    rules = [{"match": name, "w_bits": w, "a_bits": a} for name, (w, a) in bits.items()]
    whole = from_dict({"name": "q", "scale": 2, "network_g": SECTION, "quant": {**QUANT, "rules": rules}})
    report = complexity(whole, "honest", None, *SIZE)
    return report.params_k * 1e3, report.ops_g * 1e9


def test_the_budget_is_met_and_the_sum_is_the_networks() -> None:
    limit = cost(dict.fromkeys(LAYERS, (4, 4)))
    chosen = allocate(options(), uneven(), Budget(*limit), None, *SIZE)
    bits = {row.layer: (row.w_bits, row.a_bits) for row in chosen.rows}
    params, ops = cost(bits)
    assert chosen.params_k * 1e3 == pytest.approx(params)
    assert chosen.ops_g * 1e9 == pytest.approx(ops)
    assert params <= limit[0] * (1 + 1e-6)
    assert ops <= limit[1] * (1 + 1e-6)
    assert chosen.error < sum(row.error for row in uneven().rows if row.w_bits == 4)
    assert bits["conv_after_body"] > bits["body.0.conv1"]


@settings(max_examples=15)
@given(st.lists(st.floats(0, 10), min_size=15, max_size=15), st.floats(0.05, 1))
def test_it_is_the_best_of_all(numbers: list[float], share: float) -> None:
    keys = [(name, b, b) for name in LAYERS for b in BITS]
    found = table(dict(zip(keys, numbers)))
    low, high = cost(dict.fromkeys(LAYERS, (2, 2)))[1], cost(dict.fromkeys(LAYERS, (8, 8)))[1]
    limit = low + share * (high - low)
    each = {name: {b: cost({**dict.fromkeys(LAYERS, (2, 2)), name: (b, b)})[1] - low for b in BITS} for name in LAYERS}
    best = math.inf
    for picked in itertools.product(BITS, repeat=len(LAYERS)):
        if low + sum(each[name][b] for name, b in zip(LAYERS, picked)) <= limit * (1 + 1e-9):
            best = min(best, sum(found.rows[keys.index((name, b, b))].error for name, b in zip(LAYERS, picked)))
    chosen = allocate(options(), found, Budget(ops=limit), None, *SIZE)
    assert chosen.error == pytest.approx(best, abs=1e-5)
    assert chosen.bound <= chosen.error + 1e-5


def test_sides_measured_apart_give_every_pair() -> None:
    found = table({("a", 2, FULL): 3.0, ("a", 4, FULL): 1.0, ("a", FULL, 2): 2.0, ("a", FULL, 4): 0.5})
    assert choices(found) == {"a": {(2, 2): 5.0, (2, 4): 3.5, (4, 2): 3.0, (4, 4): 1.5}}


def test_without_a_budget_everything_gets_its_best() -> None:
    chosen = allocate(options(), uneven(), Budget(), None, *SIZE)
    assert {(row.w_bits, row.a_bits) for row in chosen.rows} == {(8, 8)}
    assert (chosen.average_w, chosen.average_a, chosen.ms) == (8, 8, None)
    assert chosen.bound == pytest.approx(chosen.error)


def test_milliseconds_are_the_users() -> None:
    times = {"other": 1.0, "layers": {name: {f"w{b}a{b}": float(b) for b in BITS} for name in LAYERS}}
    chosen = allocate(options(), uneven(), Budget(ms=1 + 4 * 2 + 8), times, *SIZE)
    assert [row.w_bits for row in chosen.rows] == [2, 2, 2, 2, 8]
    assert chosen.ms == 17
    with pytest.raises(OptionsError, match="none were measured"):
        allocate(options(), uneven(), Budget(ms=10), None, *SIZE)
    with pytest.raises(OptionsError, match="no milliseconds of body.0.conv1 at w2a2"):
        allocate(options(), uneven(), Budget(ms=10), {"layers": {}}, *SIZE)


def test_budgets_that_cannot_be_met_are_named() -> None:
    with pytest.raises(OptionsError, match="at most 10 params: the smallest has"):
        allocate(options(), uneven(), Budget(params=10), None, *SIZE)
    with pytest.raises(OptionsError, match="no layer body.7"):
        allocate(options(), table({("body.7", 2, 2): 1.0}), Budget(), None, *SIZE)


def test_budgets_of_which_each_can_be_met_but_not_both() -> None:
    """Small widths are the slow ones on this machine: few parameters and little time exclude each other."""
    times = {"layers": {name: {f"w{b}a{b}": 16.0 / b for b in BITS} for name in LAYERS}}
    small = cost(dict.fromkeys(LAYERS, (2, 2)))[0]
    assert allocate(options(), uneven(), Budget(params=small), times, *SIZE).ms == 8 * len(LAYERS)
    assert allocate(options(), uneven(), Budget(ms=2 * len(LAYERS)), times, *SIZE).average_w == 8
    with pytest.raises(OptionsError, match="no allocation meets every budget"):
        allocate(options(), uneven(), Budget(params=small, ms=2 * len(LAYERS)), times, *SIZE)


def test_uniform_bits_as_a_budget() -> None:
    budget = uniform_budget(options(), uneven(), (4, 4), *SIZE)
    assert (budget.params, budget.ops) == pytest.approx(cost({}))


def test_the_fragment_goes_under_an_option_file(tmp_path) -> None:
    chosen = allocate(options(), uneven(), Budget(*cost({})), None, *SIZE)
    (tmp_path / "allocation.yml").write_text(chosen.to_yaml())
    (tmp_path / "q.yml").write_text(yaml.safe_dump({"name": "q", "scale": 2, "network_g": SECTION, "quant": QUANT}))
    (tmp_path / "o.yml").write_text("base: [q.yml, allocation.yml]\nname: mixed\n")
    loaded = load(tmp_path / "o.yml").options
    report = complexity(loaded, "honest", None, *SIZE)
    assert report.params_k == pytest.approx(chosen.params_k)
    assert np.isclose(report.ops_g, chosen.ops_g)

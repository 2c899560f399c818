"""The six formulas on hand-made tables, and the two ratios of the complexity track on known layers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsr.bibench import metrics
from qsr.bibench.metrics import Metric, gain, grouped, robustness, share, speed_ratio, stability, storage_ratio, two_sided
from qsr.evaluate.complexity import complexity
from qsr.options import from_json


def test_a_mean_within_groups_and_a_quadratic_mean_over_them() -> None:
    # E: (0.8 + 0.6) / 2 = 0.7 and 0.1; sqrt((0.49 + 0.01) / 2) = 0.5
    found = grouped([("Set5", 0.8), ("Set5", 0.6), ("Set14", 0.1)])
    assert found.value == pytest.approx(0.5)
    assert (found.measured, found.wanted, found.complete) == (3, 3, True)


def test_a_group_that_does_well_weighs_more_than_one_that_fails() -> None:
    assert grouped([("a", 0.9), ("b", 0.1)]).value > 0.5 == pytest.approx(grouped([("a", 0.5), ("b", 0.5)]).value)  # type: ignore[operator]


def test_what_is_missing_is_left_out_and_counted() -> None:
    found = grouped([("a", 0.8), ("a", None), ("b", None)])
    assert found == Metric(0.8, 1, 3)
    assert not found.complete
    assert grouped([("a", None)]) == Metric(None, 0, 1)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 10)), min_size=1))
def test_full_precision_is_one_and_the_metric_lies_between_its_cells(cells: list[tuple[str, float]]) -> None:
    assert grouped([(group, 1.0) for group, _ in cells]).value == pytest.approx(1)
    value = grouped(cells).value
    assert value is not None
    assert min(v for _, v in cells) - 1e-9 <= value <= max(v for _, v in cells) + 1e-9


def test_the_two_readings_of_one_cell() -> None:
    # 33 of 36 dB; 3 of 6 dB above bicubic's 30
    assert share(33.0, 36.0, 30.0, "psnr") == pytest.approx(33 / 36)
    assert share(33.0, 36.0, 30.0, "gain") == pytest.approx(0.5)
    assert share(29.0, 36.0, 30.0, "gain") == 0.0, "worse than bicubic is worth nothing, and not less"
    assert share(33.0, 29.0, 30.0, "gain") is None, "a twin below bicubic has nothing to be a share of"
    assert share(None, 36.0, 30.0, "psnr") is None
    assert share(33.0, 36.0, None, "gain") is None
    assert gain(29.0, 30.0) == 0.0


def test_robustness_is_the_twins_loss_over_the_networks() -> None:
    # the twin loses 6 dB, the binarized network 4
    assert robustness((33.0, 29.0), (36.0, 30.0), None, "psnr") == pytest.approx(1.5)
    assert robustness((33.0, 33.5), (36.0, 30.0), None, "psnr") == pytest.approx(600), "a loss is 0.01 dB at least"
    # above bicubic (31 clean, 28 corrupted): the twin falls from 5 to 2, the network from 2 to 1
    assert robustness((33.0, 29.0), (36.0, 30.0), (31.0, 28.0), "gain") == pytest.approx(3.0)
    assert robustness((33.0, 29.0), None, (31.0, 28.0), "psnr") is None
    assert robustness((33.0, 29.0), (36.0, 30.0), None, "gain") is None


def test_r_c_and_r_s_on_known_layers() -> None:
    # a 3x3 convolution of 64 to 64 (36,864 weights) binarized behind one of 3 to 64 (1,728) in full precision
    assert storage_ratio(38592, 1728) == pytest.approx(38592 / (36864 / 32 + 1728)) == pytest.approx(13.4)
    assert speed_ratio(38592, 1728) == pytest.approx(38592 / (36864 / 64 + 1728)) == pytest.approx(16.75)
    assert storage_ratio(100, 100) == speed_ratio(100, 100) == 1
    assert (storage_ratio(100, 0), speed_ratio(100, 0)) == (32, 64)


def test_the_honest_counts_are_the_formulas_but_for_what_a_quantizer_stores_itself() -> None:
    network = {"type": "SRResNet", "layout": "msr", "num_feat": 8, "num_block": 2}
    plain = {"name": "n", "scale": 2, "network_g": network, "datasets": {}}
    full = complexity(from_json(plain))
    bnn = complexity(from_json({**plain, "quant": {"method": "bnn", "w_bits": 1, "a_bits": 1}}))
    binary = sum(layer.weights for layer in bnn.layers if layer.w_bits == 1)
    macs = sum(layer.macs for layer in bnn.layers if layer.w_bits == 1)
    total = full.parameters
    extra = bnn.parameters - total
    assert 0 <= extra <= 8
    assert full.params_k / bnn.params_k == pytest.approx(
        total / (total / storage_ratio(total, total - binary) + extra), rel=1e-9
    )
    assert full.ops_g / bnn.ops_g == pytest.approx(speed_ratio(1e9 * full.macs_g, 1e9 * full.macs_g - macs), rel=1e-6)


def test_stability_is_the_ratio_of_standard_deviations() -> None:
    # n - 1 in the denominator: 36.0, 36.2, 36.4 have 0.2; 35, 36, 37 have 1
    assert stability([35.0, 36.0, 37.0], [36.0, 36.2, 36.4]) == pytest.approx(0.2)
    assert stability([36.0, 36.0], [36.0, 36.2]) == pytest.approx(math.sqrt(0.02) / 1e-3), "0.001 dB at least"
    assert stability([36.0, None], [36.0, 36.2]) is None
    assert stability([36.0], [36.0]) is None


def test_a_metric_of_two_sides_needs_both() -> None:
    # sqrt((3^2 + 4^2) / 2), E over two networks on the first side
    assert two_sided([2.0, 4.0], [4.0]).value == pytest.approx(math.sqrt(12.5))
    assert two_sided([2.0], [None]) == Metric(None, 1, 2)
    assert two_sided([2.0, None], [4.0]).measured == 2


def test_spread_needs_two_seeds() -> None:
    assert metrics.spread({0: 0.9, 1: 0.95}) == pytest.approx(0.05)
    assert metrics.spread({0: 0.9, 1: None}) is None

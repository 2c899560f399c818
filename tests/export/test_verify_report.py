from __future__ import annotations

from dataclasses import replace

import pytest

from qsr.export.sizes import Sizes
from qsr.export.verify_report import Agreement, LayerCheck, VerifyReport

SIZES = Sizes(10, 1, 1, 10, 5, 100, 20)
LAYER = LayerCheck("body.0.conv1", "w2a2", True, 100, 0)
GOOD, BAD = Agreement(0.9995, 1), Agreement(0.98, 3)
PASSED = VerifyReport((LAYER,), "Model (numpy)", 2, GOOD, None, None, None, SIZES)


@pytest.mark.parametrize(
    ("found", "close"),
    [(Agreement(0.999, 1), True), (Agreement(0.9989, 1), False), (Agreement(1.0, 0), True), (Agreement(0.9999, 2), False)],
)
def test_close_is_999_of_1000_bytes_and_one_grey_level(found: Agreement, close: bool) -> None:
    assert found.close == close


@pytest.mark.parametrize(
    ("double", "own", "alike", "passed"),
    [
        (None, None, None, False),
        (GOOD, GOOD, GOOD, True),  # float32 of torch was at fault
        (BAD, BAD, GOOD, True),  # as far as torch's own, and the same but for rounding
        (BAD, BAD, None, True),  # attention: nothing finer is known
        (BAD, BAD, BAD, False),
        (BAD, Agreement(0.9999, 1), GOOD, False),  # the executor itself is farther away
    ],
)
def test_what_is_not_close_must_be_rounding(double, own, alike, passed: bool) -> None:
    assert replace(PASSED, single=BAD, double=double, own=own, alike=alike).passed == passed


@pytest.mark.parametrize(
    ("reach", "alike", "passed"), [(0.02, GOOD, True), (0.005, GOOD, False), (0.02, BAD, False), (0.02, None, False)]
)
def test_two_codes_may_move_in_the_executor_alone(reach: float, alike, passed: bool) -> None:
    """Seen: one code moved, 0.87 % of the bytes changed; torch's float32 had moved none."""
    report = replace(PASSED, single=BAD, double=BAD, own=Agreement(0.999995, 1), alike=alike, reach=reach)
    assert report.passed == passed


@pytest.mark.parametrize("layer", [replace(LAYER, codes_equal=False), replace(LAYER, sums_different=1)])
def test_a_layer_fails_whatever_the_pictures_say(layer: LayerCheck) -> None:
    assert PASSED.passed
    assert not replace(PASSED, layers=(LAYER, layer)).passed


def test_table() -> None:
    lines = replace(PASSED, layers=(LAYER, replace(LAYER, name="b", codes_equal=None, sums=0))).table().splitlines()
    assert lines[1].split() == ["body.0.conv1", "w2a2", "equal", "100", "equal"]
    assert lines[2].split() == ["b", "w2a2", "-", "-"]
    assert (
        lines[3].strip() == "2 pictures by Model (numpy) against torch: 99.9500 % of output bytes equal, largest difference 1"
    )
    failed = replace(PASSED, single=BAD, double=BAD, own=BAD, alike=BAD).table()
    assert "torch's own float32 against its float64: 98.0000 %" in failed
    assert "every rounding decided alike" in failed
    assert "FAILED" in failed
    assert replace(PASSED, single=BAD).to_json()["passed"] is False

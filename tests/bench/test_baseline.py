"""Latencies beside stored ones: the arithmetic here, the measurement nightly and only where there is a baseline (M6)."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import pytest

from qsr.bench import baseline
from qsr.bench.baseline import Change, compare, file_for, find, judge, medians, store
from qsr.errors import FormatError


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(0.5, "faster"), (0.96, "same"), (1.0, "same"), (1.049, "same"), (1.051, "warn"), (1.149, "warn"), (1.151, "fail")],
)
def test_five_per_cent_warn_and_fifteen_fail(ratio: float, verdict: str) -> None:
    assert judge(ratio) == verdict


def test_a_slower_machine_is_not_a_slower_kernel() -> None:
    before = {"yardstick": 2.0, "a": 10.0, "b": 10.0, "c": 10.0}
    now = {"yardstick": 3.0, "a": 15.0, "b": 18.0, "c": 16.2}
    assert [(change.name, round(change.ratio, 3), change.verdict) for change in compare(before, now)] == [
        ("b", 1.2, "fail"), ("c", 1.08, "warn"), ("a", 1.0, "same"),
    ]  # fmt: skip


def test_cases_that_came_or_went_are_told_and_fail_nothing() -> None:
    changes = compare({"yardstick": 1.0, "old": 2.0}, {"yardstick": 1.0, "new": 3.0})
    assert {(change.name, change.verdict) for change in changes} == {("old", "gone"), ("new", "new")}
    assert Change("new", None, 3.0, 1.0, "new").line() == "new     1.000          - ->     3.000 ms  new"


@pytest.mark.parametrize("wrong", [{}, {"yardstick": 0.0}, {"a": 1.0}])
def test_without_a_yardstick_nothing_is_compared(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="yardstick"):
        compare({"yardstick": 1.0}, wrong)


def test_medians_are_of_rounds_in_turn() -> None:
    order: list[str] = []

    def case(name: str, seconds: list[float]):
        times = itertools.chain([9.0], itertools.cycle(seconds))  # the first is the warm-up

        def work() -> float:
            order.append(name)
            return next(times)

        return work

    found = medians({"a": case("a", [0.001, 0.5, 0.002]), "b": case("b", [0.004])}, rounds=3)
    assert found == {"a": 2.0, "b": 4.0}
    assert order == ["a", "b", "a", "b", "b", "a", "a", "b"]


def test_a_baseline_is_found_on_its_own_kind_of_machine_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(tmp_path)[0] is None
    assert "no baseline for" in find(tmp_path)[1]
    path = store(tmp_path, {"yardstick": 1.0, "a": 2.0}, "2026-01-01")
    assert path == file_for(tmp_path)
    found, why = find(tmp_path)
    assert found is not None
    assert (found.ms, found.made, why) == ({"yardstick": 1.0, "a": 2.0}, "2026-01-01", "")
    monkeypatch.setattr(baseline, "isa_flags", lambda: ("sse4_2",))
    assert find(tmp_path) == (None, f"the baseline for {found.cpu} is of a machine with other instructions: {path.name}")
    monkeypatch.setattr(baseline, "cpu_name", lambda: "another")
    assert find(tmp_path)[1].startswith("no baseline for another: python benchmarks/latency.py --record")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "qsr.latency/1"}', '{"format": "x", "ms": {}}', "[" * 9999])
def test_a_damaged_baseline_is_one_line(tmp_path: Path, text: str) -> None:
    file_for(tmp_path).write_text(text)
    with pytest.raises(FormatError, match="not a baseline"):
        find(tmp_path)


@pytest.mark.nightly
@pytest.mark.drill("M6")
def test_latencies_are_what_they_were(drill, repository: Path) -> None:
    """Every row kernel and every released network of this machine; a warning above 5 %, a failure above 15 %."""
    pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)
    before, why = find(repository / "benchmarks" / "results")
    if before is None:
        pytest.skip(why)
    from benchmarks import latency

    changes = compare(before.ms, medians(latency.cases()))
    drill.count(len(changes))
    for change in changes:
        print(change.line())
        if change.verdict == "warn":
            warnings.warn(f"slower than on {before.made}: {change.line()}", stacklevel=1)
    failed = [change for change in changes if change.verdict == "fail"]
    if failed:
        drill.fail(f"{len(failed)} of {len(changes)} take more than 15 % longer, the worst {failed[0].line()}")

"""Interleaved timing with a clock of our own: medians, spreads, ratios within a round, fair order."""

from __future__ import annotations

import pytest

from qsr.bench.measure import interleaved


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_medians_spreads_and_ratios_are_of_the_rounds():
    clock, order = Clock(), []
    lengths = {"ours": iter([9.0, 1.0, 2.0, 3.0]), "peer": iter([9.0, 4.0, 4.0, 9.0])}

    def rival(name: str):
        def run() -> None:
            order.append(name)
            clock.now += next(lengths[name])

        return run

    found = interleaved({name: rival(name) for name in lengths}, rounds=3, clock=clock)
    assert (found["ours"].median, found["ours"].fastest, found["ours"].slowest) == (2000, 1000, 3000)
    assert found["peer"].median == 4000
    assert found["peer"].ratio == 3  # of 4/1, 4/2, 9/3
    assert found["ours"].ratio == 1
    assert order == ["ours", "peer", "ours", "peer", "peer", "ours", "ours", "peer"]


@pytest.mark.parametrize(("length", "rounds"), [(0.001, 50), (100.0, 5), (1.0, 10)])
def test_rounds_follow_from_the_time_that_there_is(length: float, rounds: int):
    clock = Clock()

    def run() -> None:
        clock.now += length

    assert interleaved({"a": run, "b": run}, seconds=20, clock=clock)["a"].rounds == rounds

"""Order and segments of stages, on lists written by hand."""

from __future__ import annotations

from typing import Any

from qsr.runtime.plan_order import cut, inputs, ordered, outputs


def stage(kind: str, position: int, reads: int = -1, makes: int = -1, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "position": position, "input": reads, "out": makes, **more}


def test_inputs_and_outputs() -> None:
    made = stage("conv", 1, 3, -1, second=4, sinks=[{"map": 5}, {"map": 6}])
    assert inputs(made) == [3, 4]
    assert outputs(made) == [5, 6]


def test_cheap_stages_come_right_before_what_needs_them() -> None:
    stages = [stage("picture", 0, makes=0), stage("bilinear", 1, 0, 1), stage("picture", 0, makes=2), stage("conv", 2, 2, 3)]
    stages += [stage("conv", 3, 3, 4), stage("conv", 4, 4, 5, second=1), stage("store", 4, 5)]
    assert [stages.index(made) for made in ordered(stages, 6)] == [2, 3, 4, 0, 1, 5, 6]


def test_changes_in_place_keep_their_order() -> None:
    stages = [stage("picture", 0, makes=0), stage("swin", 1, 0, 0), stage("swin", 2, 0, 0), stage("store", 2, 0)]
    assert ordered(list(stages), 1) == stages


def test_a_reader_that_was_listed_first_waits_for_its_maker() -> None:
    stages = [
        stage("conv", 1, 0, 1, second=2),
        stage("picture", 0, makes=0),
        stage("picture", 5, makes=2),
        stage("store", 1, 1),
    ]
    assert [made["kind"] for made in ordered(stages, 3)] == ["picture", "picture", "conv", "store"]


def test_a_factor_is_known_before_the_convolution() -> None:
    stages = [stage("picture", 0, makes=0), stage("conv", 1, 0, 1, slot=0), stage("mean", 1, 0, slot=0), stage("store", 2, 1)]
    assert [made["kind"] for made in ordered(stages, 2)] == ["picture", "mean", "conv", "store"]


def test_segments() -> None:
    low, high = ("float", 8, 1, 0), ("float", 8, 2, 0)
    stages = [stage("picture", 0, makes=0)]
    stages += [stage("conv", n, n - 1, n, second=n - 1 if n % 2 == 0 else -1) for n in range(1, 9)]
    stages += [stage("conv", 9, 8, 9, up=2), stage("conv", 10, 9, 10), stage("store", 11, 10)]
    maps = [low] * 9 + [high] * 2
    assert cut(stages, maps, 2) == [0, 3, 5, 7, 9]
    assert cut(stages, maps, 4) == [0, 5, 9]
    assert cut(stages, maps, 100) == [0, 9]


def test_depthwise_convolutions_do_not_fill_a_segment() -> None:
    """They are cheap, and run with the layer before them."""
    stages = [stage("picture", 0, makes=0)]
    stages += [stage("conv", n, n - 1, n, second=n - 1, depthwise=n % 2 == 1) for n in range(1, 7)]
    assert cut([*stages, stage("store", 7, 6)], [("float", 8, 1, 0)] * 7, 1) == [0, 4, 6]


def test_whole_maps_stand_alone() -> None:
    stages = [
        stage("picture", 0, makes=0),
        stage("mean", 1, 0),
        stage("conv", 1, 0, 1),
        stage("swin", 2, 1, 1),
        stage("store", 3, 1),
    ]
    assert cut(stages, [("float", 3, 1, 0)] * 2, 4) == [0, 1, 2, 3, 4]

"""What is fused into what, and what stays a whole map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsr.runtime.packed.ops import Add, Affine, Image, PReLU, Quantize, UniformAct
from qsr.runtime.plan import Plan, make_plan
from qsr.runtime.plan_order import inputs, outputs
from tests.runtime.packed.build import Builder, conv_net, mixer_net, swin_net


def plan_of(*args: Any, **kwargs: Any) -> Plan:
    header, tensors = conv_net(*args, **kwargs)
    return make_plan(header, tensors, header.programs[0])


def kinds(plan: Plan) -> list[str]:
    return [stage["kind"] for stage in plan.stages]


def named(plan: Plan, name: str) -> dict[str, Any]:
    return next(stage for stage in plan.stages if stage.get("name") == name)


@pytest.mark.parametrize("method", ["fp", "w1a1", "w1a1x2", "w2a2", "w4a4", "w8a8", "w2a4"])
def test_a_network_is_its_convolutions_and_two_ends(method: str) -> None:
    """Every ReLU, RPReLU, sum, shuffle and affine map lands in some convolution's epilogue."""
    for layout, ends in (("edsr", ["picture", "store"]), ("msr", ["picture", "picture", "bilinear", "store"])):
        plan = plan_of(method, features=8, blocks=2, layout=layout)
        convs = 8
        assert kinds(plan).count("conv") == convs
        assert sorted(set(kinds(plan)) - {"conv"}) == sorted(set(ends))
        assert len(plan.stages) == convs + len(ends)


def test_codes_come_from_the_stage_before_and_floats_only_where_needed() -> None:
    plan = plan_of("w2a2", features=8, blocks=2)
    first, second = named(plan, "body.0.conv1"), named(plan, "body.0.conv2")
    assert "out" not in first
    assert [sink["map"] for sink in first["sinks"]] == [second["input"]]
    assert plan.maps[second["input"]] == ("bytes", 8, 1, 0)
    assert "out" in second  # the stream: the next block adds to it
    assert len(second["sinks"]) == 1


def test_signed_codes_are_stored_above_zero() -> None:
    plan = plan_of("w4a4sn", features=8, blocks=1)
    assert plan.maps[named(plan, "body.0.conv1")["input"]] == ("bytes", 8, 1, 7)
    assert named(plan, "body.0.conv1")["ranges"][:2] == (-7, 7)


def test_bits_of_planes_share_one_input() -> None:
    plan = plan_of("w1a1x2", features=8, blocks=1)
    conv = named(plan, "body.0.conv1")
    assert (conv["format"], conv["planes"], conv["c_out"]) == ("bits", 2, 16)
    assert conv["scale"].shape == (2, 8)


def test_a_shuffle_orders_the_channels_of_each_place() -> None:
    header, tensors = conv_net("w2a2", features=8, blocks=1, scale=2)
    plan = make_plan(header, tensors, header.programs[0])
    up = named(plan, "up0")
    assert up["up"] == 2
    assert plan.maps[up["out"]] == ("float", 8, 2, 0)
    # output (dy, dx, c) is channel (c * 2 + dy) * 2 + dx
    assert np.array_equal(up["floats"].reshape(32, 8, 3, 3)[2 * 8 + 3], tensors["up0.weight"][(3 * 2 + 1) * 2 + 0])


def test_the_enlarged_end_is_one_segment_and_the_picture_is_read_late() -> None:
    plan = plan_of("w2a2", features=8, blocks=2, scale=4, layout="msr", tail="w4a4")
    tail = plan.stages[plan.segments[-1] :]
    assert [stage["kind"] for stage in tail] == ["conv", "conv", "conv", "picture", "bilinear", "conv", "store"]
    assert tail[0]["name"] == "upconv1"


def test_a_mean_over_the_map_stands_alone() -> None:
    plan = plan_of("w1a1m", features=8, blocks=1)
    starts = set(plan.segments)
    for number, stage in enumerate(plan.stages):
        if stage["kind"] == "mean":
            assert {number, number + 1} <= starts
    assert plan.slots == 2


@pytest.mark.parametrize(
    ("method", "needed"), [("w1a1p", {"channel_mean", "spatial", "map"}), ("w1a1c", {"quantize"}), ("w4a1", {"quantize"})]
)
def test_what_no_kernel_computes_runs_in_steps(method: str, needed: set[str]) -> None:
    assert needed <= set(kinds(plan_of(method, features=8, blocks=1)))


def test_swin_works_in_place_unless_its_input_is_needed_again() -> None:
    header, tensors = swin_net("w4a4", layers=3)
    plan = make_plan(header, tensors, header.programs[0])
    layers = [stage for stage in plan.stages if stage["kind"] == "swin"]
    assert len({stage["out"] for stage in layers}) == 1
    copy = next(stage for stage in plan.stages if stage.get("out") == layers[0]["input"])
    assert copy["kind"] == "map"  # the group's input is added to what the group makes
    assert all(stage["input"] == stage["out"] for stage in layers)


def test_apart_keeps_every_map() -> None:
    header, tensors = conv_net("w2a2", features=8, blocks=1)
    plan = make_plan(header, tensors, header.programs[0], apart=True)
    assert plan.segments == list(range(len(plan.stages)))


def test_stages_come_behind_what_they_read() -> None:
    for method in ("w2a2", "w1a1m", "w1a1p"):
        plan = plan_of(method, features=8, blocks=2, layout="msr")
        made: set[int] = set()
        for stage in plan.stages:
            assert set(inputs(stage)) <= made
            made |= set(outputs(stage))


def test_mixers_are_their_layers_and_what_moves_channels() -> None:
    """Sums and activations land in epilogues, those of depthwise convolutions too."""
    header, tensors = mixer_net("w1a1", blocks=2)
    plan = make_plan(header, tensors, header.programs[0])
    made = sorted(set(kinds(plan)) - {"conv"})
    assert made == ["average", "bilinear", "picture", "repeat", "store"]
    assert kinds(plan).count("conv") == 2 + 2 * 3
    dw, conv1, conv2 = (named(plan, f"body.0.{name}") for name in ("dw", "conv1", "conv2"))
    assert (dw["depthwise"], dw["floats"].shape, dw["what"]) == (True, (8, 3, 3), "add")
    assert dw["second"] == dw["input"]
    assert [sink["map"] for sink in dw["sinks"]] == [conv1["input"]]
    assert [sink["map"] for sink in conv1["sinks"]] == [conv2["input"]]
    assert [plan.maps[stage["out"]][1] for stage in plan.stages if stage["kind"] in ("repeat", "average")] == [16, 8] * 2


def test_odd_programs() -> None:
    """Leftovers: x + x, two PReLUs, a quantized map, a sum of two layers; each a stage of its own or folded, none lost."""
    b = Builder("w2a2")
    x = b.add(Affine((0,), 2.0, 0.5))
    left, right = b.conv(x, "left", 3, 3), b.conv(x, "right", 3, 3, method="fp")
    both = b.add(Add((left, right)))
    twice = b.add(Add((both, both)))
    bent = b.add(PReLU((b.add(PReLU((twice,), 0.5)),), 0.25))
    kept = b.add(Quantize((bent,), UniformAct(4, True, 0.25)))
    b.add(Affine((b.add(Add((kept, 0))),), 0.5))
    assert isinstance(b.ops[0], Image)
    header = b.header(1, 1)
    plan = make_plan(header, b.tensors, header.programs[0])
    assert kinds(plan).count("conv") == 2
    assert kinds(plan).count("quantize") == 1
    assert kinds(plan)[-1] == "store"

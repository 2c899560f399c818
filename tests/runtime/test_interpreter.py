"""Whole programs: against torch built by hand, what a trace sees, memory, odd pictures."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from qsr.archs.mixer import Mixer
from qsr.archs.srresnet import DIV2K_MEAN, BlockSettings, EdsrLayout, MsrLayout
from qsr.runtime.interpreter import Interpreter, to_bytes
from qsr.runtime.packed.check import check
from qsr.runtime.packed.ops import Affine, Conv, Linear, Program, Quantize, SignAct, UniformAct
from tests.runtime.packed.build import Builder, conv_net, mixer_net, swin_net

SEED = 21


def picture(h: int, w: int) -> np.ndarray:
    return np.random.default_rng(SEED).integers(0, 256, (h, w, 3), np.uint8)


def interpreter(net) -> Interpreter:
    header, tensors = net
    return Interpreter(header, tensors, header.programs[0])


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("layout", ["edsr", "msr"])
def test_full_precision_networks_are_those_of_torch(layout: str, scale: int) -> None:
    """The builder's names are BasicSR's, so its tensors load into the networks of qsr.archs."""
    header, tensors = conv_net("fp", features=8, blocks=2, scale=scale, layout=layout, seed=SEED)
    state = {name: torch.from_numpy(value) for name, value in tensors.items() if not name.startswith("mean.")}
    if layout == "edsr":
        network = EdsrLayout(num_feat=8, num_block=2, scale=scale, img_range=8.0, rgb_mean=DIV2K_MEAN)
        ups = [name for name in state if name.startswith("up")]
        for name in ups:
            number, kind = name[2:].split(".")
            state[f"upsample.{2 * int(number)}.{kind}"] = state.pop(name)
    else:
        network = MsrLayout(num_feat=8, num_block=2, scale=scale)
    network.load_state_dict(state)
    x = picture(6, 5)
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(x).permute(2, 0, 1)[None].float() / 255)[0].permute(1, 2, 0).numpy()
    found = interpreter((header, tensors)).run(x)
    assert np.allclose(found, expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize(("unit", "expansion"), [(False, 2), (True, 2), (True, 3)])
def test_full_precision_mixers_are_those_of_torch(unit: bool, expansion: int) -> None:
    header, tensors = mixer_net("fp", 6, 2, expansion, 3, SEED, unit)
    network = Mixer(6, 2, expansion, 3, BlockSettings("unit" if unit else "residual"))
    names = {"before": "gamma", "after": "zeta"}
    state = {}
    for name, value in tensors.items():
        owner, _, leaf = name.rpartition(".")
        made = torch.from_numpy(value)
        made = made[:, None] if name.endswith("dw.weight") else made.view(1, -1, 1, 1) if leaf in names else made
        state[f"{owner}.{names.get(leaf, leaf)}"] = made
    network.load_state_dict(state)
    x = picture(6, 5)
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(x).permute(2, 0, 1)[None].float() / 255)[0].permute(1, 2, 0).numpy()
    assert np.allclose(interpreter((header, tensors)).run(x), expected, rtol=0, atol=3e-6)


def test_a_trace_sees_every_operation_and_the_inner_layers() -> None:
    header, tensors = swin_net("w4a4", features=8, layers=1)
    seen = []
    interpreter((header, tensors)).run(picture(4, 8), trace=lambda *found: seen.append(found))
    numbers = [number for number, *_ in seen]
    assert numbers == [*range(3), 3, 3, 3, 3, *range(3, len(header.programs[0].ops))]
    inner = [(op.name, value.shape, sums.shape) for number, op, value, sums in seen if isinstance(op, Linear)]
    assert inner == [
        ("layers.0.0.qkv", (32, 24), (32, 24)),
        ("layers.0.0.proj", (32, 8), (32, 8)),
        ("layers.0.0.fc1", (32, 16), (32, 16)),
        ("layers.0.0.fc2", (32, 8), (32, 8)),
    ]
    convs = {op.name: sums for _, op, _, sums in seen if isinstance(op, Conv)}
    assert [name for name, sums in convs.items() if sums is not None] == ["layers.0.conv"]
    assert convs["layers.0.conv"].dtype == np.int32


def test_planes_have_sums_of_their_own() -> None:
    found = {}
    interpreter(conv_net("w1a1x2", features=8, blocks=1)).run(picture(3, 3), trace=lambda n, op, y, s: found.update({n: s}))
    assert found[3].shape == (3, 3, 16)


@pytest.mark.parametrize(
    "net",
    [
        conv_net("w2a2", 16, 2),
        conv_net("w1a1x3m", 16, 1, 4),
        conv_net("fp", 8, 1, 3, "msr"),
        mixer_net("fp", 8, 1, kernel=(15, 15)),
        mixer_net("w1a1", expansion=3),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (40, 30), (3, 200)])
def test_memory_is_an_upper_bound(net, size: tuple[int, int]) -> None:
    run = interpreter(net)
    x = picture(*size)
    tracemalloc.start()
    run.run(x, True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= run.memory(*size)


@pytest.mark.parametrize("method", ["w4a4", "w1a1", "fp"])
@pytest.mark.parametrize("size", [(4, 4), (40, 32)])
def test_memory_of_attention(method: str, size: tuple[int, int]) -> None:
    test_memory_is_an_upper_bound(swin_net(method, features=24, heads=4), size)


def test_memory_follows_the_picture() -> None:
    run = interpreter(conv_net(features=64, blocks=2))
    assert 80e6 < run.memory(180, 320) < 600e6
    assert 10 < run.memory(1800, 3200) / run.memory(180, 320) < 110


def test_kernels() -> None:
    rows = interpreter(conv_net("w1a1x2", features=8, blocks=1)).kernels()
    assert [(row.name, row.bits) for row in rows] == [
        ("conv_first", "float"),
        ("body.0.conv1", "w1x2a1"),
        ("body.0.conv2", "w1x2a1"),
        ("conv_after_body", "float"),
        ("up0", "float"),
        ("conv_last", "float"),
    ]
    assert {(row.kernel, row.isa, row.op) for row in rows} == {("numpy", "portable", "conv")}
    assert [row.op for row in interpreter(swin_net(layers=1)).kernels()][1:5] == ["linear"] * 4


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (UniformAct(2, False, 0.25, offset=0.5), [0.5, 0.75, 1.25]),
        (SignAct(-0.5, 0.3), [-0.3, -0.3, 0.3]),
        (SignAct(0.0, "mean"), [1 / 2, 1 / 2, 1 / 2]),
    ],
)
def test_quantize_as_an_operation(act, expected) -> None:
    header, _ = conv_net(features=4, blocks=1)
    header = replace(
        header, scale=1, whole_picture=True, programs=(Program((*header.programs[0].ops[:1], Quantize((0,), act))),)
    )
    check(header, {})
    x = np.array([[[0.0, 0.25, 1.0]], [[0.5, 0.5, 0.75]]], np.float32)
    assert np.allclose(Interpreter(header, {}, header.programs[0]).run(x)[0, 0], expected)


def test_bytes() -> None:
    found = to_bytes(np.array([-1, 0, 0.5 / 255, 1.5 / 255, 0.5, 1, 9, np.nan, np.inf, -np.inf], np.float32))
    assert found.tolist() == [0, 0, 0, 2, 128, 255, 255, 0, 255, 0]


def test_numbers_of_a_file_may_overflow(recwarn: pytest.WarningsRecorder) -> None:
    b = Builder("fp")
    b.add(Affine((0,), 3e38, 3e38))
    b.add(Affine((1,), -3e38, 3e38))
    header = b.header(1, 0)
    assert Interpreter(header, {}, header.programs[0]).run(picture(2, 2), True).shape == (2, 2, 3)
    assert not recwarn.list


def test_the_picture_is_left_alone() -> None:
    x = np.random.default_rng(SEED).random((4, 4, 3), np.float32)
    x.flags.writeable = False
    before = x.copy()
    interpreter(conv_net(features=4, blocks=1)).run(x)
    assert np.array_equal(x, before)


def test_torch_is_the_oracle_of_bilinear_programs_too() -> None:
    b = Builder("fp")
    from qsr.runtime.packed.ops import Bilinear

    b.add(Bilinear((0,), 2))
    header = b.header(2, 1)
    check(header, {})
    x = picture(3, 4)
    expected = F.interpolate(torch.from_numpy(x).permute(2, 0, 1)[None] / 255, scale_factor=2.0, mode="bilinear")
    assert np.allclose(Interpreter(header, {}, header.programs[0]).run(x), expected[0].permute(1, 2, 0).numpy(), atol=1e-6)

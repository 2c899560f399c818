"""Compiled engine == numpy interpreter, whatever the method, size, instruction set and number of threads."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qsr.errors import EnvironmentFault, OptionsError
from qsr.runtime import reference
from qsr.runtime.interpreter import Interpreter
from qsr.runtime.packed.codes import weight_codes
from qsr.runtime.packed.ops import Conv
from qsr.runtime.plan import make_plan
from tests.runtime.packed.build import METHODS, conv_net, mixer_net, swin_net

_kernels = pytest.importorskip("qsr._kernels", reason="the extension was not built")
engine = pytest.importorskip("qsr.runtime.engine")

ODD = ("w2a2o", "w2a2f", "w2a2fo", "w4a4sf", "w4a4sn", "w1a1m", "w1a1x2m", "w1a1p", "w1a1c", "w4a4w", "w4a1", "w1a8")
ODD += ("w1a1x4", "w1a4x4")
ISAS = [isa for isa in engine.ISAS if _kernels.isa_supported()[isa]]
Net = tuple[Any, dict[str, NDArray[Any]]]


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def engine_of(net: Net, threads: int = 1) -> Any:
    return engine.Engine(*net, net[0].programs[0], threads)


def assert_near(ours: NDArray[Any], theirs: NDArray[Any]) -> None:
    """Equal on 99.9 % of the bytes, never off by more than 1; of a few bytes one may differ."""
    difference = np.abs(ours.astype(int) - theirs.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).sum() <= max(1, difference.size // 1000)


# --- the oracle -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("layout", ["edsr", "msr"])
@pytest.mark.parametrize("method", METHODS + ODD)
def test_engine_is_the_interpreter(method: str, layout: str) -> None:
    net = conv_net(method, features=32, blocks=1, scale=2, layout=layout)
    oracle = Interpreter(*net, net[0].programs[0])
    one, three = engine_of(net), engine_of(net, 3)
    for size in ((1, 1), (2, 3), (9, 21)):
        ours = one.run(picture(*size), True)
        assert_near(ours, oracle.run(picture(*size), True))
        assert np.array_equal(ours, three.run(picture(*size), True))


@pytest.mark.parametrize("method", METHODS + ODD)
@pytest.mark.parametrize("unit", [False, True])
def test_mixers(method: str, unit: bool) -> None:
    net = mixer_net(method, features=20, blocks=2, expansion=2 + unit, unit=unit)
    oracle = Interpreter(*net, net[0].programs[0])
    one, three = engine_of(net), engine_of(net, 3)
    for size in ((1, 1), (2, 3), (9, 21)):
        ours = one.run(picture(*size), True)
        assert_near(ours, oracle.run(picture(*size), True))
        assert np.array_equal(ours, three.run(picture(*size), True))


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 3), (1, 9), (15, 15)])
@pytest.mark.parametrize("features", [1, 7, 16, 33, 64])
def test_depthwise_convolutions_of_any_size(features: int, kernel: tuple[int, int]) -> None:
    net = mixer_net("fp", features, 1, kernel=kernel)
    ours = engine_of(net, 2).run(picture(7, 19), True)
    assert_near(ours, Interpreter(*net, net[0].programs[0]).run(picture(7, 19), True))


@pytest.mark.parametrize("features", [8, 30, 60, 64])
@pytest.mark.parametrize("method", ["fp", "w1a1", "w2a2", "w4a4", "w8a8"])
def test_any_number_of_channels(method: str, features: int) -> None:
    net = conv_net(method, features=features, blocks=1, scale=2, tail=method)
    ours = engine_of(net, 2).run(picture(7, 19), True)
    assert_near(ours, Interpreter(*net, net[0].programs[0]).run(picture(7, 19), True))


@pytest.mark.parametrize("scale", [3, 4])
@pytest.mark.parametrize("tail", ["fp", "w1a1", "w4a4", "w8a8"])
def test_shuffles_are_folded_into_the_store(tail: str, scale: int) -> None:
    net = conv_net("w2a2", features=32, blocks=1, scale=scale, layout="msr", tail=tail)
    ours = engine_of(net, 2).run(picture(6, 11), True)
    assert_near(ours, Interpreter(*net, net[0].programs[0]).run(picture(6, 11), True))


@pytest.mark.parametrize("window", [17, 32])
@pytest.mark.parametrize("method", ["fp", "w4a4", "w1a1x4"])
def test_largest_windows_and_most_planes(method: str, window: int) -> None:
    """All that docs/format.md allows is computed, also what no network of ours has."""
    net = swin_net(method, features=6, layers=2, heads=2, window=window)
    one = picture(window, window)
    assert_near(engine_of(net).run(one, True), Interpreter(*net, net[0].programs[0]).run(one, True))


@pytest.mark.parametrize("method", ["fp", "w4a4", "w1a1"])
def test_swin(method: str) -> None:
    net = swin_net(method)
    floats = np.random.default_rng(1).random((8, 12, 3), dtype=np.float32)
    theirs = np.clip(Interpreter(*net, net[0].programs[0]).run(floats), 0, 1)
    one, two = (engine_of(net, threads).run(floats, False) for threads in (1, 2))
    assert np.array_equal(one, two)
    off = np.abs(one - theirs)
    # floats before a code are summed in another order here and there, so a few codes fall to the other side
    assert np.quantile(off, 0.99 if method == "fp" else 0.9) < 1e-4


@pytest.mark.drill("K3")
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("method", ["fp", "w1a1x2", "w2a2", "w4a8", "w2a2f", "w1a1m"])
def test_every_instruction_set(method: str, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engine.VARIABLE, isa)
    for net in (conv_net(method, features=64, blocks=1, scale=2, tail=method), mixer_net(method, features=40)):
        made = engine_of(net)
        assert {kernel.isa for kernel in made.kernels()} <= set(ISAS[: ISAS.index(isa) + 1])
        assert_near(made.run(picture(10, 33), True), Interpreter(*net, net[0].programs[0]).run(picture(10, 33), True))


@pytest.mark.skipif(len(ISAS) < 3, reason="this processor has no AVX-512")
@pytest.mark.parametrize("features", [5, 8, 24, 64])
def test_depthwise_sums_are_the_same_on_avx2_and_avx512(features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between layers whose codes are bits nothing else is rounded, so the floats have to be equal."""
    net = mixer_net("w1a1", features, blocks=2)
    made = []
    for isa in ("avx2", "avx512"):
        monkeypatch.setenv(engine.VARIABLE, isa)
        made.append(engine_of(net, 2).run(picture(9, 20), True))
    assert np.array_equal(*made)


def test_values_of_every_operation() -> None:
    """Stage by stage, every map kept: floats agree to rounding, and codes but for those on the edge between two."""
    net = conv_net("w4a4", features=32, blocks=2, scale=2)
    program = net[0].programs[0]
    values: dict[int, NDArray[Any]] = {}
    Interpreter(*net, program).run(picture(9, 14), trace=lambda number, op, value, sums: values.__setitem__(number, value))
    plan = make_plan(*net, program, apart=True)
    maps = dict(engine.make_engine(plan, 2, keep=True).trace(picture(9, 14)))
    compared = {value: np.abs(maps[number] - values[value]).max() for value, number in plan.values.items() if number in maps}
    assert len(compared) >= 6
    assert max(compared.values()) < 1e-4
    assert len(plan.codes) == 4


@pytest.mark.parametrize("method", ["w1a1", "w2a2", "w4a4sn", "w8a8"])
def test_sums_are_the_integers(method: str) -> None:
    """The epilogue made transparent (scale 1, bias 0): what comes out are the sums, and those are conv2d_int's."""
    net = conv_net(method, features=32, blocks=1, scale=2, unit=False)
    program = net[0].programs[0]
    plan = make_plan(*net, program, apart=True)
    number, codes_map = plan.codes[0]
    stage = next(s for s in plan.stages if s["kind"] == "conv" and s["input"] == codes_map)
    op = program.ops[number]
    assert isinstance(op, Conv)
    for key in ("bias", "slope", "after", "sinks"):
        stage.pop(key, None)
    plan.maps.append(("float", op.c_out, 1, 0))
    stage |= {"scale": np.ones((1, op.c_out), np.float32), "second": -1, "out": len(plan.maps) - 1}
    # what reads the codes that are no longer made is left out; the picture is stored from elsewhere
    kept = plan.stages[: plan.stages.index(stage) + 1]
    plan.maps.append(("float", 3, 1, 0))
    kept += [{"kind": "picture", "out": len(plan.maps) - 1}, {"kind": "store", "input": len(plan.maps) - 1}]
    raw = _kernels.Engine(plan.maps, kept, list(range(len(kept))), 1, 0, engine.ISAS.index(engine.limit()), 1, True)
    maps = dict(raw.trace(picture(9, 14)))
    form, channels, _, zero = plan.maps[codes_map]
    stored = maps[codes_map]
    if form == "bits":
        codes = 1 - 2 * np.unpackbits(stored, axis=-1, bitorder="little")[..., :channels].astype(np.int8)
    else:
        codes = (stored[..., :channels].astype(np.int16) - zero).astype(np.int8 if zero else np.uint8)
    weights = weight_codes(op, net[1]).reshape(op.c_out, op.c_in, 3, 3).astype(np.int8)
    expected = reference.conv2d_int(codes.transpose(2, 0, 1)[None], weights, padding=1)[0].transpose(1, 2, 0)
    assert np.array_equal(maps[len(plan.maps) - 2], expected)


# --- threads, memory, processes -----------------------------------------------------------------------------------------
@pytest.mark.drill("K6")
def test_bytes_do_not_depend_on_threads_or_tiles() -> None:
    net = conv_net("w2a2", features=64, blocks=2, scale=2, layout="msr", tail="fp")
    wide = picture(23, 701)  # several tiles of columns
    results = [engine_of(net, threads).run(wide, True) for threads in (1, 2, 3, 7)]
    assert all(np.array_equal(results[0], result) for result in results)


@pytest.mark.drill("K6")
def test_one_engine_in_many_threads() -> None:
    net = conv_net("w4a4", features=32, blocks=1, scale=2)
    made = engine_of(net, 2)
    pictures = [picture(5 + n, 31 - n, n) for n in range(8)]
    alone = [made.run(each, True) for each in pictures]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert all(map(np.array_equal, alone, pool.map(lambda each: made.run(each, True), pictures)))


def _in_child(made: Any, size: tuple[int, int], queue: Any) -> None:
    queue.put(made.run(picture(*size), True))


def test_after_fork() -> None:
    net = conv_net("w4a4", features=32, blocks=1, scale=2)
    made = engine_of(net, 2)
    here = made.run(picture(12, 12), True)  # the pool of threads exists now
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(made, (12, 12), queue))
    child.start()
    try:
        assert np.array_equal(queue.get(timeout=30), here)
    finally:
        child.join(30)
    assert child.exitcode == 0


def test_memory_is_known_before_the_run_and_grows_with_the_picture() -> None:
    net = conv_net("w2a2", features=64, blocks=2, scale=4, layout="msr", tail="w4a4")
    made = engine_of(net, 2)
    small, large = made.memory(90, 160), made.memory(180, 320)
    assert small < large < 3.9 * small
    # an enlarged map of 64 channels, even as bytes, would be 59 MB alone
    assert large - 12 * 180 * 320 * 16 < 40 << 20
    resident = _resident()
    made.run(picture(180, 320), True)
    assert _resident() - resident < large + (8 << 20)


def _resident() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) << 10


# --- what it says ---------------------------------------------------------------------------------------------------------
def test_isa_that_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engine.VARIABLE, "avx3")
    with pytest.raises(OptionsError, match="portable, avx2 or avx512"):
        engine.limit()


def test_isa_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engine.VARIABLE, "avx512")
    there = {"portable": True, "avx2": False, "avx512": False}
    monkeypatch.setattr(engine._kernels, "isa_supported", lambda: there)
    with pytest.raises(EnvironmentFault, match="no avx512, only portable"):
        engine.limit()


def test_kernels_are_named_layer_by_layer() -> None:
    net = conv_net("w2a2", features=64, blocks=1, scale=2)
    made = engine_of(net)
    named = made.kernels()
    assert [layer.name for layer in named] == [layer.name for layer in Interpreter(*net, net[0].programs[0]).kernels()]
    assert all(layer.kernel.startswith("conv_") for layer in named)
    assert {layer.bits for layer in named} == {"float", "w2a2"}


def test_profile_accounts_for_the_run() -> None:
    net = conv_net("w2a2", features=64, blocks=1, scale=2)
    rows = engine_of(net).profile(picture(16, 40), 2)
    by_layer = {row.layer: row for row in rows if row.layer}
    conv = by_layer["body.0.conv1"]
    assert conv.macs == 16 * 40 * 64 * 64 * 9
    assert conv.bytes == 16 * 40 * (64 + 64)
    assert 0 < conv.sums <= conv.seconds
    assert conv.calls > 0


@pytest.mark.parametrize("bad", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float64)])
def test_other_arrays_are_refused(bad: NDArray[Any]) -> None:
    with pytest.raises(TypeError, match="uint8 or float32"):
        engine_of(conv_net("w2a2", features=8, blocks=1)).run(bad, True)


def test_plans_that_do_not_fit_are_refused() -> None:
    """C++ trusts no plan: extents of vectors, maps used before they are made, formats."""
    net = conv_net("w2a2", features=8, blocks=1)

    def build(change: Any) -> None:
        plan = make_plan(*net, net[0].programs[0])
        change(plan)
        engine.make_engine(plan, 1)

    def conv(plan: Any) -> dict[str, Any]:
        return next(stage for stage in plan.stages if stage["kind"] == "conv" and stage["format"] == "bytes")

    changes = [
        lambda plan: conv(plan).update(bias=np.zeros(7, np.float32)),
        lambda plan: conv(plan).update(codes=np.full((8, 8, 3, 3), 2, np.int16)),  # out of its range
        lambda plan: conv(plan).update(codes=np.zeros((8, 8, 3, 2), np.int16)),
        lambda plan: conv(plan).update(input=0),  # floats
        lambda plan: conv(plan).update(input=99),
        lambda plan: conv(plan).update(up=3),
        lambda plan: conv(plan).update(slot=0),
        lambda plan: plan.stages.reverse(),
        lambda plan: plan.segments.append(1),
        lambda plan: plan.stages.pop(),
        lambda plan: next(s for s in plan.stages if s.get("sinks"))["sinks"][0].update(highest=300),
        lambda plan: next(s for s in plan.stages if s.get("sinks"))["sinks"][0].update(
            highest=4
        ),  # more than its reader counts on
    ]
    for number, change in enumerate(changes):
        with pytest.raises(Exception, match="fit|found|expected") as fault:
            build(change)
        assert type(fault.value).__name__ == "FormatError", number

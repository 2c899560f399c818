"""The epilogue: the formula of csrc/kernels/epilogue.h, the same bits on every instruction set, and exact thresholds."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

extension = pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)

ISAS = ("portable", "avx2", "avx512")
CHANNELS = (*range(1, 18), 31, 32, 33, 47, 48, 49, 63, 64, 65, 80, 96)
F32 = np.float32


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> str:
    if not extension.isa_supported()[request.param]:
        pytest.skip(f"this processor has no {request.param}")
    return str(request.param)


def codes_of(t: NDArray[Any], sink: dict[str, Any]) -> NDArray[np.uint8]:
    """Codes by numpy from the epilogue's own floats: (pixels, bytes), what lies behind the channels 0."""
    pixels, channels = t.shape
    if sink.get("shift") is not None:
        t = t + sink["shift"]
    padded = -(-channels // 32) * 32
    if sink["kind"] == "bits":
        bits = np.zeros((pixels, padded), np.uint8)
        bits[:, :channels] = t < 0
        return np.packbits(bits, axis=1, bitorder="little")
    found = np.zeros((pixels, padded), np.uint8)
    found[:, :channels] = np.clip(np.rint(t * F32(sink["inv_step"])), sink["lowest"], sink["highest"]) + sink["zero"]
    return found


def some_options(rng: np.random.Generator, planes: int, pixels: int, channels: int, from_float: bool) -> dict[str, Any]:
    def vector(*shape: int) -> NDArray[Any] | None:
        return rng.normal(size=shape).astype(F32) if rng.random() < 0.6 else None

    sinks: list[dict[str, Any]] = []
    for _ in range(rng.integers(3)):
        if rng.random() < 0.5:
            sinks.append({"kind": "bits", "shift": vector(channels)})
        else:
            lowest, highest = ((0, 255), (-8, 7), (-128, 127), (0, 3), (-1, 1))[rng.integers(5)]
            sink = {"kind": "bytes", "shift": vector(channels), "inv_step": float(rng.uniform(0.5, 20))}
            sinks.append(sink | {"lowest": lowest, "highest": highest, "zero": max(0, -lowest)})
    scale = rng.normal(size=(planes, channels)).astype(F32) * F32(0.1)
    return {
        "scale": None if from_float and rng.random() < 0.3 else scale,
        "bias": vector(channels),
        "slope": vector(channels),
        "after": vector(channels),
        "residual": vector(pixels, channels),
        "out": True,
        "sinks": sinks,
    }


def value(sums: NDArray[Any], options: dict[str, Any]) -> NDArray[np.float64]:
    """The formula in double precision."""
    scale = 1.0 if options["scale"] is None else options["scale"].astype(np.float64)[:, None, :]
    t = (scale * sums).sum(0) + (0 if options["bias"] is None else options["bias"])
    if options["slope"] is not None:
        t = np.where(t >= 0, t, options["slope"] * t)
    for key in ("after", "residual"):
        t = t + (0 if options[key] is None else options[key])
    return t


@pytest.mark.drill("K3")
@pytest.mark.parametrize("from_float", [False, True])
def test_formula_on_any_number_of_channels(isa: str, from_float: bool) -> None:
    rng = np.random.default_rng(seed := 51)
    print("seed", seed)
    for channels in CHANNELS:
        for _ in range(4):
            planes, pixels = int(rng.integers(1, 4)), int(rng.integers(1, 9))
            sums = rng.integers(-577, 578, (planes, pixels, channels)).astype(F32 if from_float else np.int32)
            options = some_options(rng, planes, pixels, channels, from_float)
            found = extension.run_epilogue(isa, sums, options)
            exact = value(sums, options)
            np.testing.assert_allclose(found["out"], exact, rtol=1e-5, atol=1e-4, err_msg=f"{channels} channels")
            for sink, codes in zip(options["sinks"], found["codes"], strict=True):
                wanted = codes_of(found["out"], sink)
                seen = codes if sink["kind"] == "bits" else codes[:, :channels]
                np.testing.assert_array_equal(seen, wanted[:, : seen.shape[1]], err_msg=f"{channels} channels, {sink['kind']}")
            reference = extension.run_epilogue("portable", sums, options)
            assert reference["out"].tobytes() == found["out"].tobytes(), f"{channels} channels: floats differ from portable"
            silent = extension.run_epilogue(isa, sums, options | {"out": False})
            assert "out" not in silent
            for quiet, loud in zip(silent["codes"], found["codes"], strict=True):
                np.testing.assert_array_equal(
                    quiet[:, : min(channels, quiet.shape[1])], loud[:, : min(channels, quiet.shape[1])]
                )


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 17])
def test_pixels_without_gaps_give_the_same_floats(isa: str, channels: int) -> None:
    """Sums side by side, as kernels of few outputs leave them: up to three channels have a path of their own."""
    rng = np.random.default_rng(seed := 88)
    print("seed", seed)
    for pixels in (*range(1, 40), 256):
        sums = rng.normal(size=(1, pixels, channels)).astype(F32)
        options = some_options(rng, 1, pixels, channels, from_float=True)
        for sinks in ([], options["sinks"]):
            found = extension.run_epilogue(isa, sums, options | {"sinks": sinks, "gapless": True})
            wanted = extension.run_epilogue("portable", sums, options | {"sinks": sinks})
            assert found["out"].tobytes() == wanted["out"].tobytes(), f"{pixels} pixels, {len(sinks)} sinks"
            for codes, others in zip(found["codes"], wanted["codes"], strict=True):
                np.testing.assert_array_equal(codes[:, :channels], others[:, :channels])


def rounded(exact: Fraction) -> np.float32:
    """The float32 nearest to an exact number, ties to even."""
    near = F32(float(exact))
    around = [near, np.nextafter(near, F32(np.inf)), np.nextafter(near, F32(-np.inf))]
    return min(around, key=lambda f: (abs(Fraction(float(f)) - exact), int(f.view(np.uint32)) & 1))


@pytest.mark.drill("K3")
def test_products_and_sums_are_rounded_once(isa: str) -> None:
    # addends that put the exact sum onto, or a little beside, the middle of two floats: where two roundings go wrong
    rng = np.random.default_rng(seed := 7)
    print("seed", seed)
    count = 400
    acc = rng.integers(-4000, 4000, count).astype(np.int32)
    scale = (rng.integers(2**23, 2**24, count) * 2.0 ** rng.integers(-40, -10, count)).astype(F32)
    middle = rng.integers(2**23, 2**24, count) + 0.5
    bias = (middle * 2.0 ** rng.integers(-30, 20, count)).astype(F32)
    # (1 + 2^-23) (1 - 2^-23) = 1 - 2^-46: just below half a unit of the addend, more closely than a double can tell
    power = 2.0 ** rng.integers(-30, -10, count // 4)
    scale[: count // 4] = power * (1 + 2.0**-23)
    acc[: count // 4] = rng.choice([1 - 2**23, 2**23 - 1], count // 4)
    bias[: count // 4] = rng.integers(2**23, 2**24, count // 4) * 2.0**24 * power
    acc[-1], scale[-1], bias[-1] = 3, F32(2**-140), F32(5 * 2**-149)  # subnormal
    found = extension.run_epilogue(isa, acc[None, None], {"scale": scale[None], "bias": bias, "out": True})["out"][0]
    for i in range(count):
        wanted = rounded(Fraction(float(scale[i])) * int(acc[i]) + Fraction(float(bias[i])))
        assert found[i].view(np.uint32) == wanted.view(np.uint32), f"{scale[i]!r} * {acc[i]} + {bias[i]!r}"


def test_codes_at_the_edges(isa: str) -> None:
    values = [0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, 254.5, 255.5, 1e9, 3e38, -1e9, -3e38, np.inf, -np.inf, np.nan, -0.0]
    sums = np.array(values, F32)[None, None]
    byte = {"kind": "bytes", "inv_step": 1.0, "lowest": 0, "highest": 255, "zero": 0}
    signed = {"kind": "bytes", "inv_step": 1.0, "lowest": -8, "highest": 7, "zero": 8}
    found = extension.run_epilogue(isa, sums, {"sinks": [byte, signed]})["codes"]
    assert found[0][0, :16].tolist() == [0, 2, 2, 0, 0, 0, 254, 255, 255, 255, 0, 0, 255, 0, 0, 0]
    assert found[1][0, :16].tolist() == [8, 10, 10, 8, 6, 8, 15, 15, 15, 15, 0, 0, 15, 0, 0, 8]
    bits = extension.run_epilogue(isa, sums, {"sinks": [{"kind": "bits"}]})["codes"][0]
    assert np.unpackbits(bits[0], bitorder="little")[:16].tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 1, 0, 0]
    assert bits[0, 2:].tolist() == [0, 0]


def test_thresholds_give_the_bits_of_the_floats(isa: str) -> None:
    rng = np.random.default_rng(seed := 13)
    print("seed", seed)
    ends = np.array([-(2**31), 2**31 - 1, -(2**24) - 1, 2**24 + 1], np.int32)
    for channels in CHANNELS:
        every = np.concatenate([np.arange(-80, 81, dtype=np.int32), ends, rng.integers(-(2**31), 2**31, 40).astype(np.int32)])
        sums = np.repeat(every[:, None], channels, 1)[None]
        for extra in (
            {},
            {"slope": np.abs(rng.normal(size=channels)).astype(F32), "after": rng.normal(size=channels).astype(F32)},
        ):
            scale = rng.normal(size=(1, channels)).astype(F32)
            scale[0, rng.integers(channels)] = 0  # one bit for all sums
            bias = (rng.normal(size=channels) * 30).astype(F32)
            if channels % 3 == 0:
                bias = -scale[0] * rng.integers(-50, 50, channels).astype(F32)  # zero falls onto a sum
            options: dict[str, Any] = {
                "scale": scale,
                "bias": bias,
                "sinks": [{"kind": "bits", "shift": rng.normal(size=channels).astype(F32)}],
            }
            options |= extra
            slow = extension.run_epilogue(isa, sums, options)["codes"][0]
            fast = extension.run_epilogue(isa, sums, options | {"thresholds": True})["codes"][0]
            np.testing.assert_array_equal(fast, slow, err_msg=f"{channels} channels, {sorted(extra)}")


def test_thresholds_are_refused_where_there_are_none() -> None:
    sums = np.ones((1, 1, 3), np.int32)
    bits: dict[str, Any] = {"scale": np.ones((1, 3), F32), "sinks": [{"kind": "bits"}], "thresholds": True}
    extension.run_epilogue("portable", sums, bits)
    byte = {"kind": "bytes", "inv_step": 1.0, "lowest": 0, "highest": 3, "zero": 0}
    for change in (
        {"slope": np.array([1, -1e-9, 1], F32)},
        {"sinks": [byte]},
        {"sinks": []},
        {"sinks": [{"kind": "bits"}] * 2},
    ):
        with pytest.raises(ValueError, match="no thresholds"):
            extension.run_epilogue("portable", sums, bits | change)
    with pytest.raises(ValueError, match="no thresholds"):
        extension.run_epilogue("portable", np.ones((2, 1, 3), np.int32), bits | {"scale": np.ones((2, 3), F32)})
    with pytest.raises(ValueError, match="no thresholds"):
        extension.run_epilogue("portable", np.ones((1, 1, 3), F32), bits)

"""K3, K5, K7: every instruction set gives the same integers, wherever memory begins; and one that is forced is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qsr.runtime.packed.container import write
from tests.runtime.packed.build import METHODS, conv_net, swin_net

extension = pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)
engine = pytest.importorskip("qsr.runtime.engine")

KERNELS = [kernel for kernel in extension.row_kernels() if kernel["supported"]]
ISAS = [isa for isa in engine.ISAS if extension.isa_supported()[isa]]


def differ(cases: int, seed: int) -> int:
    """Random convolutions through every kernel that accepts them; how many sums of pictures were compared."""
    print("seed", seed)
    rng, compared = np.random.default_rng(seed), 0
    for case in range(cases):
        form = ("bits", "bytes", "bytes", "bytes")[case % 4]
        c_in, c_out = (int(rng.integers(1, 70)) for _ in range(2))
        height, width, side = int(rng.integers(1, 9)), int(rng.integers(1, 67)), int(rng.choice([1, 3, 3, 3, 5]))
        ranges = (-1, 1, -1, 1)
        if form == "bytes":
            a_bits, w_bits, signed = int(rng.integers(1, 9)), int(rng.integers(2, 9)), bool(rng.integers(2))
            half = 1 << (a_bits - 1)
            ranges = (*((-half, half - 1) if signed else (0, 2 * half - 1)), -(1 << (w_bits - 1)), (1 << (w_bits - 1)) - 1)
        picture, weights = (
            draw(rng, (height, width, c_in), ranges[:2], form),
            draw(rng, (c_out, c_in, side, side), ranges[2:], form),
        )
        found: dict[str, NDArray[Any]] = {}
        for kernel in KERNELS:
            if kernel["input"] == form and extension.row_kernel_accepts(kernel["name"], picture, weights, ranges):
                found[kernel["name"]] = extension.run_row_kernel(kernel["name"], picture, weights, ranges)[0]
        last = next(reversed(found))  # portable
        for name, sums in found.items():
            what = f"{name} and {last}: {picture.shape} x {weights.shape}, codes {ranges}, case {case}"
            np.testing.assert_array_equal(sums, found[last], err_msg=what)
        compared += len(found) - 1
    return compared


def draw(rng: np.random.Generator, shape: tuple[int, ...], ends: tuple[int, ...], form: str) -> NDArray[np.int16]:
    if form == "bits" or rng.random() < 0.2:
        return rng.choice(np.array(ends, np.int16), shape)
    return rng.integers(ends[0], ends[1], shape, np.int16, endpoint=True)


@pytest.mark.drill("K3")
@pytest.mark.skipif(len(ISAS) == 1, reason="this processor has no AVX2: nothing to compare with")
def test_k3_random_convolutions_on_every_instruction_set() -> None:
    compared = differ(400, seed=31)
    print(compared, "comparisons")
    assert compared >= 400


@pytest.mark.drill("K3")
@pytest.mark.nightly
@pytest.mark.skipif(len(ISAS) == 1, reason="this processor has no AVX2: nothing to compare with")
def test_k3_random_convolutions_on_every_instruction_set_long() -> None:
    differ(40_000, seed=int.from_bytes(os.urandom(4), "little"))


@pytest.mark.drill("K5")
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel["name"])
def test_k5_rows_at_every_place_of_a_cache_line(kernel: dict[str, Any]) -> None:
    """Rows lie one pixel further into a cache line each; with one channel that is every place a pixel can have."""
    name, form = kernel["name"], kernel["input"]
    rng = np.random.default_rng(5)
    ranges = {"bits": (-1, 1, -1, 1), "bytes": (0, 1, -1, 1), "float": ()}[form]
    for c_in in (1, 3, 8, 16, 33, 40, 45):
        for side in (1, 3):
            if form == "float":
                picture: NDArray[Any] = rng.standard_normal((34, 5, c_in), np.float32)
                weights: NDArray[Any] = rng.standard_normal((3, c_in, side, side), np.float32)
            else:
                picture = draw(rng, (34, 5, c_in), ranges[:2], form)
                weights = draw(rng, (3, c_in, side, side), ranges[2:], form)
            if not extension.row_kernel_accepts(name, picture, weights, ranges):
                continue
            whole = extension.run_row_kernel(name, picture, weights, ranges)[0]
            # the same rows, each at another place than before
            lower = extension.run_row_kernel(name, picture[12:], weights, ranges)[0]
            away = side // 2
            same = np.array_equal if form != "float" else lambda a, b: np.allclose(a, b, rtol=0, atol=1e-4)
            assert same(whole[12 + away :], lower[away:]), (name, c_in, side)


@pytest.mark.drill("K5")
@pytest.mark.parametrize("isa", ISAS)
def test_k5_epilogues_at_every_place_of_a_cache_line(isa: str) -> None:
    rng = np.random.default_rng(6)
    for channels in (1, 3, 16, 31, 64):
        sums = rng.integers(-500, 500, (1, 3, channels), np.int32)
        memory = rng.standard_normal(3 * channels + 16).astype(np.float32)
        for offset in range(16):
            residual = memory[offset : offset + 3 * channels].reshape(3, channels)
            options = {"scale": np.ones((1, channels), np.float32), "residual": residual, "out": True}
            np.testing.assert_array_equal(
                extension.run_epilogue(isa, sums, options)["out"], sums[0].astype(np.float32) + residual
            )


@pytest.mark.drill("K5")
def test_k5_streams_of_codes_at_every_byte() -> None:
    rng = np.random.default_rng(7)
    for bits in range(1, 9):
        codes = rng.integers(0, 1 << bits, 77).astype(np.int16)
        stream = extension.pack_bits(codes, bits, False)
        memory = np.zeros(stream.size + 64, np.uint8)
        for offset in range(64):
            memory[offset : offset + stream.size] = stream
            found = extension.unpack_bits(memory[offset : offset + stream.size], codes.size, bits, False)
            np.testing.assert_array_equal(found, codes)


@pytest.mark.drill("K7")
@pytest.mark.parametrize("method", METHODS)
def test_k7_networks_have_the_same_picture_without_avx(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Float ends differ in the last bit, so a code may fall to the other side of a border: rarely, and by one."""
    nets = [conv_net(method, features=32, blocks=1, scale=2, tail=method)]
    if method in ("fp", "w1a1", "w4a4", "w8a8"):
        nets.append(swin_net(method))
    x = np.random.default_rng(8).integers(0, 256, (8, 24, 3), np.uint8)
    for net in nets:
        found = {}
        for isa in ISAS:
            monkeypatch.setenv("QSR_ISA", isa)
            made = engine.Engine(*net, net[0].programs[0], 1)
            assert {layer.isa for layer in made.kernels()} <= set(ISAS[: ISAS.index(isa) + 1])
            found[isa] = made.run(x, True).astype(int)
        for isa in ISAS[1:]:
            difference = np.abs(found[isa] - found["portable"])
            assert difference.max() <= 1, isa
            assert (difference > 0).mean() <= 0.001 or (difference > 0).sum() <= 1, isa


@pytest.mark.drill("K7")
def test_k7_no_other_instructions_are_chosen_in_a_new_process(tmp_path: Path, repository: Path) -> None:
    """As on a processor without AVX2: the environment alone decides, and the picture is that of this process."""
    write(tmp_path / "net.qsr", *conv_net("w2a2", features=64, blocks=1, tail="w4a4"))
    code = """if True:
        import sys, numpy as np, qsr.runtime as runtime
        net, x = runtime.load(sys.argv[1], threads=1), np.arange(630, dtype=np.uint8).reshape(7, 30, 3)
        print({kernel.isa for kernel in net.kernels()}, net.upscale(x).tobytes().hex())"""
    said = {}
    for isa in ISAS:
        environment = os.environ | {"QSR_ISA": isa, "QSR_BACKEND": "extension"}
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "net.qsr"],
            env=environment,
            cwd=repository,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        used, said[isa] = done.stdout.split("} ")
        assert isa == "portable" or isa in used
        assert isa != "portable" or used == "{'portable'"
    pictures = [np.frombuffer(bytes.fromhex(each.strip()), np.uint8).astype(int) for each in said.values()]
    assert all(np.abs(each - pictures[0]).max() <= 1 for each in pictures)

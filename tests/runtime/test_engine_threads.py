"""K6: many Python threads, several engines, loading meanwhile; every picture is the one that a single thread makes.

`make sanitize` runs this under ThreadSanitizer. Nothing here forks, and no test depends on what runs first.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qsr.runtime import load
from qsr.runtime.packed.container import write
from tests.runtime.packed.build import conv_net, mixer_net, swin_net

pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)
engine = pytest.importorskip("qsr.runtime.engine")

THREADS = 8
INFERENCES = 1000
NETS = {
    "codes": conv_net("w2a2", features=16, blocks=1, tail="w4a4"),
    "signs": conv_net("w1a1x2", features=33, blocks=1, layout="msr", scale=3),
    "mean of a map": conv_net("w1a1m", features=16, blocks=1),  # sums over a whole map, shared out by rows
    "mean around": conv_net("w1a1p", features=16, blocks=1),
    "mixer": mixer_net("w1a1", features=20, expansion=3),
    "floats": conv_net("fp", features=16, blocks=1),
    "attention": swin_net("w4a4"),
    "signs in attention": swin_net("w1a1"),
}


def picture(seed: int) -> NDArray[np.uint8]:
    """Of one of six sizes, more than an engine remembers; multiples of the window."""
    height, width = ((4, 8), (8, 8), (12, 20), (8, 36), (16, 12), (4, 60))[seed % 6]
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def made(name: str, threads: int) -> Any:
    header, tensors = NETS[name]
    return engine.Engine(header, tensors, header.programs[0], threads)


@pytest.mark.drill("K6")
@pytest.mark.parametrize("name", NETS)
def test_k6_one_engine_in_eight_threads(name: str) -> None:
    pictures = [picture(seed) for seed in range(12)]
    alone = [made(name, 1).run(each, True) for each in pictures]
    shared, together = made(name, 2), Barrier(THREADS)

    def work(first: int) -> None:
        together.wait(60)  # all at once: whoever comes second finds the pool taken and works alone
        for number in range(first, INFERENCES // len(NETS), THREADS):
            assert np.array_equal(shared.run(pictures[number % 12], True), alone[number % 12]), number

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work, first) for first in range(THREADS)]:
            done.result(timeout=600)


@pytest.mark.drill("K6")
def test_k6_several_engines_of_several_thread_counts() -> None:
    pictures = [picture(seed) for seed in range(6)]
    alone = {name: [made(name, 1).run(each, True) for each in pictures] for name in NETS}
    engines = [(name, made(name, count)) for count, name in zip((1, 2, 3, 5, 3, 2, 4, 3), NETS)]

    def work(number: int) -> bool:
        name, shared = engines[number % len(engines)]
        return np.array_equal(shared.run(pictures[number % 6], True), alone[name][number % 6])

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(work, range(168)))


@pytest.mark.drill("K6")
def test_k6_loading_while_others_run(tmp_path: Path) -> None:
    """Models come and go while one runs: an engine is made, used once and freed on threads of its own."""
    path = tmp_path / "net.qsr"
    write(path, *NETS["codes"])
    stays, x = load(path, threads=2), picture(2)
    wanted = stays.upscale(x)

    def work(number: int) -> bool:
        net = stays if number % 3 else load(path, threads=1 + number % 4)
        return np.array_equal(net.upscale(x), wanted)

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(work, range(90)))


@pytest.mark.drill("K6")
def test_k6_questions_while_others_run() -> None:
    """Memory, names and profiles touch what runs share."""
    shared, x = made("codes", 2), picture(2)
    wanted = shared.run(x, True)

    def work(number: int) -> bool:
        if number % 4 == 0:
            return bool(shared.memory(4 + number, 8) > 0)
        if number % 4 == 1:
            return len(shared.kernels()) > 2 and len(shared.profile(x, 1)) > 2
        return np.array_equal(shared.run(x, True), wanted)

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(work, range(120)))

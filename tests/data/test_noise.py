"""The random numbers are those of the published algorithms, and the same whatever numpy makes of the processor."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import NormalDist

import numpy as np
import pytest

from qsr.data.noise import normal, poisson, stream, uniform

COUNT = 200_000
ARGUMENTS = (0, "baby", "gaussian_noise", 1)
UNIFORM = [0.09693425858858973, 0.08262395451311022, 0.7225566647248343]
NORMAL = [-1.2992197742691818, -1.3876360144399804, 0.5904534720498091]
POISSON = [[0, 0, 43], [211, 377, 499]]
POISSON_OF_3 = [[0, 0, 0], [2, 1, 3]]
LONG = "395c2d533438a8d3"


def test_numpy_s_philox_gives_the_known_answers():
    # Random123's kat_vectors, philox 4x64 with 10 rounds; numpy counts up before each block
    zeros = np.random.Philox(counter=2**256 - 1, key=0).random_raw(4)
    assert [f"{word:016x}" for word in zeros] == [
        "16554d9eca36314c",
        "db20fe9d672d0fdc",
        "d7e772cee186176b",
        "7e68b68aec7ba23b",
    ]


def test_golden_values():
    assert uniform(stream(*ARGUMENTS), (3,)).tolist() == UNIFORM
    assert normal(stream(*ARGUMENTS), (3,)).tolist() == NORMAL
    levels = np.array([[0, 1, 20], [100, 200, 255]], np.uint8)
    assert poisson(stream(*ARGUMENTS), levels, 500).tolist() == POISSON
    assert poisson(stream(*ARGUMENTS), levels, 3).tolist() == POISSON_OF_3


def test_everything_named_decides_and_nothing_else():
    first = uniform(stream(*ARGUMENTS), (8,))
    others = [
        (1, *ARGUMENTS[1:]),
        (0, "bird", *ARGUMENTS[2:]),
        (0, "baby", "speckle_noise", 1),
        (*ARGUMENTS[:3], 2),
        (b"", *ARGUMENTS[1:]),
        (b"\0", *ARGUMENTS[1:]),
        (10, *ARGUMENTS[1:]),
        (b"\x10", *ARGUMENTS[1:]),
        (0, 'baby", "gaussian', "noise", 1),
    ]
    draws = [first.tolist()] + [uniform(stream(*each), (8,)).tolist() for each in others]
    assert len({tuple(draw) for draw in draws}) == len(draws)
    assert np.array_equal(uniform(stream(np.int64(0), "baby", "gaussian_noise", np.int32(1)), (8,)), first)
    bits = stream(*ARGUMENTS)
    assert np.array_equal(np.concatenate([uniform(bits, (3,)), uniform(bits, (5,))]), first)
    assert np.array_equal(uniform(stream(*ARGUMENTS), (2, 4)).ravel(), first)


def test_a_name_is_the_same_in_both_normal_forms():
    assert stream(0, "caf\u00e9", "k", 1).random_raw() == stream(0, "cafe\u0301", "k", 1).random_raw()
    assert stream(0, "\udcff", "k", 1).random_raw() != stream(0, "", "k", 1).random_raw()


@pytest.mark.parametrize("switched_off", [False, True])
def test_other_processes_and_other_processors_agree(switched_off, repository):
    features = pytest.importorskip("numpy._core._multiarray_umath").__cpu_dispatch__
    program = (
        "import numpy as np; from qsr.data.noise import *; from hashlib import blake2b; h = blake2b(digest_size=8);"
        "h.update(normal(stream(0, 'a', 'k', 1), (50000,)).tobytes());"
        "h.update(poisson(stream(0, 'a', 'k', 2), np.arange(50000).astype(np.uint8), 75).tobytes()); print(h.hexdigest())"
    )
    environment = {**os.environ, "PYTHONPATH": str(repository), "PYTHONHASHSEED": "7"}
    if switched_off:  # no vector instructions beyond those that numpy is built on: another machine, for its log and exp
        environment["NPY_DISABLE_CPU_FEATURES"] = " ".join(features)
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == LONG


def test_uniform():
    drawn = uniform(stream(0, "u", "k", 1), (COUNT,))
    assert 0 < drawn.min() < 1e-4
    assert 1 - 1e-4 < drawn.max() < 1
    shares = np.histogram(drawn, 20, (0, 1))[0] / COUNT
    assert np.abs(shares - 0.05).max() < 5 * np.sqrt(0.05 * 0.95 / COUNT)


def test_normal_is_the_inverse_of_its_distribution():
    drawn, p = normal(stream(0, "n", "k", 1), (20_000,)), uniform(stream(0, "n", "k", 1), (20_000,))
    assert np.allclose(drawn, [NormalDist().inv_cdf(each) for each in p], rtol=1e-13, atol=1e-15)
    ends = ExtremeBits([0, 1 << 32, 0x3FFF_FFFF << 32, 2**63, 2**64 - 1])
    exact = [NormalDist().inv_cdf((k + 0.5) / 2**32) for k in (0, 1, 0x3FFF_FFFF, 2**31, 2**32 - 1)]
    assert np.allclose(normal(ends, (5,)), exact, rtol=1e-13)
    assert normal(ends, (5,))[-1] == pytest.approx(6.338, abs=1e-3)


def test_normal_has_mean_0_and_sigma_1():
    drawn = normal(stream(3, "n", "k", 1), (COUNT,))
    assert abs(drawn.mean()) < 4 / np.sqrt(COUNT)
    assert abs(drawn.std() - 1) < 4 / np.sqrt(2 * COUNT)
    assert abs((drawn**3).mean()) < 4 * np.sqrt(15 / COUNT)
    assert abs((drawn**4).mean() - 3) < 4 * np.sqrt(96 / COUNT)


@pytest.mark.parametrize("rate", [500, 50, 3])
@pytest.mark.parametrize("level", [1, 40, 255])
def test_poisson_is_the_inverse_of_its_distribution(rate, level):
    stats = pytest.importorskip("scipy.stats")
    counts = poisson(stream(0, "p", "k", 1), np.full((50, 400), level, np.uint8), rate)
    p = uniform(stream(0, "p", "k", 1), (50, 400))
    assert np.array_equal(counts, stats.poisson.ppf(p, rate * level / 255))
    expected = rate * level / 255
    assert abs(counts.mean() - expected) < 5 * np.sqrt(expected / counts.size)
    assert abs(counts.var() - expected) < 5 * np.sqrt((expected + 2 * expected**2) / counts.size)


def test_no_light_gives_no_photons():
    assert not poisson(stream(0, "p", "k", 1), np.zeros((9, 9, 3), np.uint8), 500).any()


class ExtremeBits:
    """Stands in for a Philox: raw words that one would wait long for."""

    def __init__(self, words: list[int]) -> None:
        self.words = np.array(words, np.uint64)

    def random_raw(self, count: int) -> np.ndarray:
        return self.words[:count]

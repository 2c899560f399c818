"""What checking a file costs: milliseconds of the processor, by themselves and beside what loading takes anyway."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qsr.runtime.model import Model
from qsr.runtime.packed import container
from qsr.runtime.packed.check import check
from tests.runtime.packed.build import conv_net

MILLISECONDS_OF_10_MB = 20
SHARE_OF_LOADING = 0.10


def least(work: Callable[[], object], rounds: int) -> float:
    """Milliseconds of processor time, of the quickest round: other programs cost time, but never save any."""
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return 1e3 * min(times)


@pytest.mark.drill("M8")
@pytest.mark.parametrize("method", ["w8a8n", "w2a2n"])
def test_checking_ten_megabytes_takes_20_ms(drill, method: str) -> None:
    """Narrow codes are the dearest to check: every code is looked at."""
    header, tensors = conv_net(method, features=256, blocks=2, tail=method)
    size = sum(tensor.nbytes for tensor in tensors.values())
    rounds = sum(1 for _ in drill.rounds(push=9, nightly=200))
    checking = least(lambda: check(header, tensors), rounds)
    print(f"{size:,} bytes of {method}: checked in {checking:.2f} ms")
    assert size > 3_000_000
    assert checking * 10e6 / size <= MILLISECONDS_OF_10_MB


@pytest.mark.drill("M8")
def test_checking_is_a_tenth_of_loading(drill, tmp_path: Path) -> None:
    """Bytes are the quickest to load, of all that are checked code by code."""
    header, tensors = conv_net("w8a8n", features=256, blocks=2, tail="w8a8n")
    container.write(tmp_path / "net.qsr", header, tensors)
    rounds = sum(1 for _ in drill.rounds(push=10, nightly=100))
    checking = least(lambda: check(header, tensors), rounds)
    loading = least(lambda: Model(*container.read(tmp_path / "net.qsr"), threads=1), rounds)
    print(f"checked in {checking:.2f} ms, loaded in {loading:.2f} ms")
    # of what loading took before there was anything to check
    assert checking <= SHARE_OF_LOADING * (loading - checking)

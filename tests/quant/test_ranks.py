"""Statistics over the ranks; what every method does with them on two ranks is in test_battery.py."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import torch

from qsr.quant.ranks import max_over_ranks, mean_over_ranks, world_size


def test_alone_they_are_what_was_given() -> None:
    value = torch.tensor([1.0, -2.0])
    assert world_size() == 1
    assert mean_over_ranks(value) is value
    assert max_over_ranks(value) is value


def rank_work(rank: int, meeting_point: str, results: Any) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting_point}", rank=rank, world_size=2)
    own = torch.tensor([float(rank), -float(rank)])
    results.put((world_size(), mean_over_ranks(own).tolist(), max_over_ranks(own).tolist(), own.tolist() == [rank, -rank]))
    torch.distributed.destroy_process_group()


def test_two_ranks_get_the_same_and_keep_their_own(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    ranks = [context.Process(target=rank_work, args=(rank, str(tmp_path / "meet"), results)) for rank in range(2)]
    for process in ranks:
        process.start()
    found = [results.get(timeout=60) for _ in ranks]
    for process in ranks:
        process.join(30)
        assert process.exitcode == 0
    assert found == [(2, [0.5, -0.5], [1.0, 0.0], True)] * 2

"""A team of one communicates nothing; what two ranks do is in tests/chaos/test_ranks.py."""

from __future__ import annotations

import multiprocessing
import os
import socket
from typing import Any

import pytest
import torch

from qsr.errors import DataError, EnvironmentFault, OptionsError
from qsr.train.distributed import Team, pick_device, team


def test_a_team_of_one_changes_nothing() -> None:
    value = torch.rand(3)
    alone = Team()
    copy = value.clone()
    alone.average_([value])
    alone.copy_from_main_([value])
    assert torch.equal(value, copy)
    assert alone.gather({"a": 1}) == [{"a": 1}]
    assert alone.on_main(lambda: 5) == 5


def test_launcher_pytorch_insists_on_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(OptionsError, match="torchrun"), team("cpu", "pytorch"):
        pass


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_device("cpu", 3) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto", 1) == torch.device("cuda", 1)
    with pytest.raises(EnvironmentFault, match="found 2 GPUs, this process needs number 2"):
        pick_device("auto", 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert pick_device("auto", 0) == torch.device("cpu")
    with pytest.raises(EnvironmentFault, match="found 0 GPUs"):
        pick_device("cuda", 0)


def rank_work(rank: int, port: int, results: Any) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    with team("cpu") as members:
        grid = torch.arange(24.0).view(2, 3, 2, 2).contiguous(memory_format=torch.channels_last) * (rank + 1)
        scalar = torch.tensor(float(rank))
        members.average_([grid, scalar])
        own = torch.full((2, 2), float(rank)).t()
        members.copy_from_main_([own])
        gathered = members.gather({"rank": rank, "text": "x" * rank * 100})
        rows = members.gather_tensor(torch.tensor([rank], dtype=torch.uint8))
        try:
            members.on_main(refuse)
        except DataError as fault:
            told = str(fault)
        results.put((rank, grid.tolist(), float(scalar), own.tolist(), gathered, [int(row) for row in rows], told))


def refuse() -> None:
    raise DataError("not an image", where="a.png")


def test_two_ranks_agree() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    ranks = [context.Process(target=rank_work, args=(rank, port, results)) for rank in range(2)]
    for process in ranks:
        process.start()
    found = sorted(results.get(timeout=30) for _ in ranks)
    for process in ranks:
        process.join(30)
        assert process.exitcode == 0
    for rank, grid, scalar, own, gathered, rows, told in found:
        assert grid == (torch.arange(24.0).view(2, 3, 2, 2) * 1.5).tolist(), f"rank {rank}"
        assert scalar == 0.5
        assert own == [[0.0, 0.0], [0.0, 0.0]]
        assert gathered == [{"rank": 0, "text": ""}, {"rank": 1, "text": "x" * 100}]
        assert rows == [0, 1]
        assert told == "a.png: not an image"

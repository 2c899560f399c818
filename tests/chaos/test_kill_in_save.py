"""SIGKILL between any two system calls of a real save: what is there afterwards resumes, whole and of one save (T1)."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from train_drill import small_options

from qsr.train import checkpoint, loop, optim, state
from qsr.train.distributed import Team
from qsr.train.job import Job
from qsr.train.journal import Journal
from qsr.train.progress import Progress
from qsr.train.run import _job
from tests.chaos.power_loss import Op, Watch
from tests.drill import Drill


class Killer(Watch):
    """Ends its process before the n-th call that changes the disk."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int) -> None:
        self.left = at
        super().__init__(patch)

    def before(self, op: Op) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Run:
    """A job that has trained 4 iterations, saved, and trained 4 more; its tensors at the save and now."""

    job: Job
    saved: dict[str, torch.Tensor]
    now: dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("job")
    with ExitStack() as held:
        progress = Progress("tiny", 12, 1, 1.0, lines=lambda line: None)
        torch.manual_seed(0)
        options = small_options(pictures, folder, logger={"keep_checkpoints": 1})
        job = _job(options, folder, Team(), progress, Journal(folder, progress.print), held)
        job.enter(job.stages[0])
        for iteration in range(1, 9):
            step = loop.forward_backward(job, job.stages[0], iteration)
            optim.set_lr(job.trainee.optimiser, job.stages[0].schedule, iteration - 1)
            loop.clip(job, step)
            job.trainee.optimiser.step()
            job.stepped(iteration)
            if iteration == 4:
                job.save(job.stages[0])
                saved = tensors(job)
        yield Run(job, saved, tensors(job))


def tensors(job: Job) -> dict[str, torch.Tensor]:
    found = {**job.trainee.network.state_dict(), **optim.state(job.trainee.optimiser)}
    return {name: value.clone() for name, value in found.items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def killed_in_save(job: Job, at: int) -> bool:
    """Save in a forked process that dies before its n-th call; False if it lived."""
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)
            Killer(pytest.MonkeyPatch(), at)
            job.save(job.stages[0])
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.drill("T1")
@pytest.mark.parametrize("again", [False, True], ids=["the next one", "the same one again"])
def test_whole_wherever_it_dies(run: Run, tmp_path: Path, drill: Drill, monkeypatch: pytest.MonkeyPatch, again: bool) -> None:
    job, checkpoints = run.job, run.job.folder / "checkpoints"
    assert not same(run.saved, run.now)
    monkeypatch.setattr(job.position, "iteration", 4 if again else 8)
    seen = set()
    at, alive = 0, False
    while not alive:
        at += 1
        monkeypatch.setattr(job, "folder", tmp_path / str(at))
        shutil.copytree(checkpoints, job.folder / "checkpoints")
        alive = not killed_in_save(job, at)
        drill.count()
        found = checkpoint.newest(job.folder / "checkpoints", print, state.check)
        assert found is not None, f"nothing is left after a kill before call {at}"
        twin = replace(job, position=state.Position(), _trainee=None)
        twin.resume(found)
        whole = [name for name, tensors_then in (("old", run.saved), ("new", run.now)) if same(tensors(twin), tensors_then)]
        assert len(whole) == 1, f"a mixed state after a kill before call {at}"
        seen.add((found.name, *whole))
    assert at > 20, "the drill has to reach every call of a save"
    assert seen == {("00000004", "old"), ("00000004" if again else "00000008", "new")}

"""The arithmetic of a step: accumulation, clipping, averaging, and numbers only when somebody looks at them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from train_drill import tiny_options

from qsr.train import loop
from qsr.train.distributed import Team
from qsr.train.job import Job
from qsr.train.journal import Journal
from qsr.train.progress import Progress
from qsr.train.run import _job


@pytest.fixture
def job_of(pictures: Path, tmp_path: Path) -> Any:
    """A job in its first stage (full precision), nothing trained yet."""
    with ExitStack() as held:

        def make(**sections: Any) -> Job:
            options = tiny_options(pictures, tmp_path, **sections)
            progress = Progress("tiny", 16, 1, 1.0, lines=lambda line: None)
            torch.manual_seed(0)
            job = _job(options, tmp_path, Team(), progress, Journal(tmp_path, progress.print), held)
            job.enter(job.stages[0])
            return job

        yield make


def gradients(job: Job) -> list[torch.Tensor]:
    return [weight.grad.clone() for weight in job.trainee.weights if weight.grad is not None]


def test_accumulation_is_the_mean_over_the_same_samples(job_of: Any, pictures: Path) -> None:
    whole = job_of(train={"accumulate": 1})
    one = loop.forward_backward(whole, whole.stages[0], 1)
    data = {"train": {"dataroot_gt": str(pictures / "train"), "gt_size": 8, "batch_size_per_gpu": 1}}
    parts = job_of(train={"accumulate": 2}, datasets=data)
    two = loop.forward_backward(parts, parts.stages[0], 1)
    torch.testing.assert_close(two.terms["l_pix"], one.terms["l_pix"])
    for theirs, ours in zip(gradients(whole), gradients(parts), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_clipping_limits_the_global_norm(job_of: Any) -> None:
    job = job_of(train={"grad_clip": 1e-3})
    step = loop.forward_backward(job, job.stages[0], 1)
    assert step.norm > 1e-3
    loop.clip(job, step)
    assert float(torch.nn.utils.get_total_norm(gradients(job))) == pytest.approx(1e-3, rel=1e-3)


def test_numbers_are_read_only_when_due(job_of: Any) -> None:
    job = job_of(train={"nan_check_freq": 3}, logger={"print_freq": 4})
    step = loop.forward_backward(job, job.stages[0], 1)
    read = [iteration for iteration in range(1, 9) if loop.check(job, step, iteration) is not None]
    assert read == [3, 4, 6, 8]
    assert set(loop.check(job, step, 4) or {}) == {"l_pix", "grad_norm"}


def test_the_loop_knows_nothing_of_quantization(repository: Path) -> None:
    lines = (repository / "qsr/train/loop.py").read_text().splitlines()
    assert len(lines) <= 200
    assert not [line for line in lines if "quant" in line.lower() and " if " in line]

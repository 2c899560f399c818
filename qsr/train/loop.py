"""The training loop, to be read aloud. What is trained, at which rate and with which loss, each stage says (stages.py);
how to save, validate and log, the job knows (job.py)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qsr.data.training import Batch
from qsr.errors import NumericalError, StoppedOnRequest
from qsr.train import finite, optim, recovery
from qsr.train.job import Job
from qsr.train.losses import Terms
from qsr.train.stages import Stage, train_section


@dataclass(frozen=True)
class Step:
    """What one iteration leaves for the log: the last micro-batch, the mean loss terms, gradient norm, data wait (s)."""

    batch: Batch
    terms: Terms
    norm: Tensor
    wait: float


def train_loop(job: Job) -> None:
    """Train all stages that are left. Raises StoppedOnRequest, NumericalError, or EnvironmentFault if the last save failed."""
    while True:
        try:
            train_stages(job)
        except NumericalError as fault:
            recovery.rewind(job, fault)
        else:
            job.finish_saving()
            return


def train_stages(job: Job) -> None:
    """From where the job is to its last iteration; what it raises, `train_loop` says."""
    for stage in job.stages_left():
        job.enter(stage)
        while True:
            if job.validation_due(stage):
                job.validate(stage)
            if job.save_due(stage):
                job.save(stage)
            if job.stopping:
                job.finish_saving()
                raise StoppedOnRequest(
                    f"stopped on {job.stop.name or 'request'} at iteration {job.position.iteration}, everything is saved",
                    where=str(job.folder),
                    hint="--auto_resume continues",
                )
            if job.position.iteration >= stage.last:
                break
            iteration = job.position.iteration + 1
            t = iteration - 1 - stage.origin
            lr = optim.set_lr(job.trainee.optimiser, stage.schedule, t)
            step = forward_backward(job, stage, iteration)
            numbers = None
            try:
                numbers = check(job, step, iteration)
            except NumericalError as fault:
                recovery.skip(job, fault)
            else:
                clip(job, step)
                job.trainee.optimiser.step()
                if job.trainee.ema:
                    job.trainee.ema.update(t)
            job.stepped(iteration)
            job.progress.step(iteration, lr, numbers, step.wait)


def forward_backward(job: Job, stage: Stage, iteration: int) -> Step:
    """Gradients of one optimiser step over all micro-batches and ranks; nothing has been clipped or stepped yet."""
    train, trainee = train_section(job.options), job.trainee
    trainee.optimiser.zero_grad(set_to_none=True)
    total: Terms = {}
    wait = 0.0
    for micro in range(train.accumulate):
        batch = job.loader.batch((iteration - 1) * train.accumulate + micro)
        lq = batch.lq.to(job.team.device, non_blocking=True, memory_format=trainee.memory_format)
        gt = batch.gt.to(job.team.device, non_blocking=True, memory_format=trainee.memory_format)
        with torch.autocast(job.team.device.type, torch.bfloat16, enabled=job.options.amp == "bf16"):
            loss, terms = stage.loss(trainee.forward, lq, gt, iteration)
        (loss / train.accumulate).backward()
        total = {name: total.get(name, 0) + term / train.accumulate for name, term in terms.items()}
        wait += batch.wait
    gradients = [weight.grad for weight in trainee.weights if weight.grad is not None]
    asked = torch.tensor(float(job.stop.name is not None), device=job.team.device)
    # loss terms and the stop request travel with the gradients: every rank sees the same numbers and stops at the same step
    job.team.average_([*gradients, *total.values(), asked])
    job.stopping = job.stop.name is not None if job.team.world == 1 else bool(asked > 0)
    return Step(batch, total, torch.nn.utils.get_total_norm(gradients), wait)


def check(job: Job, step: Step, iteration: int) -> dict[str, float] | None:
    """Loss terms and gradient norm as numbers (one synchronisation with the device), every nan_check_freq iterations.

    Raises NumericalError before a NaN or Inf reaches the weights.
    """
    due = (train_section(job.options).nan_check_freq, job.options.logger.print_freq)
    if all(iteration % every for every in due):
        return None
    values = torch.stack([*step.terms.values(), step.norm])
    if not bool(torch.isfinite(values).all()):
        raise finite.report(iteration, job.trainee.network, step.terms, step.batch, job.folder, job.team.rank)
    return dict(zip([*step.terms, "grad_norm"], values.tolist(), strict=True))


def clip(job: Job, step: Step) -> None:
    """Scale the gradient down to the norm that train.grad_clip allows; after `check`, since a NaN norm would spread."""
    limit = train_section(job.options).grad_clip
    if limit is not None:
        torch.nn.utils.clip_grads_with_norm_(job.trainee.weights, limit, step.norm)

"""From options to a trained network: puts the pieces of a run together and lets the loop do the work."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from qsr.data.training import Loader, TrainingSet
from qsr.errors import OptionsError
from qsr.options.schema import Options
from qsr.train import experiment, stages
from qsr.train.board import Board
from qsr.train.distributed import Team, team
from qsr.train.job import Job
from qsr.train.journal import Journal
from qsr.train.lock import ExperimentLock
from qsr.train.loop import train_loop
from qsr.train.progress import Progress
from qsr.train.signals import StopRequest
from qsr.train.validate import Validator


@dataclass(frozen=True)
class TrainOutcome:
    """folder: the experiment; results: the last validation, one mapping per set (dataset, psnr_y, ssim_y, images)."""

    folder: Path
    iteration: int
    results: list[dict[str, Any]]


def train(
    options: Options,
    *,
    auto_resume: bool = False,
    overwrite: bool = False,
    launcher: str = "none",
    notify: Callable[[str], None] | None = None,
) -> TrainOutcome:
    """Train what `options` describe, from the start or from the newest checkpoint, to the last iteration.

    notify receives every line of text; None: the terminal, with a progress bar if it is one. Under torchrun every process
    calls this; rank 0 writes. An experiment that is finished already is returned as it is.

    Raises OptionsError (no train section, folder in use without a flag, changed options), ExperimentBusy, DataError,
    NumericalError, StoppedOnRequest (after saving), EnvironmentFault (device, or the last save failed).
    """
    if options.train is None or "train" not in options.datasets:
        raise OptionsError(
            "nothing to train: the option file needs the sections `train` and `datasets.train`", where=options.name
        )
    folder = experiment.folder_of(options)
    with ExitStack() as held:
        members = held.enter_context(team(options.device, launcher))
        if members.is_main:
            held.enter_context(ExperimentLock(folder))
        progress = held.enter_context(_progress(options, members, notify))
        journal = progress.journal = Journal(folder, progress.print, members.is_main)
        found = members.on_main(lambda: _path(experiment.prepare(options, auto_resume, overwrite, journal.say)))
        _seed(options)
        job = _job(options, folder, members, progress, journal, held)
        if found:
            job.resume(Path(found))
        else:
            journal.rewind(0)
        if options.logger.use_tb_logger and members.is_main:
            job.board = Board(folder / "tb_logger", job.position.iteration, partial(journal.say, level="ERROR"))
            held.callback(job.board.close)
            journal.scalars = job.board.scalars
        train_loop(job)
    return TrainOutcome(folder, job.position.iteration, job.position.results)


def _job(options: Options, folder: Path, members: Team, progress: Progress, journal: Journal, held: ExitStack) -> Job:
    dataset = options.datasets["train"]
    pictures = TrainingSet(dataset, options.scale, options.manual_seed)
    batch = dataset.batch_size_per_gpu
    loader = Loader(pictures, batch, members.rank, members.world, dataset.num_worker_per_gpu)
    held.callback(loader.close)
    per_step = batch * members.world * stages.train_section(options).accumulate
    progress.epoch = max(len(pictures) / per_step, 1.0)
    journal.say(f"{len(pictures)} training pictures ({pictures.cached}), {per_step} patches per step, {members.device}")
    return Job(
        options=options,
        folder=folder,
        team=members,
        stages=stages.plan(options),
        loader=loader,
        calibration=Loader(pictures, batch),
        validator=Validator(options, partial(journal.say, level="ERROR")),
        journal=journal,
        progress=progress,
        stop=held.enter_context(StopRequest()),
    )


def _progress(options: Options, members: Team, notify: Callable[[str], None] | None) -> Progress:
    total = stages.total_iterations(options)
    return Progress(options.name, total, options.logger.print_freq, 1.0, notify, members.is_main)


def _seed(options: Options) -> None:
    """One seed for initialisation; with `deterministic`, operations without a deterministic form are refused."""
    torch.manual_seed(options.manual_seed)
    if options.deterministic:
        # cuBLAS reads this when it is first used, which has not happened yet
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(options.deterministic)
    torch.backends.cudnn.benchmark = not options.deterministic


def _path(found: Path | None) -> str | None:
    return str(found) if found is not None else None

"""Validation during training: PSNR and SSIM of every `val` set, sharded over the ranks, with comparison crops.

Each rank scores every world-th picture; rows come together in picture order, so the numbers are the single-process ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import nn

from qsr.data.benchmark import BenchmarkSet, open_folders, plain
from qsr.data.image import write_png
from qsr.data.resize import bicubic_upscale
from qsr.errors import EnvironmentFault
from qsr.evaluate.benchmark import SetResult, evaluate_set, merge
from qsr.evaluate.protocol import Protocol, default
from qsr.evaluate.upscale import Upscaler
from qsr.options.schema import Options
from qsr.report.crops import comparison
from qsr.train.distributed import Team


class Interrupted(Exception):
    """A stop request arrived between two pictures."""


class Validator:
    """The validation sets of an option file (`datasets.val`, `val_2`, ...), opened once; a missing one raises DataError.

    complain: told when a picture cannot be written (full disk); the numbers do not need it.
    """

    def __init__(self, options: Options, complain: Callable[[str], None] = print) -> None:
        self._complain = complain
        self.protocol: Protocol = default(options.scale)
        self.scale = options.scale
        self.save_all = options.val.save_img
        self.sets: list[BenchmarkSet] = [
            open_folders(
                dataset.dataroot_gt,
                dataset.dataroot_lq,
                scale=options.scale,
                tmpl=dataset.filename_tmpl,
                name=dataset.name or phase,
                meta_info=dataset.meta_info_file,
            )
            for phase, dataset in options.datasets.items()
            if phase.startswith("val")
        ]

    def scores(self, network: nn.Module, team: Team, pictures: Path, stop_asked: Callable[[], bool]) -> list[SetResult]:
        """One result per set, the same on every rank. A collective: every rank calls it.

        pictures: folder for the upscaled pictures (val.save_img). Raises Interrupted when a single process is asked to stop.
        """
        upscaler = Upscaler(network, str(team.device))

        def upscale(lr: np.ndarray) -> np.ndarray:
            # with several ranks the others would wait for this one's rows: they stop at the next step instead
            if team.world == 1 and stop_asked():
                raise Interrupted
            return upscaler(lr)

        results = []
        for one in self.sets:
            shard = (team.rank, team.world)
            try:
                mine = evaluate_set(upscale, one, self.protocol, shard=shard, save_to=pictures if self.save_all else None)
            except EnvironmentFault as fault:
                self._complain(str(fault))
                mine = evaluate_set(upscale, one, self.protocol, shard=shard)
            results.append(merge([SetResult(**row) for row in team.gather(asdict(mine))]))
        return results

    def crops(self, network: nn.Module, team: Team, folder: Path, iteration: int) -> list[tuple[str, np.ndarray]]:
        """LR / bicubic / ours / HR of the first picture of each set, written to `folder`; returns (name, picture) pairs."""
        strips = []
        for one in self.sets:
            pair = one.pair(0)
            ours = Upscaler(network, str(team.device))(pair.lr)
            strip = comparison(pair.lr, bicubic_upscale(pair.lr, self.scale), ours, pair.hr, scale=self.scale)
            try:
                write_png(folder / f"{plain(one.name)}_{plain(pair.name)}_{iteration:08d}.png", strip)
            except EnvironmentFault as fault:
                self._complain(str(fault))
            strips.append((f"{one.name}/{pair.name}", strip))
        return strips


def mean_psnr(results: list[SetResult]) -> float:
    """The number that decides about `best`: the mean over the sets."""
    return sum(result.psnr_y for result in results) / len(results)

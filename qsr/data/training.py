"""Training patches: pairs of LR and HR crops, the same ones whatever the number of threads, ranks or restarts.

`TrainingSet.sample(n)` is a pure function of (seed, n). `Loader.batch(step)` assembles the samples of a step, in
threads ahead of time when asked to, and says how long the caller had to wait.

LR patches are cut from the LR picture of the whole HR picture, never made from an HR patch: borders would differ.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from qsr.data.memory import PairCache
from qsr.data.pairs import Pairs
from qsr.data.sampler import crop_at, draw
from qsr.data.sources import keep_listed, open_store
from qsr.errors import OptionsError
from qsr.options.schema import Dataset


@dataclass(frozen=True, slots=True)
class Sample:
    """lq (3, h, w) and gt (3, scale h, scale w), float32 in [0, 1]."""

    lq: torch.Tensor
    gt: torch.Tensor
    name: str


@dataclass(frozen=True, slots=True)
class Batch:
    """lq (N, 3, h, w) and gt (N, 3, scale h, scale w), float32 in [0, 1]; `wait` is in seconds."""

    lq: torch.Tensor
    gt: torch.Tensor
    names: tuple[str, ...]
    wait: float


class TrainingSet:
    """The pictures of `datasets.train`. All headers are checked here, so that a run does not die of one at night.

    Raises DataError for a missing folder, an unmatched pair, a wrong size ratio or a picture smaller than `gt_size`,
    OptionsError for a `gt_size` that does not fit the scale.
    """

    def __init__(self, dataset: Dataset, scale: int, seed: int) -> None:
        if dataset.gt_size is None or dataset.gt_size % scale:
            raise OptionsError(f"{dataset.gt_size} is not a multiple of the scale {scale}", where="datasets.train.gt_size")
        gt = open_store(Path(dataset.dataroot_gt), keep_listed(dataset.meta_info_file))
        lq = None
        if dataset.dataroot_lq is not None:
            lq = open_store(Path(dataset.dataroot_lq), None, gt.names, dataset.filename_tmpl)
        self.pairs = Pairs(gt, lq, scale)
        self.scale = scale
        self.seed = seed
        self.gt_size = dataset.gt_size
        self._flip, self._turn = dataset.use_hflip, dataset.use_rot
        sizes = [self.pairs.check_headers(i, self.gt_size) for i in range(len(self.pairs))]
        self._cache = PairCache(self.pairs, sizes, dataset.cache)

    def __len__(self) -> int:
        """Number of pictures: the length of an epoch in samples."""
        return len(self.pairs)

    @property
    def cached(self) -> str:
        """What is kept in memory, in words for the log."""
        return self._cache.policy

    def sample(self, n: int) -> Sample:
        """Sample number n >= 0; DataError names a picture that cannot be decoded."""
        lq, gt, names = self.gather((n,))
        return Sample(lq[0], gt[0], names[0])

    def gather(self, numbers: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, tuple[str, ...]]:
        """Samples `numbers` stacked: lq (N, 3, h, w), gt (N, 3, scale h, scale w), and the pictures' names."""
        side = self.gt_size // self.scale
        lq = np.empty((len(numbers), 3, side, side), np.float32)
        gt = np.empty((len(numbers), 3, self.gt_size, self.gt_size), np.float32)
        names = [self._cut(n, lq[j], gt[j]) for j, n in enumerate(numbers)]
        return torch.from_numpy(lq), torch.from_numpy(gt), tuple(names)

    def _cut(self, n: int, lq: np.ndarray, gt: np.ndarray) -> str:
        choice = draw(self.seed, n, len(self))
        pair = self._cache.get(choice.picture)
        side = lq.shape[1]
        top = crop_at(choice.top, pair.lr.shape[0] - side + 1)
        left = crop_at(choice.left, pair.lr.shape[1] - side + 1)
        for out, picture, s in ((lq, pair.lr, 1), (gt, pair.hr, self.scale)):
            patch = picture[s * top : s * (top + side), s * left : s * (left + side)]
            if self._flip and choice.hflip:
                patch = patch[:, ::-1]
            if self._turn and choice.vflip:
                patch = patch[::-1]
            if self._turn and choice.transpose:
                patch = patch.transpose(1, 0, 2)
            # crop, turns, (h, w, 3) -> (3, h, w) and float in one pass; numpy, as torch's own threads would compete
            np.divide(patch.transpose(2, 0, 1), np.float32(255), out=out)
        return pair.name


class Loader:
    """Batches of one rank by global micro-step. With `threads`, the next steps are prepared while the network works.

    Sample j of (step, rank) is number (step world + rank) batch + j. Close it, or use it in a `with` block.
    """

    def __init__(self, training_set: TrainingSet, batch: int, rank: int = 0, world: int = 1, threads: int = 0) -> None:
        self._set = training_set
        self._batch, self._rank, self._world = batch, rank, world
        self._ahead = 2 * threads
        self._pool = ThreadPoolExecutor(threads, "qsr-data") if threads else None
        self._pending: dict[int, Future[Batch]] = {}

    def batch(self, step: int) -> Batch:
        """The batch of a micro-step, in any order of steps; `wait` is how long this call took."""
        start = time.perf_counter()
        if self._pool is None:
            ready = self._make(step)
        else:
            self._schedule(step)
            ready = self._pending.pop(step).result()
        return Batch(ready.lq, ready.gt, ready.names, time.perf_counter() - start)

    def reorder(self, seed: int) -> None:
        """Go on with the samples of another seed, for every loader of this training set; what was prepared is dropped."""
        self._pending.clear()
        self._set.seed = seed

    def close(self) -> None:
        """Stop the threads; batches not yet fetched are dropped."""
        self._pending.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _schedule(self, step: int) -> None:
        assert self._pool is not None
        wanted = range(step, step + 1 + self._ahead)
        for stale in self._pending.keys() - set(wanted):  # after a jump, for instance a rewind
            self._pending.pop(stale).cancel()
        for number in wanted:
            if number not in self._pending:
                self._pending[number] = self._pool.submit(self._make, number)

    def _make(self, step: int) -> Batch:
        first = (step * self._world + self._rank) * self._batch
        lq, gt, names = self._set.gather(range(first, first + self._batch))
        return Batch(lq, gt, names, 0.0)

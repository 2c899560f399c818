"""A benchmark set through an upscaler: one row per picture, their mean, and the JSON that results are kept in.

An upscaler is anything callable on an LR picture, so networks, bicubic and a future runtime share this loop.
A set can be split over processes: rank r of n takes the pictures r, r + n, ...; `merge` puts the rows back in
order and averages them exactly as one process would have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from qsr.data.benchmark import BenchmarkSet, plain
from qsr.data.image import write_png
from qsr.data.pairs import Pair
from qsr.errors import DataError
from qsr.evaluate.metrics import compare
from qsr.evaluate.protocol import Protocol

UpscaleFunction = Callable[[np.ndarray], np.ndarray]
RESULTS_FORMAT = 1


@dataclass(frozen=True)
class SetResult:
    """The row of one set. psnr_y, ssim_y: means over the pictures (dB; at most 1); NaN for a shard without pictures.

    images: {"name", "psnr_y", "ssim_y", "hash"} each. A picture that equals its truth has infinite PSNR: it counts
    in neither mean and is listed in `excluded`.
    """

    dataset: str
    scale: int
    psnr_y: float
    ssim_y: float
    images: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, dataset: str, scale: int, images: Sequence[Mapping[str, Any]]) -> SetResult:
        """The row whose means are those of `images`."""
        counted = [image for image in images if math.isfinite(image["psnr_y"])]

        def mean(key: str) -> float:
            return math.fsum(image[key] for image in counted) / len(counted) if counted else math.nan

        return cls(dataset, scale, mean("psnr_y"), mean("ssim_y"), [dict(image) for image in images])

    @property
    def excluded(self) -> list[str]:
        return [image["name"] for image in self.images if not math.isfinite(image["psnr_y"])]

    @property
    def data_hash(self) -> str:
        """12 hex digits over the pixels of all LR and HR pictures in order: equal means the same data."""
        return blake2b("".join(image.get("hash", "") for image in self.images).encode(), digest_size=6).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain values; numbers that JSON does not have (infinite, undefined) are null."""
        images = [{key: _finite(value) for key, value in image.items()} for image in self.images]
        row = {"dataset": self.dataset, "scale": self.scale, "psnr_y": _finite(self.psnr_y), "ssim_y": _finite(self.ssim_y)}
        return {**row, "images": images, "excluded": self.excluded, "dataset_hash": self.data_hash}


def evaluate_set(
    upscaler: UpscaleFunction,
    bench_set: BenchmarkSet,
    protocol: Protocol,
    *,
    shard: tuple[int, int] = (0, 1),
    save_to: Path | None = None,
    notify: Callable[[str], None] | None = None,
) -> SetResult:
    """Upscale and compare every picture of (this shard of) a set.

    upscaler: LR (h, w, 3) uint8 -> (scale h, scale w, 3) uint8.
    shard: (rank, ranks). save_to: folder for `<set>/<picture>_x<scale>.png`. notify: called with each picture's name.
    Raises DataError naming the picture that is damaged or too small for the protocol.
    """
    rank, ranks = shard
    images = []
    for i in range(rank, len(bench_set), ranks):
        pair = bench_set.pair(i)
        output = upscaler(pair.lr)
        try:
            psnr_y, ssim_y = compare(output, pair.hr, protocol)
        except DataError as fault:
            raise DataError(fault.message, where=f"{bench_set.name}/{pair.name}", hint=fault.hint) from fault
        images.append({"name": pair.name, "psnr_y": psnr_y, "ssim_y": ssim_y, "hash": _pixels_hash(pair)})
        if save_to is not None:
            write_png(save_to / plain(bench_set.name) / f"{plain(pair.name)}_x{bench_set.scale}.png", output)
        if notify is not None:
            notify(pair.name)
    return SetResult.of(bench_set.name, bench_set.scale, images)


def merge(shards: Sequence[SetResult]) -> SetResult:
    """The whole set's row from the rows of ranks 0, 1, ...: bit for bit what one process computes."""
    columns = zip_longest(*(shard.images for shard in shards))
    images = [image for image in chain.from_iterable(columns) if image is not None]
    return SetResult.of(shards[0].dataset, shards[0].scale, images)


def results_json(results: Iterable[SetResult], protocols: Sequence[Protocol], about: Mapping[str, Any]) -> dict[str, Any]:
    """What `qsr test` stores: the protocol's name, one row per set and scale, and where the numbers come from.

    protocols: one per scale. about: method, bits, model hash, ... (evaluate/subject.py).
    """
    names = {protocol.scale: protocol.name for protocol in protocols}
    one_name = next(iter(names.values())) if len(names) == 1 else "sr-y-crop{scale}-uint8"
    return {
        "format": RESULTS_FORMAT,
        "protocol": one_name,
        "protocols": [protocol.to_json() for protocol in protocols],
        "rows": [result.to_json() for result in results],
        **about,
    }


def _pixels_hash(pair: Pair) -> str:
    digest = blake2b(digest_size=8)
    for picture in (pair.lr, pair.hr):
        digest.update(str(picture.shape).encode())
        digest.update(np.ascontiguousarray(picture).tobytes())
    return digest.hexdigest()


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value

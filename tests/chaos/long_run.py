"""A long training, once left alone and once under everything that can happen to it; both must end with the same bits.

    python tests/chaos/long_run.py --iterations 20000 [--seed 1] [--every 200]

SIGKILL (at an iteration, inside a save, by the clock), SIGTERM, NaN injected into weights, gradients, activations or
pictures, a full disk for some hundred iterations (a real one: tmpfs, which needs root). It prints the seed, what happened
how often, and what memory, open files, threads and logs did during the run that was left alone.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
sys.path.insert(0, str(Path(__file__).parents[2]))
import train_drill

from qsr.errors import QsrError
from qsr.options.schema import Options
from tests.chaos.small_disk import NoDisk, fill_up, free, small_disk

SAVE_EVERY = 100
ENDS = {"kill": -signal.SIGKILL, "save": -signal.SIGKILL, "clock": -signal.SIGKILL, "term": 5, "nan": 4}
"""How an attempt is made to end, and the exit code that it has then; an attempt that comes too late ends with 0."""


@dataclass
class Report:
    """ends: how often each kind of end was met. samples: {iter, rss, fds, threads}, evenly over the run left alone."""

    seed: int
    iterations: int
    ends: collections.Counter[str] = field(default_factory=collections.Counter)
    samples: list[dict[str, int]] = field(default_factory=list)
    log_bytes: int = 0
    seconds: tuple[float, float] = (0.0, 0.0)
    differences: list[str] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """Of resident memory: the largest after warm-up (a fifth of the run) over the largest before, minus 1."""
        settled = len(self.samples) // 5 + 1
        before = max(sample["rss"] for sample in self.samples[:settled])
        return max(sample["rss"] for sample in self.samples[settled:]) / before - 1

    def seen(self, name: str) -> list[int]:
        """The different values of `fds` or `threads`."""
        return sorted({sample[name] for sample in self.samples[len(self.samples) // 5 :]})

    def text(self) -> str:
        rss = [sample["rss"] / 2**20 for sample in self.samples]
        ends = ", ".join(f"{name} {count}" for name, count in sorted(self.ends.items()))
        return (
            f"{self.iterations:,} iterations, seed {self.seed}: {self.seconds[0]:.0f} s, disturbed {self.seconds[1]:.0f} s\n"
            f"disturbed {sum(self.ends.values())} times: {ends}\n"
            f"resident memory {rss[0]:.1f} MiB at first, {rss[-1]:.1f} MiB at last, {max(rss):.1f} MiB at most; "
            f"growth after warm-up {100 * self.growth:.2f} %\n"
            f"open files {self.seen('fds')}, threads {self.seen('threads')}, logs {self.log_bytes:,} bytes\n"
            f"differences: {'; '.join(self.differences) or 'none, every tensor is equal bit for bit'}"
        )


def long_run(iterations: int, seed: int, place: Path, every: int = 200, say: Callable[[str], None] = print) -> Report:
    """Both runs below `place`; an attempt of the disturbed one lasts about `every` iterations."""
    report, chance = Report(seed, iterations), random.Random(seed)
    pictures = train_drill.write_pictures(place / "pictures")
    begun = time.monotonic()
    alone = _options(pictures, place / "alone", iterations)
    samples = place / "samples.jsonl"
    assert _attempt(alone, {"samples": str(samples), "sample_every": max(iterations // 100, 1)}) == 0
    report.samples = [json.loads(line) for line in samples.read_text().splitlines()]
    report.log_bytes = sum((place / "alone" / "tiny" / name).stat().st_size for name in ("train.log", "metrics.jsonl"))
    middle = time.monotonic()
    with ExitStack() as held:
        disk = place / "disturbed"
        try:
            held.enter_context(small_disk(disk, 4 << 20))
            real = True
        except NoDisk as why:
            say(f"the disk is never full: {why}")
            real = False
        _disturb(_options(pictures, disk, iterations), disk if real else None, every, chance, report)
        report.differences = _differences(place / "alone" / "tiny", disk / "tiny", real)
    report.seconds = (middle - begun, time.monotonic() - middle)
    return report


def _options(pictures: Path, root: Path, iterations: int) -> Options:
    return train_drill.small_options(
        pictures,
        root,
        train={"total_iter": iterations},
        logger={"print_freq": 100, "save_checkpoint_freq": SAVE_EVERY, "keep_checkpoints": 3},
    )


def _disturb(options: Options, disk: Path | None, every: int, chance: random.Random, report: Report) -> None:
    while True:
        here = _position(Path(options.path.experiments_root) / options.name)
        end = chance.choice(list(ENDS))
        at = here + chance.randint(1, 2 * every)
        how: dict[str, Any] = {"kind": chance.choice(("weight", "gradient", "activation", "pictures"))}
        how |= {"die_in_fsync": chance.randint(1, 30)} if end == "save" else {f"{end}_at": at}
        if disk is not None and chance.random() < 0.3:
            full = here + chance.randint(1, every)
            how |= {"disk": str(disk), "full_at": full, "free_at": full + chance.randint(1, 3 * SAVE_EVERY)}
        code = _attempt(options, how, chance.uniform(0.3, 3.0) if end == "clock" else None)
        if disk is not None and (disk / "filler").exists():
            free(disk)
            report.ends["(disk still full)"] += 1
        if code == 0:
            return
        # the last save of a run that is asked to stop may meet the full disk; a save that met it leaves fewer calls to die in
        assert code in (ENDS[end], 6), f"seed {report.seed}: {end} ended with {code}, {how}"
        report.ends["full disk at the end" if code == 6 else end] += 1


def _position(folder: Path) -> int:
    pointer = folder / "checkpoints" / "LATEST"
    return int(pointer.read_text()) if pointer.exists() else 0


def _attempt(options: Options, how: dict[str, Any], seconds: float | None = None) -> int:
    process = train_drill.CONTEXT.Process(target=_train, args=(options.to_json(), how))
    process.start()
    process.join(seconds)
    if seconds is not None:
        process.kill()
    process.join()
    return int(process.exitcode)


def _train(plain: dict[str, Any], how: dict[str, Any]) -> None:
    import torch

    from qsr.train.job import Job
    from qsr.train.run import train

    torch.set_num_threads(1)
    stepped = Job.stepped

    def watched(self: Job, iteration: int) -> None:
        stepped(self, iteration)
        if "samples" in how and iteration % how["sample_every"] == 0:
            _sample(Path(how["samples"]), iteration)
        if iteration == how.get("full_at"):
            fill_up(Path(how["disk"]))
        if iteration == how.get("free_at"):
            free(Path(how["disk"]))
        if iteration == how.get("nan_at"):
            _poison(self, how["kind"])
        if iteration in (how.get("kill_at"), how.get("term_at")):
            os.kill(os.getpid(), signal.SIGKILL if "kill_at" in how else signal.SIGTERM)

    Job.stepped = watched  # type: ignore[method-assign]
    if "die_in_fsync" in how:
        os.fsync = train_drill._deadly(os.fsync, how["die_in_fsync"])
    try:
        train(Options.model_validate(plain), auto_resume=True, notify=lambda line: None)
    except QsrError as fault:
        sys.exit(fault.exit_code)


def _poison(job: Any, kind: str) -> None:
    nan, layer = float("nan"), job.trainee.network.body[0].conv2
    if kind == "weight":
        layer.weight.data[0] = nan
    elif kind == "gradient":
        layer.weight.register_hook(lambda gradient: gradient * nan)
    elif kind == "activation":
        layer.register_forward_hook(lambda module, inputs, output: output * nan)
    else:
        batch = job.loader.batch

        def bad(step: int) -> Any:
            found = batch(step)
            found.lq.fill_(nan)
            return found

        job.loader.batch = bad


def _sample(file: Path, iteration: int) -> None:
    rss = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    fds, threads = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    with open(file, "a", encoding="utf-8") as handle:
        handle.write(json.dumps({"iter": iteration, "rss": rss, "fds": fds, "threads": threads}) + "\n")


def _differences(alone: Path, disturbed: Path, rows_may_miss: bool) -> list[str]:
    one, other = train_drill.outcome(alone), train_drill.outcome(disturbed)
    found = [name for name, value in one["tensors"].items() if other["tensors"].get(name) != value]
    found += [name for name, value in one["facts"].items() if other["facts"].get(name) != value]
    expected = {row["iter"]: row for row in one["rows"]}
    ours = [row["iter"] for row in other["rows"]]
    # a row that met the full disk is gone for good; none may be twice, or another one
    if ours != sorted(set(ours)) or any(expected[row["iter"]] != row for row in other["rows"]):
        found.append("metrics.jsonl")
    if not rows_may_miss and len(ours) != len(expected):
        found.append("missing rows of metrics.jsonl")
    left = [path.name for path in disturbed.rglob(".*")]
    return found + [f"left behind: {name}" for name in left]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--every", type=int, default=200, help="iterations between disturbances, on average")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        report = long_run(arguments.iterations, arguments.seed, Path(place), arguments.every)
    print(report.text())
    sys.exit(1 if report.differences else 0)


if __name__ == "__main__":
    main()

"""What the training loop costs besides the network: CPU milliseconds per iteration, loop minus forward and backward.

    python benchmarks/loop_overhead.py

A small SRResNet (8 blocks, 16 features, w4a4) on noise; CPU time, so that a busy machine changes little. The loop adds
data, gradient norm, finite check, optimiser, average, log. Prints both and their difference.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from qsr.data.image import write_png
from qsr.options import from_dict
from qsr.train import loop
from qsr.train.job import Job
from qsr.train.run import train
from qsr.train.stages import Stage

SKIP, ITERATIONS = 20, 220


def main() -> None:
    torch.set_num_threads(1)
    inside: list[float] = []
    steps: list[float] = []
    forward_backward, stepped = loop.forward_backward, Job.stepped

    def timed(job: Job, stage: Stage, iteration: int) -> loop.Step:
        trainee, batch = job.trainee, job.loader.batch(iteration)
        lq = batch.lq.contiguous(memory_format=trainee.memory_format)
        gt = batch.gt.contiguous(memory_format=trainee.memory_format)
        trainee.optimiser.zero_grad(set_to_none=True)
        begun = time.process_time()
        stage.loss(trainee.forward, lq, gt, iteration)[0].backward()
        inside.append(time.process_time() - begun)
        steps.append(-time.process_time())
        return forward_backward(job, stage, iteration)

    def counted(self: Job, iteration: int) -> None:
        stepped(self, iteration)
        steps[-1] += time.process_time()

    loop.forward_backward, Job.stepped = timed, counted
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for i in range(4):
            write_png(Path(folder) / "hr" / f"{i}.png", rng.integers(0, 256, (96, 96, 3), dtype=np.uint8))
        train(
            from_dict(
                {
                    "name": "overhead",
                    "scale": 2,
                    "device": "cpu",
                    "datasets": {"train": {"dataroot_gt": f"{folder}/hr", "gt_size": 48, "batch_size_per_gpu": 4}},
                    "network_g": {"type": "SRResNet", "num_feat": 16, "num_block": 8},
                    "quant": {"method": "rlq", "w_bits": 4, "a_bits": 4},
                    "path": {"experiments_root": folder},
                    "train": {"total_iter": ITERATIONS, "grad_clip": 1.0},
                    "logger": {"use_tb_logger": False},
                }
            ),
            notify=lambda line: None,
        )
    network, whole = (1000 * float(np.median(values[SKIP:])) for values in (inside, steps))
    print(json.dumps({"network_ms": round(network, 3), "loop_ms": round(whole, 3), "overhead_ms": round(whole - network, 3)}))


if __name__ == "__main__":
    main()

"""What one quantization-aware training step costs, as a multiple of the full-precision step.

    python benchmarks/qat_step.py [--batch 8 --patch 48 --rounds 15 --threads 2] [--profile]

One step: forward, L1 loss, backward, Adam, on SRResNet (edsr layout, 16 blocks x 64 features, x2), channels_last.
Variants take turns, so a busy machine slows all of them alike; ratios are taken within each round, their median printed.
`cpu` is the ratio of processor time, which other programs disturb less; it means something with one thread only, because
torch's idle threads spin.
`rlq torch ops` is the same quantizer without the compiled loops, `rlq composed` the textbook form (straight-through identity
over autograd), which is how released code is usually written.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import platform
import statistics
import time
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import qsr
from qsr.archs.srresnet import EdsrLayout
from qsr.quant import QConv2d, cpu_kernels
from qsr.quant.rlq import RLQ, phi


class Times(NamedTuple):
    """Seconds of one step: on the wall, and of processor time."""

    wall: float
    cpu: float


class Composed(nn.Module):
    """v * (sg(round(u_hat) - phi(u_hat)) + phi(u_hat)) with the parameters of a fused RLQ, by plain autograd."""

    def __init__(self, fused: RLQ) -> None:
        super().__init__()
        self.fused = fused

    def forward(self, x: Tensor) -> Tensor:
        levels = self.fused._levels(x, bool(self.fused.signed))
        raw = self.fused.step
        v = (raw * levels.grad_scale) + (raw - raw * levels.grad_scale).detach()
        u = (x if self.fused.shift is None else x + self.fused.shift) / v
        u_hat = u.clamp(levels.qmin, levels.qmax)
        smooth = phi(u_hat, 2.0)
        return ((u_hat.round() - smooth).detach() + smooth) * v


def composed(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, QConv2d):
            layer.weight_quant, layer.act_quant = Composed(layer.weight_quant), Composed(layer.act_quant)
    return network


def variants(batch: Tensor) -> dict[str, tuple[nn.Module, bool]]:
    """Name -> (network, whether the compiled loops may be used). All start from the same weights."""
    base = EdsrLayout(scale=2).to(memory_format=torch.channels_last)
    networks: dict[str, tuple[nn.Module, bool]] = {"fp": (base, True)}
    for name, preset in {"rlq": qsr.RLQ(2, 2), "lsq": qsr.LSQ(2, 2)}.items():
        network = copy.deepcopy(base)
        qsr.quantize_(network, qsr.rules(preset, keep=["conv_first", "upsample", "conv_last"]))
        qsr.calibrate(network, [batch])
        networks[name] = (network, True)
    networks["rlq torch ops"] = (copy.deepcopy(networks["rlq"][0]), False)
    networks["rlq composed"] = (composed(copy.deepcopy(networks["rlq"][0])), False)
    return networks


def stepper(network: nn.Module, loops: bool, lq: Tensor, gt: Tensor) -> Callable[[], Times]:
    """A function that takes one training step and says how long it took."""
    optimiser = torch.optim.Adam(network.parameters(), 1e-4, fused=True)  # as qsr.train does
    allowed = cpu_kernels.take if loops else lambda x, v: False

    def step() -> Times:
        with mock.patch.object(cpu_kernels, "take", allowed):
            start, start_cpu = time.perf_counter(), time.process_time()
            optimiser.zero_grad()
            F.l1_loss(network(lq), gt).backward()
            optimiser.step()
            return Times(time.perf_counter() - start, time.process_time() - start_cpu)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=48, help="LR pixels")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="*", metavar="VARIANT", help="time these beside fp, for instance: --only rlq lsq")
    parser.add_argument("--profile", action="store_true", help="print where the rlq step spends its time")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    lq = torch.rand(args.batch, 3, args.patch, args.patch).to(memory_format=torch.channels_last)
    gt = F.interpolate(lq, scale_factor=2, mode="bicubic")

    wanted = {"fp", *args.only} if args.only else None
    steps = {
        name: stepper(network, loops, lq, gt) for name, (network, loops) in variants(lq).items() if not wanted or name in wanted
    }
    for step in (*steps.values(), *steps.values()):
        step()
    times: dict[str, list[Times]] = {name: [] for name in steps}
    for _ in range(args.rounds):
        for name, step in steps.items():
            times[name].append(step())

    numba = metadata.version("numba") if util.find_spec("numba") else "absent"
    print(f"{datetime.date.today()}  {cpu_name()}  {args.threads} threads  torch {torch.__version__}  numba {numba}")
    print(
        f"SRResNet edsr 16x64 x2, w2a2, batch {args.batch}, LR patch {args.patch}, median of {args.rounds} interleaved rounds"
    )
    print(f"{'':14} {'ms':>8} {'ratio':>7} {'min':>6} {'max':>6} {'cpu':>7}")
    median = statistics.median
    for name, steps_of in times.items():
        ratios = [one.wall / fp.wall for one, fp in zip(steps_of, times["fp"], strict=True)]
        cpu = median(one.cpu / fp.cpu for one, fp in zip(steps_of, times["fp"], strict=True))
        ms = 1e3 * median(one.wall for one in steps_of)
        print(f"{name:14} {ms:8.1f} {median(ratios):7.3f} {min(ratios):6.3f} {max(ratios):6.3f} {cpu:7.3f}")
    if args.profile:
        with torch.profiler.profile() as profile:
            steps["rlq"]()
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=40))


def cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()

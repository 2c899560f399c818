"""Is there a GPU, does it compute, and does it compute the same twice?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qsr.doctor.check import Finding, fail, ok, warn

DEVICES = Path("/dev")
MEMORY_LOW = 1 << 30
ELSEWHERE = "set device: cpu until it is mended; nvidia-smi and the system's log may tell more"


def check_gpu() -> Finding:
    import torch

    if not torch.cuda.is_available():
        devices = sorted(path.name for path in DEVICES.glob("nvidia[0-9]*"))
        if devices:
            why = "was built for the processor only" if torch.version.cuda is None else "cannot use it"
            found = f"{', '.join(devices)} in {DEVICES}, but torch {torch.__version__} {why}"
            return warn(found, "install a CUDA build of torch that suits the driver (nvidia-smi shows it)")
        return ok("none; training uses the processor")
    # cuBLAS reads this when it is first used
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    names = []
    for number in range(torch.cuda.device_count()):
        device = torch.device("cuda", number)
        names.append(name := f"{torch.cuda.get_device_name(device)}")
        problem = examine(device)
        if problem:
            return fail(f"cuda:{number} ({name}): {problem}", ELSEWHERE)
        free, total = torch.cuda.mem_get_info(device)
        if free < MEMORY_LOW:
            found = f"cuda:{number} ({name}): {free >> 20:,} of {total >> 20:,} MiB free"
            return warn(found, "somebody else is using it: nvidia-smi shows who")
    return ok(f"{', '.join(names)}: products are exact, a deterministic step repeats bit for bit", devices=names)


def examine(device: Any) -> str:
    """What is wrong with a torch device, "" where nothing is."""
    return _product(device) or _repeats(device)


def _product(device: Any) -> str:
    """Small whole numbers: exact in float32 and in TF32, in any order of additions."""
    import torch

    chance = torch.Generator().manual_seed(1)
    a, b = (torch.randint(-8, 9, (256, 256), generator=chance).float() for _ in range(2))
    found, wanted = torch.matmul(a.to(device), b.to(device)).cpu(), torch.matmul(a.double(), b.double())
    wrong = int((found.double() != wanted).sum())
    return f"{wrong:,} of {wanted.numel():,} numbers of a matrix product are wrong" if wrong else ""


def _repeats(device: Any) -> str:
    """A convolution forward and backward, twice, in deterministic mode."""
    import torch

    before, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        results = []
        for _ in range(2):
            torch.manual_seed(2)
            layer = torch.nn.Conv2d(16, 16, 3, padding=1).to(device)
            x = torch.rand(4, 16, 48, 48).to(device).requires_grad_()
            layer(x).square().sum().backward()
            results.append([t.detach().cpu() for t in (x.grad, layer.weight.grad, layer.bias.grad)])
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark
    same = all(torch.equal(one, other) for one, other in zip(*results))
    return "" if same else "in deterministic mode a convolution's gradients differ from run to run"

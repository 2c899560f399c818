"""The arithmetic of fused.py for CPU float32 tensors in one pass forward and one backward, by numba where installed.

Why: the same formulas in torch operations walk the tensor some twenty times and call tanh; on a 2-core CPU that costs a
quarter of a training step (benchmarks/qat_step.py). Forward results equal the torch operations' bit for bit;
gradients agree to 1e-6 of their size, with the slope d as a polynomial. Sums run in a fixed order, whatever the
number of threads, so a run can be repeated bit for bit.

Not here: CUDA, float64, one step per channel, slopes without a short polynomial; those take the torch operations.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import util
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

TERMS = 8  # of the slope polynomial; unused ones are zero


@lru_cache
def _kernels() -> Any:
    """The compiled loops; numba takes a second to import, so only the first CPU quantizer that runs asks for it."""
    if util.find_spec("numba") is None:
        return None
    from qsr.quant import numba_loops

    return numba_loops


def take(x: Tensor, v: Tensor) -> bool:
    """True if `forward` and `backward` below can be used for x with step size v."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and v.dim() == 0
        and x.numel() > 0
        and type(x) in (Tensor, nn.Parameter)  # not a tracer's stand-in without memory behind it
        and not torch.compiler.is_compiling()
        and _kernels() is not None
    )


class Layout:
    """How the memory of x is walked: as columns (rows, C) when channels lie innermost, else as planes of one shift each.

    The shift of x is (1, C, 1, 1) or (1, C) or (C,), as in RLQ; None walks x as a single plane.
    """

    def __init__(self, x: Tensor, shift: Tensor | None) -> None:
        self.format = torch.contiguous_format
        if x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
            self.format = torch.channels_last
        self.columns = shift is not None and (shift.dim() <= 2 or self.format is torch.channels_last)
        self.shift = np.zeros(1, np.float32) if shift is None else shift.detach().contiguous().view(-1).numpy()
        self.inner = x.numel() if shift is None else x.numel() // (x.shape[0] * x.shape[1]) if not self.columns else 1

    def array(self, t: Tensor) -> np.ndarray:
        """t's memory in x's order, flat or (rows, C); a copy only where t is laid out differently."""
        t = t.detach().contiguous(memory_format=self.format)
        flat = t.permute(0, 2, 3, 1).reshape(-1) if self.format is torch.channels_last else t.view(-1)
        return flat.view(-1, self.shift.size).numpy() if self.columns else flat.numpy()

    def empty(self, x: Tensor) -> Tensor:
        return torch.empty_like(x, memory_format=self.format)


def forward(x: Tensor, v: Tensor, shift: Tensor | None, qmin: int, qmax: int) -> Tensor:
    """x_hat as in fused.py."""
    kernels, layout = _kernels(), Layout(x, shift)
    out = layout.empty(x)
    numbers = np.array([v.item(), qmin, qmax], np.float32)
    if layout.columns:
        kernels.quantize_columns(layout.array(x), layout.array(out), layout.shift, numbers)
    else:
        kernels.quantize_planes(layout.array(x), layout.array(out), layout.shift, layout.inner, numbers)
    return out


def backward(
    grad: Tensor, x: Tensor, v: Tensor, shift: Tensor | None, qmin: int, qmax: int, polynomial: tuple[float, ...]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """(dL/dx, dL/dv without s_g, dL/dshift) as in fused.py; `polynomial` as in Slope, at most 8 coefficients."""
    kernels, layout = _kernels(), Layout(x, shift)
    grad_x = layout.empty(x)
    numbers = np.array([v.item(), qmin, qmax], np.float32)
    coefficients = tuple(np.float32(c) for c in (*polynomial, *[0.0] * (TERMS - len(polynomial))))
    sums = np.zeros(layout.shift.size, np.float64)
    arrays = layout.array(grad), layout.array(x), layout.array(grad_x)
    if layout.columns:
        grad_v = kernels.gradient_columns(*arrays, layout.shift, numbers, coefficients, sums)
    else:
        grad_v = kernels.gradient_planes(*arrays, layout.shift, layout.inner, numbers, coefficients, sums)
    grad_shift = None if shift is None else torch.from_numpy(sums).to(shift.dtype).view(shift.shape)
    return grad_x, torch.tensor(grad_v, dtype=v.dtype), grad_shift

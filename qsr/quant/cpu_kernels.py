"""The arithmetic of fused.py for CPU float32 tensors in one pass forward and one backward, by numba where installed.

Why: the same formulas in torch operations walk the tensor some twenty times and call tanh, which costs a quarter of a
training step (benchmarks/qat_step.py). Forward results equal the torch operations' bit for bit; gradients agree to 1e-6 of
their terms, with the slope d as a polynomial. Sums run in a fixed order, so a run can be repeated bit for bit.

A dozen small torch calls cost as much as a pass over an activation; hence numpy views and Python numbers in here.

Not here: CUDA, float64, one step per channel, slopes without a short polynomial; those take the torch operations.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import util
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

NO_SHIFT = np.zeros(1, np.float32)


@lru_cache
def _kernels() -> Any:
    """The compiled loops; numba takes a second to import, so only the first CPU quantizer that runs asks for it."""
    if util.find_spec("numba") is None:
        return None
    from qsr.quant import numba_loops

    return numba_loops


def take(x: Tensor, step: Tensor) -> bool:
    """True if `forward` and `backward` below can be used for x with this raw step."""
    return (
        type(x) in (Tensor, nn.Parameter)  # not a tracer's stand-in without memory behind it
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and step.dim() == 0
        and x.numel() > 0
        and not torch.compiler.is_compiling()
        and _kernels() is not None
    )


class Layout:
    """How the memory of x is walked: as columns (rows, C) when channels lie innermost, else as planes of one shift each.

    The shift of x is (1, C, 1, 1) or (1, C) or (C,), as in RLQ; None walks x as a single plane.
    """

    def __init__(self, x: Tensor, shift: Tensor | None) -> None:
        self.channels_last = x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
        self.format = torch.channels_last if self.channels_last else torch.contiguous_format
        self.columns = shift is not None and (self.channels_last or shift.dim() <= 2)
        self.shift = NO_SHIFT if shift is None else shift.detach().numpy().reshape(-1)
        self.inner = x.numel() if shift is None else x.numel() // (x.shape[0] * self.shift.size) if not self.columns else 1

    def array(self, t: Tensor) -> np.ndarray:
        """t's memory in x's order, flat or (rows, C); a copy only where t is laid out differently."""
        memory = t.detach().contiguous(memory_format=self.format).numpy()
        memory = memory.transpose(0, 2, 3, 1) if self.channels_last else memory
        return memory.reshape(-1, self.shift.size) if self.columns else memory.reshape(-1)


def forward(x: Tensor, v: float, shift: Tensor | None, qmin: int, qmax: int) -> Tensor:
    """x_hat as in fused.py."""
    kernels, layout = _kernels(), Layout(x, shift)
    out = torch.empty_like(x, memory_format=layout.format)
    if layout.columns:
        kernels.quantize_columns(layout.array(x), layout.array(out), layout.shift, v, qmin, qmax)
    else:
        kernels.quantize_planes(layout.array(x), layout.array(out), layout.shift, layout.inner, v, qmin, qmax)
    return out


def backward(
    grad: Tensor, x: Tensor, v: float, shift: Tensor | None, qmin: int, qmax: int, polynomial: np.ndarray
) -> tuple[Tensor, float, Tensor | None]:
    """(dL/dx, dL/dv without s_g, dL/dshift) as in fused.py; `polynomial` as in Slope."""
    kernels, layout = _kernels(), Layout(x, shift)
    grad_x = torch.empty_like(x, memory_format=layout.format)
    sums = np.zeros(layout.shift.size, np.float64)
    arrays = layout.array(grad), layout.array(x), layout.array(grad_x)
    if layout.columns:
        grad_v = kernels.gradient_columns(*arrays, layout.shift, v, qmin, qmax, polynomial, sums)
    else:
        grad_v = kernels.gradient_planes(*arrays, layout.shift, layout.inner, v, qmin, qmax, polynomial, sums)
    if shift is None:
        return grad_x, grad_v, None
    return grad_x, grad_v, torch.from_numpy(sums.astype(np.float32).reshape(shift.shape))

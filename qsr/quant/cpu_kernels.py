"""The arithmetic of fused.py for CPU float32 tensors in one pass forward and one backward, by numba where installed.

Why: the same formulas in torch operations walk the tensor some twenty times and call tanh, which costs a quarter of a
training step (benchmarks/qat_step.py). Forward results equal the torch operations' bit for bit; gradients agree to 1e-6 of
their terms, with the slope d as a polynomial. Large tensors are cut into pieces of a fixed size, shared out over torch's
number of threads, and their sums added in the order of the pieces: no result depends on how many threads ran, or when.

A dozen small torch calls cost as much as a pass over an activation; hence numpy views and Python numbers in here.

Not here: CUDA, float64, one step per channel, slopes without a short polynomial; those take the torch operations.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib import util
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

NO_SHIFT = np.zeros(1, np.float32)
PIECE = 1 << 18  # elements: at least 0.1 ms of work, several times what handing it to a thread costs
Result = TypeVar("Result")


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
    """How the memory of x is walked: as columns (rows, C) when channels lie innermost, else flat, a run per shift.

    The shift of x is (1, C, 1, 1) or (1, C) or (C,), as in RLQ, or one number. pieces: slices of the first axis of `array(t)`.
    """

    def __init__(self, x: Tensor, shift: Tensor | None) -> None:
        channels_last = x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.columns = shift is not None and shift.numel() > 1 and (channels_last or shift.dim() <= 2)
        self.shift = NO_SHIFT if shift is None else shift.detach().numpy().reshape(-1)
        sample = 1 if self.shift.size == 1 else x.numel() // x.shape[0]
        self.plane = sample // self.shift.size
        # A piece begins where the shift does: at any row of columns, at a sample of runs, anywhere with one shift at most.
        width, unit = (self.shift.size, 1) if self.columns else (1, sample)
        length, size = x.numel() // width, max(PIECE // (width * unit), 1) * unit
        self.pieces = [slice(start, min(start + size, length)) for start in range(0, length, size)]

    def array(self, t: Tensor) -> np.ndarray:
        """t's memory in x's order, flat or (rows, C); a copy only where t is laid out differently."""
        memory = t.detach().contiguous(memory_format=self.format).numpy()
        memory = memory.transpose(0, 2, 3, 1) if self.format is torch.channels_last else memory
        return memory.reshape(-1, self.shift.size) if self.columns else memory.reshape(-1)

    def run(self, piece: slice) -> int:
        """Consecutive elements that share one shift."""
        return piece.stop - piece.start if self.shift.size == 1 else self.plane


def forward(x: Tensor, v: float, shift: Tensor | None, qmin: int, qmax: int) -> Tensor:
    """x_hat as in fused.py."""
    kernels, layout = _kernels(), Layout(x, shift)
    result = torch.empty_like(x, memory_format=layout.format)
    source, out = layout.array(x), layout.array(result)

    def quantize(piece: slice) -> None:
        if layout.columns:
            kernels.quantize_columns(source[piece], out[piece], layout.shift, v, qmin, qmax)
        else:
            kernels.quantize_planes(source[piece], out[piece], layout.shift, layout.run(piece), v, qmin, qmax)

    _spread(quantize, layout.pieces)
    return result


def backward(
    grad: Tensor, x: Tensor, v: float, shift: Tensor | None, qmin: int, qmax: int, polynomial: np.ndarray
) -> tuple[Tensor, float, Tensor | None]:
    """(dL/dx, dL/dv without s_g, dL/dshift) as in fused.py; `polynomial` as in Slope."""
    kernels, layout = _kernels(), Layout(x, shift)
    grad_x = torch.empty_like(x, memory_format=layout.format)
    arrays = layout.array(grad), layout.array(x), layout.array(grad_x)

    def gradient(piece: slice) -> tuple[float, np.ndarray]:
        sums = np.zeros(layout.shift.size, np.float64)
        cut = [array[piece] for array in arrays]
        if layout.columns:
            return kernels.gradient_columns(*cut, layout.shift, v, qmin, qmax, polynomial, sums), sums
        return kernels.gradient_planes(*cut, layout.shift, layout.run(piece), v, qmin, qmax, polynomial, sums), sums

    parts = _spread(gradient, layout.pieces)
    grad_v = sum(total for total, _ in parts)
    if shift is None:
        return grad_x, grad_v, None
    grad_shift = np.add.reduce([sums for _, sums in parts]).astype(np.float32)
    return grad_x, grad_v, torch.from_numpy(grad_shift.reshape(shift.shape))


def _spread(work: Callable[[slice], Result], pieces: list[slice]) -> list[Result]:
    """[work(piece) for each piece], by as many threads as torch uses; the loops let go of Python's lock."""
    threads = torch.get_num_threads()
    if threads == 1 or len(pieces) == 1:
        return [work(piece) for piece in pieces]
    return list(_pool(os.getpid(), threads).map(work, pieces))


@lru_cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """One pool per process (threads do not survive a fork) and number of threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"qsr-quant-{process}")

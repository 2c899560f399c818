"""PAMS, parameterized max scale (Li et al., ECCV 2020, arXiv:2011.04212), the first quantizer made for super-resolution.

With q = 2^(b-1) - 1, symmetric for every tensor, ReLU outputs too:

    activations  x_hat = round(clip(x, -alpha, alpha) q / alpha) alpha / q,   alpha learned
    weights      w_hat = round(w q / M) M / q,   M = max|w|, a constant of the backward pass

    dL/dx = g 1[|x| <= alpha],    dL/dalpha = sum g (round(u) - u) / q inside, +-g outside,  u = x q / alpha
    dL/dw = g

The activations are LSQ's formula with v = alpha / q and without LSQ's gradient scale, and run through the same kernels.

alpha starts from the data, as in the paper's first epoch: the mean over the pictures seen of each one's max|x| (a tensor of
zeros leaves the paper's first value, 10). The released code goes through one epoch without clipping for that and ends
with the last batch's mean, or with its EMA; calibration takes a few batches, and no epoch is counted anywhere.
Recipe (options/pams_*.yml): alpha's own learning rate 1e-2 (`train.optim_g.step_lr`), and the attention map of the body's
output drawn to the full-precision network's. The paper's weight 1e3 stands beside an L1 loss of pixels in 0..255, which is
1e3 / 255 = 3.92 beside ours in 0..1; attention maps are normalised and know no range.

Deviation: the paper also quantizes the residual stream: a block's shortcut input, with the code that its first
convolution reads, and its branch's output before the sum. Here every quantized convolution quantizes its own input, as
with all methods of the tables; the stream between stays in full precision.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from qsr.quant.base import Accepts, Codes, Role, level_range, widened
from qsr.quant.fused import Levels, codes
from qsr.quant.learned_step import LearnedStep, Observed
from qsr.quant.lsq import StraightThrough
from qsr.spec import QuantSpec

FIRST_ALPHA = 10.0


class RoundToMax(torch.autograd.Function):
    """w_hat = RoundToMax.apply(w, v, levels): rounded to multiples of v, the gradient handed through as it is."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, v: Tensor, levels: Levels) -> Tensor:
        return codes(w, v, None, levels).mul_(v)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad, None, None


class PAMS(LearnedStep):
    """No settings; 2 to 8 bits.

    step: alpha, the largest value that is not clipped, of activations; None for weights, which have nothing to learn.
    """

    accepts: ClassVar[dict[str, Accepts]] = {}
    act_only: ClassVar[frozenset[str]] = frozenset()
    symmetric = True
    plain = False

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.slope = StraightThrough()
        self.qmax = level_range(spec.bits, True)[1]
        if role == "weight":
            self.step = None  # type: ignore[assignment]
            self.initialised.fill_(True)
        else:
            torch.nn.init.constant_(self.step, FIRST_ALPHA)

    def forward(self, x: Tensor) -> Tensor:
        if self.role == "act":
            return super().forward(x)
        wide = widened(x)
        return RoundToMax.apply(wide, self._max_step(wide), self._levels(x, True)).to(x.dtype)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Codes:
        if self.role == "act":
            return super().encode(x)
        wide = widened(x)
        v = self._max_step(wide)
        q = codes(wide, v, None, self._levels(x, True)).to(torch.int32)
        return Codes(q, v, self.spec.bits, signed=True, narrow=True)

    def unit(self) -> float:
        return 1.0 if self.step is None else float(self.step.detach().abs().mean())

    def _max_step(self, w: Tensor) -> Tensor:
        """max|w| / q of the tensor, or of each output channel; 1 where all is zero. Follows the weight, without gradient."""
        size = w.detach().abs()
        axes = tuple(a for a in range(w.dim()) if a != self.channel_dim)
        v = (size.amax(axes, keepdim=True) if self.spec.granularity == "channel" else size.amax()) / self.qmax
        return torch.where(v > 0, v, 1.0)

    def _step_for(self, x: Tensor) -> Tensor:
        return super()._step_for(x) / self.qmax

    def _levels(self, x: Tensor, signed: bool) -> Levels:
        return Levels(-self.qmax, self.qmax, grad_scale=1.0)

    # --- alpha's first value -----------------------------------------------------------------------------------
    def _statistics(self, x: Tensor) -> Observed:
        """What counts is one value per picture: its largest |x|."""
        peaks = (x if x.dim() > 1 else x[None]).abs().flatten(1).amax(1)
        return Observed(len(peaks), peaks.sum(dtype=torch.float64), peaks.amax(), x.min(), x.max())

    def _start(self, seen: Observed, qmin: int, qmax: int) -> None:
        alpha = seen.abs_sum / seen.count
        self.step.copy_(torch.where(alpha > 0, alpha, FIRST_ALPHA))

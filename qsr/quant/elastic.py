"""One-bit operands of attention's two products, for every one-bit method (FRBT's `quant_matmul`, algorithms 2.1).

    q, k, v:  x_hat = mean|x| sign(x + shift)         mean over one window and head, shift per head and feature
    map:      p_hat = s 1[p >= s/2]                    p in [0, 1], s learned per head

A softmax is never negative, so its signs would say nothing; elastic binarization (Liu et al., BiT, NeurIPS 2022) has
the levels 0 and s instead. Its gradients are those of a learned step with the codes 0 and 1:

    dL/dp = g 1[0 <= p <= s],      dL/ds = sum g (1[u >= 1/2] - u 1[u <= 1]) / sqrt(n),   u = p / s

with n elements per head and picture window. s starts at the mean of the rows' largest probabilities.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from qsr.errors import OptionsError
from qsr.quant.base import Codes, Quantizer, widened
from qsr.quant.fused import positive
from qsr.quant.ranks import mean_over_ranks
from qsr.quant.srb import SRB
from qsr.spec import QuantSpec

ELASTIC = "elastic"
SPEC = QuantSpec(ELASTIC, 1)


class Operand(SRB):
    """q, k or v, (b, heads, n, features): signs with SRB's window, times mean|x| of each window and head."""

    def __init__(self, heads: int, features: int) -> None:
        super().__init__(SPEC, "act", heads, 1)
        self.shift = nn.Parameter(torch.zeros(1, heads, 1, features))

    def scale_of(self, x: Tensor) -> Tensor:
        return x.detach().abs().mean(dim=(-2, -1), keepdim=True)


class ElasticMap(Quantizer):
    """The attention map, (b, heads, n, n) in [0, 1] -> 0 or s. `step`: (1, heads, 1, 1), the raw s; |step| is what counts."""

    def __init__(self, heads: int) -> None:
        super().__init__(SPEC, "act")
        self.step = nn.Parameter(torch.ones(1, heads, 1, 1))
        self._observing = False
        self._seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """p_hat, shape and dtype of x. Raises OptionsError in eval mode while uninitialised."""
        wide = widened(x)
        self._prepare(wide)
        return _elastic(wide, self.step.to(wide.dtype)).to(x.dtype)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Codes:
        wide = widened(x)
        self._prepare(wide)
        scale = positive(self.step.to(wide.dtype))
        return Codes((wide >= scale / 2).to(torch.int32), scale, bits=1, signed=False)

    def unit(self) -> float:
        return float(positive(self.step).mean())

    def begin_calibration(self) -> None:
        self._observing, self._seen = True, []

    def end_calibration(self) -> None:
        self._observing, self._seen = False, []

    def _prepare(self, x: Tensor) -> None:
        if not self._observing and bool(self.initialised):
            return
        if not (self._observing or self.training):
            raise OptionsError(
                "the quantizer of an attention map is not initialised",
                hint="call qsr.calibrate(network, batches), load a checkpoint, or run a training forward first",
            )
        with torch.no_grad():
            heads = x.detach().amax(-1).mean((0, 2)).view(self.step.shape)
            self._seen.append(heads if self._observing else mean_over_ranks(heads))
            self.step.copy_(torch.stack(self._seen).mean(0))
            self.initialised.fill_(True)
        if not self._observing:
            self._seen = []


class _Elastic(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, p: Tensor, step: Tensor) -> Tensor:
        ctx.save_for_backward(p, step)
        s = positive(step)
        return (p >= s / 2).to(p.dtype) * s

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        p, step = ctx.saved_tensors
        s = positive(step)
        inside = p <= s
        slope = (p >= s / 2).to(p.dtype) - (p / s) * inside
        grad_s = (grad * slope).sum((0, 2, 3), keepdim=True) / math.sqrt(p.shape[-1] * p.shape[-2])
        return grad * inside, grad_s * torch.where(step >= 0, 1.0, -1.0)


def _elastic(p: Tensor, step: Tensor) -> Tensor:
    return _Elastic.apply(p, step)

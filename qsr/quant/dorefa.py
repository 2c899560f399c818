"""DoReFa-Net (Zhou et al., 2016, arXiv:1606.06160), for k bits and for one.

One bit, E = mean|w| over the layer (granularity "channel": per output channel, as in the benchmark code):

    w_hat = E sign(w),   dL/dw = g * 1[|w| <= 1]  (`clip: false`: g, the paper);      a_hat = sign(a),  dL/da = g * 1[|a| <= 1]

k bits, n = 2^k - 1, M = max|tanh w| of the layer, the straight-through estimator through round:

    W = 2 round(n z) / n - 1,   z = tanh(w) / (2 M) + 1/2,      w_hat = s W,     dL/dw = g s (1 - tanh^2 w) / M
    a_hat = c round(n clip(a / c, 0, 1)) / n,                                    dL/da = g * 1[0 <= a <= c]

`range_act` sets the ranges s and c. false is the paper: both 1. true, the default, suits super-resolution, whose features
do not lie in [0, 1] and whose layers have no normalisation to make up for weights that are all stretched to [-1, 1]:

    s = mean|w| / mean|W|   (constant of the backward pass)
    c = average of max|a| over the training batches (decay 0.99); where a has negative values, the levels are
        signed and symmetric: a_hat = c round(n' clip(a / c, -1, 1)) / n',  n' = 2^(k-1) - 1

The paper's one-bit activations are {0, 1}; those of the public codes, and here, -1 and +1.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from qsr.errors import OptionsError
from qsr.quant.base import Accepts, Codes, Quantizer, Role, SignCodes, level_range, widened
from qsr.quant.fused import STEP_FLOOR, Levels, codes, fused_quantize
from qsr.quant.learned_step import SIGNED_BELOW
from qsr.quant.lsq import StraightThrough
from qsr.quant.ranks import max_over_ranks, mean_over_ranks
from qsr.quant.signs import binarize, identity, sign, ste
from qsr.spec import QuantSpec

DECAY = 0.99
LARGEST_FLOOR = 1e-6  # an all-zero weight must not divide by zero


class DoReFa(Quantizer):
    """Settings: range_act (True, above one bit), clip (True, one-bit weights).

    Buffer `limit` (0-dim float32) is c; activations with range_act only, it moves in training mode and while calibrating.
    Weight codes are 0..n with an offset: 0 is not a level.
    """

    accepts: ClassVar[dict[str, Accepts]] = {"range_act": (True, False), "clip": (True, False)}
    weight_only: ClassVar[frozenset[str]] = frozenset({"clip"})
    limit: Tensor

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role)
        if role == "act" and spec.granularity == "channel":
            raise OptionsError("activations have one range per tensor; granularity 'channel' is for weights")
        self._one_bit = spec.bits == 1
        self._scaled = bool(spec.param("range_act", True))
        self._surrogate = ste if role == "act" or spec.param("clip", True) else identity
        self._slope = StraightThrough()
        self._observing = False
        if role == "act" and not self._one_bit:
            self.register_buffer("limit", torch.tensor(1.0))
        self._follows = role == "act" and not self._one_bit and self._scaled
        self.initialised.fill_(not self._follows)
        if self._one_bit:
            self.signed.fill_(True)
        elif role == "weight":
            self.signed.fill_(False)

    # --- forward and integer form ------------------------------------------------------------------------------
    def forward(self, x: Tensor) -> Tensor:
        wide = widened(x)
        if self._one_bit:
            x_hat = binarize(wide, self._surrogate, self._mean_size(wide))
        elif self.role == "weight":
            x_hat = self._weights(wide)
        else:
            step, levels = self._prepare(wide)
            x_hat = fused_quantize(wide, step, None, levels, self._slope)
        return x_hat.to(x.dtype)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Codes | SignCodes:
        wide = widened(x)
        if self._one_bit:
            scale = self._mean_size(wide)
            return SignCodes(sign(wide).to(torch.int8)[None], (wide.new_ones(()) if scale is None else scale)[None])
        if self.role == "weight":
            return self._weight_codes(wide)
        step, levels = self._prepare(wide)
        q = codes(wide, step, None, levels).to(torch.int32)
        return Codes(q, step, self.spec.bits, levels.qmin < 0, narrow=True)

    # --- weights -----------------------------------------------------------------------------------------------
    def _over(self, w: Tensor) -> tuple[int, ...]:
        """The axes of w that share a scale."""
        return tuple(range(w.dim()))[1 if self.spec.granularity == "channel" else 0 :]

    def _mean_size(self, x: Tensor) -> Tensor | None:
        """E of one-bit weights; None for activations."""
        return None if self.role == "act" else x.detach().abs().mean(dim=self._over(x), keepdim=True)

    def _weights(self, w: Tensor) -> Tensor:
        found = self._weight_codes(w.detach())
        top = self._largest(w.detach())
        through = torch.tanh(w) * (found.scale * ((2**self.spec.bits - 1) / 2) / top)
        return found.decode() + (through - through.detach())

    def _weight_codes(self, w: Tensor) -> Codes:
        n = 2**self.spec.bits - 1
        q = (torch.tanh(w) / self._largest(w)).add_(1).mul_(n / 2).round_()
        unit = q * (2 / n) - 1
        size = torch.ones_like(self._largest(w))
        if self._scaled:
            size = w.abs().mean(dim=self._over(w), keepdim=True) / unit.abs().mean(dim=self._over(w), keepdim=True)
        return Codes(q.to(torch.int32), size * (2 / n), self.spec.bits, signed=False, offset=-size)

    def _largest(self, w: Tensor) -> Tensor:
        return torch.tanh(w).abs().amax(dim=self._over(w), keepdim=True).clamp_min(LARGEST_FLOOR)

    # --- activations -------------------------------------------------------------------------------------------
    def begin_calibration(self) -> None:
        self._observing = True

    def end_calibration(self) -> None:
        self._observing = False

    def _prepare(self, x: Tensor) -> tuple[Tensor, Levels]:
        """(c / n, the levels), c having followed x where that is due."""
        if self._follows and (self.training or self._observing):
            self._follow(x.detach())
        elif self._follows and not self.initialised:
            raise OptionsError(
                f"the act quantizer ({self.extra_repr()}) has no range yet",
                hint="call qsr.calibrate(network, batches), load a checkpoint, or run a training forward first",
            )
        levels = Levels(*level_range(self.spec.bits, bool(self.signed), narrow=True), 1.0)
        return (self.limit / levels.qmax).clamp_min(STEP_FLOOR).to(x.dtype), levels

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        """Let c follow the features; their sign is decided before the first step and stays."""
        now = mean_over_ranks(x.abs().amax()).to(self.limit.dtype)
        if self._observing or not self.initialised:
            negative = max_over_ranks((x.amin() < SIGNED_BELOW).float()) > 0
            self.signed.copy_(negative | (self.signed & self.initialised))
        # a new tensor each time: the backward pass of an earlier forward still needs the old one
        self.limit = torch.where(self.initialised, DECAY * self.limit + (1 - DECAY) * now, now)
        self.initialised.fill_(True)

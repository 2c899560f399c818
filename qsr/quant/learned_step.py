"""What RLQ, LSQ and their kin share: a learnable step size, its first value from the data, signedness, the integer form.

The step starts at 2 mean|x| / sqrt(Qp) (LSQ), max|x| / Qp or where the squared error is least (initial.py), observed
either by `qsr.calibrate` or by the first forward in training mode. Activations are signed iff the smallest observed
value lies below -1e-5; weights always are. Both facts are buffers, so a loaded checkpoint needs neither batch nor
calibration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from qsr.errors import NumericalError, OptionsError
from qsr.quant.base import EXACT, Accepts, Codes, Quantizer, Role, level_range, widened
from qsr.quant.fused import Levels, Slope, codes, fused_quantize, positive
from qsr.quant.initial import centring_shift, least_error_step, subsample
from qsr.quant.ranks import world_size
from qsr.spec import QuantSpec

SIGNED_BELOW = -1e-5


@dataclass
class Observed:
    """Running statistics of the (shifted) tensors seen so far; per channel where the step is."""

    count: int
    abs_sum: Tensor
    abs_max: Tensor
    minimum: Tensor
    maximum: Tensor

    def merge(self, other: Observed) -> Observed:
        return Observed(
            self.count + other.count,
            self.abs_sum + other.abs_sum,
            torch.maximum(self.abs_max, other.abs_max),
            torch.minimum(self.minimum, other.minimum),
            torch.maximum(self.maximum, other.maximum),
        )


class LearnedStep(Quantizer):
    """Uniform quantizer with a learned step; a subclass names its `slope` and may add a `shift`.

    step: raw parameter, 0-dim or (C,) with granularity "channel" (weights only); |step| is what counts.
    symmetric: the method's codes are -Qp..Qp whatever the data.
    plain: x_hat = round(clip((x + shift) / step)) * step with this very parameter; what packs a network or sets its steps
    after training knows no other form.
    Quantizer arithmetic is float32 (float64 for float64 input), also under autocast.
    """

    accepts: ClassVar[dict[str, Accepts]] = {
        "init": ("lsq", "max", "mse"),
        "numel": ("sample", "batch"),
        "symmetric_narrow": (False, True),
    }
    act_only: ClassVar[frozenset[str]] = frozenset({"numel"})
    symmetric: ClassVar[bool] = False
    plain: ClassVar[bool] = True
    slope: Slope

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role)
        if spec.bits < 2:
            raise OptionsError(
                f"{spec.method} is undefined for 1 bit: its largest signed level would be 0", hint="use 2 to 8 bits"
            )
        if role == "act" and spec.granularity == "channel":
            raise OptionsError("activations have one step size per tensor; granularity 'channel' is for weights")
        self.channels = channels
        self.channel_dim = channel_dim
        self.shift: nn.Parameter | None = None
        per_channel = spec.granularity == "channel"
        self.step = nn.Parameter(torch.ones(channels) if per_channel else torch.tensor(1.0))
        self._steps = channels if per_channel else 1
        self._narrow = self.symmetric or bool(spec.param("symmetric_narrow", False))
        self._per_sample = role == "act" and spec.param("numel", "sample") == "sample"
        self._observing = False
        self._observed: Observed | None = None
        self._centred = role == "act" and spec.param("shift_init", "zero") == "centre"
        self._sample: Tensor | None = None  # (C or 1, n) observed values, where the start needs more than statistics
        self._flags: tuple[Tensor, int, Tensor, int, bool, bool] | None = None
        if self.symmetric:
            self.signed.fill_(True)

    # --- forward and integer form ------------------------------------------------------------------------------
    def forward(self, x: Tensor) -> Tensor:
        """x_hat, shape and dtype of x. Raises OptionsError in eval mode while uninitialised."""
        levels = self._levels(x, self._prepare(x))
        if self._observing and self._centred:
            # the layers behind see values in place; the bias takes the shift off once it is final (absorb_shifts)
            return (self.encode(x).decode() - self.shift).to(x.dtype)
        if x.dtype in EXACT:  # calls that would do nothing are left out: together they cost as much as a pass over x
            return fused_quantize(x, self._step_for(x), self._shift_for(x), levels, self.slope)
        wide = x.float()
        return fused_quantize(wide, self._step_for(wide), self._shift_for(wide), levels, self.slope).to(x.dtype)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Codes:
        signed = self._prepare(x)
        wide = widened(x)
        v, shift = positive(self._step_for(wide)), self._shift_for(wide)
        q = codes(wide, v, shift, self._levels(x, signed)).to(torch.int32)
        return Codes(q, v, self.spec.bits, signed, shift, self._narrow)

    def unit(self) -> float:
        return float(positive(self.step).mean())

    def _step_for(self, x: Tensor) -> Tensor:
        step = self.step if self.step.dtype == x.dtype else self.step.to(x.dtype)
        return step if step.dim() == 0 else step.view(self._broadcast_shape(x))

    def _shift_for(self, x: Tensor) -> Tensor | None:
        shift = self.shift
        if shift is None:
            return None
        shift = shift if shift.dtype == x.dtype else shift.to(x.dtype)
        return shift if x.dim() > 1 else shift.view(-1)  # one feature vector without a batch axis

    def _broadcast_shape(self, x: Tensor) -> list[int]:
        shape = [1] * x.dim()
        shape[self.channel_dim] = self.channels
        return shape

    def _levels(self, x: Tensor, signed: bool) -> Levels:
        qmin, qmax = level_range(self.spec.bits, signed, self._narrow)
        n = x.numel() // self._steps
        # Released code counts the whole batch; per sample the step's learning rate does not depend on the batch size.
        if self._per_sample:
            n //= max(x.shape[0], 1)
        return Levels(qmin, qmax, 1 / math.sqrt(max(n, 1) * qmax))

    # --- initialisation ----------------------------------------------------------------------------------------
    def begin_calibration(self) -> None:
        self._observing, self._observed, self._sample = True, None, None

    def end_calibration(self) -> None:
        self._observing, self._observed, self._sample = False, None, None

    def _prepare(self, x: Tensor) -> bool:
        """Initialise from x where that is due; returns whether codes are signed."""
        initialised, signed = self._read_flags()
        if initialised and not self._observing:
            return signed
        if self._observing:
            self._observe(x)
        else:
            if not self.training:
                raise OptionsError(
                    f"the {self.role} quantizer ({self.extra_repr()}) has no step size yet",
                    hint="call qsr.calibrate(network, batches), load a checkpoint, or run a training forward first",
                )
            if self.role == "act" and world_size() > 1:
                raise OptionsError(
                    "step sizes are not initialised, and each process would choose its own from its share of the batch",
                    hint="call qsr.calibrate(network, batches) before wrapping the network in DistributedDataParallel",
                )
            self._observe(x)
            self._observed = self._sample = None
        return self._read_flags()[1]

    @torch.no_grad()
    def _observe(self, x: Tensor) -> None:
        """Set step and signedness from everything observed since calibration began."""
        x = widened(x.detach())
        seen = self._statistics(x)
        self._observed = seen = seen if self._observed is None else self._observed.merge(seen)
        if not torch.isfinite(seen.abs_sum).all():
            raise NumericalError(f"NaN or Inf in the tensor that initialises the {self.role} quantizer ({self.extra_repr()})")
        if self.role == "act" and not self.symmetric:
            self.signed.fill_(bool(seen.minimum < SIGNED_BELOW))
        self.initialised.fill_(True)
        if self._centred or self.spec.param("init", "lsq") == "mse":
            fresh = subsample(self._rows(x, self._centred or self.step.dim() > 0))
            self._sample = fresh if self._sample is None else torch.cat((self._sample, fresh), 1)
        self._start(seen, *level_range(self.spec.bits, self._read_flags()[1], self._narrow))

    def _start(self, seen: Observed, qmin: int, qmax: int) -> None:
        """Set the parameters that start from the data; signedness is known."""
        if self.spec.param("init", "lsq") == "max":
            step = seen.abs_max / qmax
        else:
            step = 2 * seen.abs_sum / (seen.count * math.sqrt(qmax))
        step = step.to(self.step.dtype)
        middle = None
        if self._centred and self._observing and self._sample is not None and qmin < 0:  # after a ReLU the mass is at 0
            middle = self._sample.mean(1, keepdim=True)
        if self._sample is not None and self.spec.param("init", "lsq") == "mse":
            step = least_error_step(self._sample, torch.where(step > 0, step, 1.0), qmin, qmax, middle)
        if self.shift is not None and middle is not None:
            self.shift.copy_(centring_shift(middle, step, qmin, qmax).view(self.shift.shape))
        # An all-zero tensor says nothing about its scale; 1 lets later values through, a tiny step would saturate them.
        self.step.copy_(torch.where(step > 0, step, 1.0))

    def _statistics(self, x: Tensor) -> Observed:
        shift = None if self._centred else self._shift_for(x)
        x = x if shift is None else x + shift
        flat = self._rows(x, per_channel=self.step.dim() > 0)
        size = flat.abs()
        abs_sum, abs_max = size.sum(1, dtype=torch.float64), size.amax(1)
        if self.step.dim() == 0:
            abs_sum, abs_max = abs_sum[0], abs_max[0]
        return Observed(flat.shape[1], abs_sum, abs_max, x.min(), x.max())

    def _rows(self, x: Tensor, per_channel: bool) -> Tensor:
        """(C, n), or (1, n)."""
        return x.transpose(0, self.channel_dim).reshape(self.channels, -1) if per_channel else x.reshape(1, -1)

    def _read_flags(self) -> tuple[bool, bool]:
        """(initialised, signed) as Python values. Reading a buffer stalls a GPU, so it is read again only once written to."""
        known = self._flags
        if (
            known is None
            or known[0] is not self.initialised
            or known[2] is not self.signed
            or (known[1], known[3]) != (self.initialised._version, self.signed._version)
        ):
            a, b = self.initialised, self.signed
            self._flags = known = (a, a._version, b, b._version, bool(a), bool(b))
        return known[4], known[5]

    # A compiled network is compiled for the signedness it was calibrated to. This is what the decorator
    # torch.compiler.assume_constant_result sets; calling it here would import torch._dynamo with this module, and cost
    # every command that loads a network 1.5 s. test_compiled_equals_eager fails where torch no longer heeds the mark.
    _read_flags._dynamo_marked_constant = True  # type: ignore[attr-defined]

"""What the one-bit methods share: x_hat = scale(x) * sign(latent(x)), its integer form, and its initialisation.

A method says what the sign sees (`latent`), what the scale is (`scale_of`) and which surrogate stands in for sign's
derivative (`surrogate`), for its weights and for its activations; see bnn.py for the shortest.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from qsr.errors import OptionsError
from qsr.quant.base import Quantizer, Role, SignCodes, widened
from qsr.quant.signs import Surrogate, binarize, sign
from qsr.spec import QuantSpec


def channel_mean(x: Tensor) -> Tensor:
    """mean|w| of each output channel, (C_out, 1, ...), without gradient: XNOR-Net's alpha and everybody's since."""
    return x.detach().abs().mean(dim=tuple(range(1, x.dim())), keepdim=True)


class Binarizer(Quantizer):
    """One plane of signs with an optional scale. Arithmetic is float32 (float64 for float64 input), under autocast too.

    surrogate: of this role; may be replaced by `set_progress`. chained: the gradient of x takes the scale along.
    A subclass with learnable parameters that start from the data overrides `observe` and sets `needs_data`.
    """

    surrogate: Surrogate
    chained: bool = False
    needs_data: ClassVar[bool] = False

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role)
        if spec.bits != 1:
            raise OptionsError(
                f"{spec.method} is a one-bit method, found {spec.bits} bits", hint="use 1 bit, or another method"
            )
        if role == "act" and spec.granularity == "channel":
            raise OptionsError("activations have at most one scale per picture; granularity 'channel' is for weights")
        self.channels = channels
        self.channel_dim = channel_dim
        self.signed.fill_(True)
        self.initialised.fill_(not self.needs_data)
        self._observing = False

    # --- the method's own mathematics ---------------------------------------------------------------------------
    def latent(self, x: Tensor) -> Tensor:
        """What the sign is taken of, differentiable in x; x itself by default."""
        return x

    def scale_of(self, x: Tensor) -> Tensor | None:
        """The factor of the signs, broadcasting over x, >= 0; None for 1."""
        return None

    def magnitude(self, w: Tensor) -> Tensor:
        """mean|w| without gradient: of each output channel, or of the whole weight with granularity "tensor"."""
        return channel_mean(w) if self.spec.granularity == "channel" else w.detach().abs().mean()

    def observe(self, x: Tensor) -> None:
        """Set what starts from the data; x without gradient."""

    # --- forward and integer form ------------------------------------------------------------------------------
    def forward(self, x: Tensor) -> Tensor:
        wide = widened(x)
        self._prepare(wide)
        return binarize(self.latent(wide), self.surrogate, self.scale_of(wide), self.chained).to(x.dtype)

    @torch.no_grad()
    def encode(self, x: Tensor) -> SignCodes:
        wide = widened(x)
        self._prepare(wide)
        scale = self.scale_of(wide)
        one = torch.ones((), dtype=wide.dtype, device=wide.device)
        return SignCodes(sign(self.latent(wide)).to(torch.int8)[None], (one if scale is None else scale)[None], self._shift())

    def channel_shape(self, x: Tensor) -> tuple[int, ...]:
        """Shape of one value per channel that broadcasts over x (weights: (C_out, 1, ...); inputs: the channel axis)."""
        shape = [1] * x.dim()
        shape[self.channel_dim] = self.channels
        return tuple(shape)

    def _shift(self) -> Tensor | None:
        shift = getattr(self, "shift", None)
        return shift.detach() if isinstance(shift, nn.Parameter) else None

    # --- initialisation ----------------------------------------------------------------------------------------
    def begin_calibration(self) -> None:
        self._observing = True

    def end_calibration(self) -> None:
        self._observing = False

    def _prepare(self, x: Tensor) -> None:
        if not self.needs_data or (bool(self.initialised) and not self._observing):
            return
        if not (self._observing or self.training):
            raise OptionsError(
                f"a quantizer of {self.spec.method} is not initialised",
                hint="call qsr.calibrate(network, batches), load a checkpoint, or run a training forward first",
            )
        with torch.no_grad():
            self.observe(x.detach())
            self.initialised.fill_(True)

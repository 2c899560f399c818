"""BAM: the bit accumulation mechanism for super-resolution (Xin et al., ECCV 2020). Approximate.

    weights:      w_hat = m_o sign(w),   m_o = mean|w_o| per output channel,   dL/dw = g 1[|w| <= 1]
    activations of the l-th layer of a chain:
                  z_l = a_l - c_l A_{l-1},   a_hat_l = lambda_l sign(z_l),   A_l = A_{l-1} + a_hat_l,   A_{-1} = 0
                  dL/dz_l = g lambda_l max(0, 2 - 2|z_l|),   dL/dlambda_l = sum of g sign(z_l) per channel
    lambda_l = max(|step_l|, 1e-6) per channel, starts at mean|a_l|;   c_l per channel, starts at 0

Every layer binarizes what the bits of the layers before have not said yet; A is differentiated like everything else.

No code is public, and the paper leaves details open; these choices are ours. c starts at 0, where the layer is
Bi-Real's, and training decides how much is taken off. It mixes two features and is no addend of one: it has no unit, so
it is trained at the rate of the weights and not of the shifts. lambda per input channel is no factor of a popcount;
`scale: tensor` has one lambda per layer, which is.

A chain is made of the convolutions' inputs with one number of channels, in the order of the network's modules. Linear
layers stand alone: their rows are windows or tokens, which do not lie on top of each other from layer to layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from qsr.quant.base import Accepts, Quantizer, Role, widened
from qsr.quant.binarizer import Binarizer
from qsr.quant.ranks import mean_over_ranks
from qsr.quant.signs import binarize, learned_scale, poly, ste
from qsr.spec import QuantSpec


class Chain:
    """A, on its way through one forward pass after the other.

    A pass begins wherever a place comes that is not behind the last one, so passes may leave layers out
    (depth-dynamic networks) and need no announcement. At another shape than before A begins anew.
    Copies and pickles are empty: A belongs to a pass, not to a network.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._place = -1
        self._reached: Tensor | None = None
        self._total: Tensor | None = None

    def enter(self, place: int, x: Tensor) -> None:
        """The layer at `place` begins its forward pass with input x."""
        self._reached = _fitting(self._total if place > self._place else None, x)
        self._place = place

    def leave(self, x_hat: Tensor) -> None:
        """The layer that entered last adds its output."""
        total = x_hat if self._reached is None else self._reached + x_hat
        self._total = None if self._place == self.length - 1 else total
        # encode may ask once more, but without gradient: the graph must not live until the next pass
        self._reached = None if self._reached is None else self._reached.detach()

    def reaching(self, place: int, x: Tensor) -> Tensor | None:
        """A for the layer at `place`, which ran last or is next; None where nothing has been accumulated."""
        return _fitting(self._reached if place == self._place else self._total if place > self._place else None, x)

    def __getstate__(self) -> dict[str, Any]:
        return {"length": self.length}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _fitting(accumulated: Tensor | None, x: Tensor) -> Tensor | None:
    return accumulated if accumulated is not None and accumulated.shape == x.shape else None


class BAM(Binarizer):
    """Setting of activations: scale ("channel" or "tensor", of lambda). Granularity "tensor": one m for the layer.

    step: (C,) or (1,), activations only. c: (C,), where a layer of the chain comes before.
    `encode` of a layer in a chain is that of its last forward pass, until the next layer of the chain runs (a forward
    hook is the place to call it); on its own it is a layer before which nothing was accumulated.
    """

    accepts: ClassVar[dict[str, Accepts]] = {"scale": ("channel", "tensor")}
    act_only: ClassVar[frozenset[str]] = frozenset({"scale"})
    needs_data: ClassVar[bool] = True
    c: nn.Parameter | None

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.register_parameter("c", None)
        self.chain: Chain | None = None
        self.place = 0
        self._batches = 0
        if role == "weight":
            self.surrogate = ste
            self.initialised.fill_(True)
        else:
            self.surrogate, self.chained = poly, True
            self.step = nn.Parameter(torch.ones(channels if spec.param("scale", "channel") == "channel" else 1))

    @classmethod
    def link(cls, found: Sequence[Quantizer], network: nn.Module) -> None:
        inputs = [q for q in found if isinstance(q, BAM) and q.role == "act" and q.channel_dim == 1]
        for channels in dict.fromkeys(quantizer.channels for quantizer in inputs):
            alike = [quantizer for quantizer in inputs if quantizer.channels == channels]
            chain = Chain(len(alike))
            for place, quantizer in enumerate(alike):
                quantizer.chain, quantizer.place = chain, place
                if place:
                    quantizer.c = nn.Parameter(torch.zeros(channels, device=quantizer.step.device))

    def forward(self, x: Tensor) -> Tensor:
        if self.chain is None:
            return super().forward(x)
        wide = widened(x)
        self.chain.enter(self.place, wide)
        self._prepare(wide)
        x_hat = binarize(self.latent(wide), self.surrogate, self.scale_of(wide), self.chained)
        self.chain.leave(x_hat)
        return x_hat.to(x.dtype)

    def latent(self, x: Tensor) -> Tensor:
        accumulated = None if self.chain is None else self.chain.reaching(self.place, x)
        if accumulated is None or self.c is None:
            return x
        return x - accumulated * self.c.to(x.dtype).view(self.channel_shape(x))

    def scale_of(self, x: Tensor) -> Tensor | None:
        if self.role == "weight":
            return self.magnitude(x)
        scale = learned_scale(self.step if self.step.dtype == x.dtype else self.step.to(x.dtype))
        return scale.view(self.channel_shape(x) if len(scale) == self.channels else (1,) * x.dim())

    # --- lambda's first value ------------------------------------------------------------------------------------
    def begin_calibration(self) -> None:
        super().begin_calibration()
        self._batches = 0

    def observe(self, x: Tensor) -> None:
        """The mean over all batches since calibration began."""
        if self.role == "weight":
            return
        size = x.abs().movedim(self.channel_dim, -1).reshape(-1, self.channels).mean(0)
        size = mean_over_ranks(size if len(self.step) == self.channels else size.mean(0, keepdim=True))
        self._batches = self._batches + 1 if self._observing else 1
        self.step.lerp_(size.to(self.step.dtype), 1 / self._batches)

    def unit(self) -> float:
        return float(learned_scale(self.step.detach()).mean()) if self.role == "act" else 1.0

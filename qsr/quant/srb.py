"""SRB: second-order residual binarization of FRB (Qin et al., "Flexible Residual Binarization for Image
Super-Resolution", ICML 2024), with its learnable activation shift.

Weights, per output channel o (per tensor as an option), order m = 1, 2 or 3:

    r_1 = w,   alpha_p = mean|r_p|,   B_p = alpha_p sign(r_p),   r_{p+1} = r_p - B_p,   w_hat = B_1 + ... + B_m

With every alpha a constant of the backward pass and the residual chain kept, the derivatives telescope to that of the
first sign alone: dL/dw = g * 1[|w| <= 1] (`clip: false`: g). Detaching B_1 inside the residual would double it.

Activations: sign(x + shift), shift per channel, with Bi-Real's polynomial of half-width h as surrogate:

    dL/dx = g * max(0, 2 - 2|z|) / h,   z = (x + shift) / h,      dL/dshift = its sum per channel

h = "auto" follows the features: an average (decay 0.99) of 2 mean|x + shift|, because a fixed window starves layers
whose features are large and floods those whose features are small. The forward pass does not depend on h.

Two planes are the 2-bit code (sign w, |w| > alpha_1): values +-alpha_1 +- alpha_2; both forms are exact.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from qsr.quant.base import Accepts, Role, SignCodes, widened
from qsr.quant.binarizer import Binarizer
from qsr.quant.ranks import mean_over_ranks
from qsr.quant.signs import Windowed, identity, sign, ste
from qsr.spec import QuantSpec, Scalar

H_DECAY = 0.99
H_FLOOR = 1e-3  # a dead layer must not divide by zero


def _window(value: Scalar) -> bool:
    """'auto' or a number above 0"""
    return value == "auto" or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0)


class SRB(Binarizer):
    """Settings. Weights: order (2), clip (True). Activations: shift (True), h ('auto' or a half-width).

    Buffer `h` (0-dim float32) is the window in use; it moves in training mode only.
    """

    accepts: ClassVar[dict[str, Accepts]] = {
        "order": (1, 2, 3),
        "clip": (True, False),
        "shift": (True, False),
        "h": _window,
    }
    act_only: ClassVar[frozenset[str]] = frozenset({"shift", "h"})
    weight_only: ClassVar[frozenset[str]] = frozenset({"order", "clip"})
    h: Tensor

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        self.shift: nn.Parameter | None = None
        if role == "weight":
            self.planes = int(spec.param("order", 2))
            self.surrogate = ste if spec.param("clip", True) else identity
            return
        if spec.param("shift", True):
            self.shift = nn.Parameter(torch.zeros((1, channels, 1, 1) if channel_dim == 1 else (1, channels)))
        given = spec.param("h", "auto")
        self._auto = given == "auto"
        self.register_buffer("h", torch.tensor(1.0 if self._auto else float(given)))
        self.initialised.fill_(not self._auto)
        self.surrogate = Windowed(self.h)

    # --- weights ------------------------------------------------------------------------------------------------
    def bases(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """(signs, scales) of all planes, without gradient: (m, *w.shape) and (m, C_out, 1, ...) or (m, 1, ...)."""
        residual, signs, scales = w.detach(), [], []
        axes = tuple(range(w.dim()))[1 if self.spec.granularity == "channel" else 0 :]
        for _ in range(self.planes):
            alpha, plane = residual.abs().mean(dim=axes, keepdim=True), sign(residual)
            signs.append(plane)
            scales.append(alpha)
            residual = residual - alpha * plane
        return torch.stack(signs), torch.stack(scales)

    # --- both ---------------------------------------------------------------------------------------------------
    def latent(self, x: Tensor) -> Tensor:
        if self.shift is None:
            return x
        shift = self.shift if self.shift.dtype == x.dtype else self.shift.to(x.dtype)
        return x + (shift if x.dim() > 1 else shift.view(-1))

    def forward(self, x: Tensor) -> Tensor:
        if self.role == "act":
            return super().forward(x)
        wide = widened(x)
        signs, scales = self.bases(wide)
        w_hat = (signs * scales).sum(0)
        through = wide * self.surrogate(wide.detach())
        return (w_hat + (through - through.detach())).to(x.dtype)

    @torch.no_grad()
    def encode(self, x: Tensor) -> SignCodes:
        if self.role == "act":
            return super().encode(x)
        signs, scales = self.bases(widened(x))
        return SignCodes(signs.to(torch.int8), scales)

    def unit(self) -> float:
        """Half the window: mean|x + shift| of the inputs, where the window follows them."""
        return float(self.h) / 2 if self.role == "act" and self._auto else 1.0

    # --- the window ---------------------------------------------------------------------------------------------
    def _prepare(self, x: Tensor) -> None:
        """Let the window follow the features, in training and while calibrating."""
        if self.role == "act" and self._auto and (self.training or self._observing):
            self._follow(x)
        if self.role == "act":
            self.surrogate = Windowed(self.h)

    def _follow(self, x: Tensor) -> None:
        with torch.no_grad():  # a new tensor each time: the backward pass of an earlier forward still needs the old one
            now = mean_over_ranks(2 * self.latent(x.detach()).abs().mean()).clamp_min(H_FLOOR).to(self.h.dtype)
            self.h = torch.where(self.initialised, H_DECAY * self.h + (1 - H_DECAY) * now, now)
            self.initialised.fill_(True)

"""CADyQ, content-aware dynamic quantization (Hong et al., ECCV 2022, arXiv:2207.10345): activation bits chosen per picture.

Every activation quantizer has candidates b_1 < ... < b_K, each a PAMS quantizer Q_k with an alpha of its own, and a selector:

    f = [1e3 mean|Sobel_x|, 1e3 mean|Sobel_y| of the network's input picture; std of each channel of x]      (constants)
    p = softmax(A f + c),   x_hat = Q_k*(x),   k* = argmax p
    backward: that of the mixture sum_k p_k Q_k(x), for x, the alphas and p

A starts at ones and c at zeros with a last value of one, so that every picture starts at the highest bits. The loss gets

    w_bit * sum over quantizers of  b_k* / sum_k p_k b_k     (value; its derivative is that of sum_k p_k b_k, over itself)

averaged over the pictures, with w_bit growing fourfold over the training (the released code's 1e-4 + 1e-6 epoch in 300).
Weights are PAMS weights of the layer's bits.

The candidates of a layer of b bits are not the authors': they only train 4, 6, 8, which is what b = 8 means here. Else
b - 2, b, b + 2, as far as these lie in 2..8; {2, 4} for 2. The tables' equal-bits rows ("4/4") are therefore no target to
reproduce, and `average_bits` belongs beside each of ours.

Deviations. The released code sums the bit term over a batch of 16, beside an L1 loss of pixels in 0..255; the default
bit_weight keeps that balance for a mean over pictures and pixels in 0..1. The standard deviation divides by n, so that it is
defined for one pixel. The stream between the layers stays in full precision, as in pams.py. Where the first axis of x is
not pictures but windows of them (SwinIR), each window chooses for itself; in tiled upscaling, each tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from qsr.quant.base import Accepts, Codes, Quantizer, Role, level_range, widened
from qsr.quant.fused import positive
from qsr.quant.modules import quantizers
from qsr.quant.pams import FIRST_ALPHA, PAMS
from qsr.spec import QuantSpec, Scalar

BIT_WEIGHT = 1e-4 * 16 / 255
BIT_WEIGHT_GROWTH = 3.0  # 300 epochs of 1e-6, over 1e-4
GRADIENT_SCALE = 1e3
LUMA = (0.299, 0.587, 0.114)


def candidates(bits: int, space: str = "auto") -> tuple[int, ...]:
    """The bits that a selector may choose from, rising.

    >>> candidates(4), candidates(2), candidates(8), candidates(4, "3+4")
    ((2, 4, 6), (2, 4), (4, 6, 8), (3, 4))
    """
    if space != "auto":
        return tuple(int(one) for one in space.split("+"))
    return (4, 6, 8) if bits == 8 else tuple(b for b in (bits - 2, bits, bits + 2) if 2 <= b <= 8)


def image_gradients(pictures: Tensor) -> Tensor:
    """(N, 2): mean|Sobel_x| and mean|Sobel_y| of the grey picture, times 1e3; pictures (N, C, H, W) in [0, 1].

    The filters' sizes sum to one (they are divided by 8), and the border is repeated.
    """
    # sums and products only, which autocast leaves in float32
    luma = pictures.new_tensor(LUMA if pictures.shape[1] == len(LUMA) else [1 / pictures.shape[1]] * pictures.shape[1])
    grey = F.pad((pictures * luma.view(-1, 1, 1)).sum(1), (1, 1, 1, 1), mode="replicate")
    across, down = grey[:, :, 2:] - grey[:, :, :-2], grey[:, 2:] - grey[:, :-2]
    across = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]
    down = down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]
    return torch.stack([edges.abs().mean((1, 2)) for edges in (across, down)], 1) * (GRADIENT_SCALE / 8)


class Source:
    """What the quantizers of one network know of its input: filled by a hook in front of the network's forward."""

    def __init__(self) -> None:
        self.gradients: Tensor | None = None

    @torch.no_grad()
    def watch(self, network: nn.Module, inputs: tuple[Any, ...]) -> None:
        pictures = inputs[0] if inputs else None
        known = isinstance(pictures, Tensor) and pictures.dim() == 4
        self.gradients = image_gradients(pictures.float()) if known else None  # type: ignore[union-attr]

    def rows(self, x: Tensor) -> Tensor:
        """(len(x), 2) beside the rows of x, which are pictures or windows of them in order; zeros where none were seen."""
        if self.gradients is None or len(x) % len(self.gradients):
            return x.new_zeros(len(x), 2)
        return self.gradients.repeat_interleave(len(x) // len(self.gradients), 0).to(x)


class Mixture(torch.autograd.Function):
    """x_hat = Mixture.apply(x, v, share, step, top, tops): quantized with one candidate, differentiated as the mixture.

    x (N, ...); v (K,) raw steps alpha / q; share (N, K) is p; step and top (N, 1, ...) of the candidates chosen;
    tops: the K largest codes.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, share: Tensor, step: Tensor, top: Tensor, tops: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(x, v, share)
        ctx.tops = tops
        return torch.clamp(x / step, -top, top).round_().mul_(step)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        x, raw, share = ctx.saved_tensors
        v, axes = positive(raw), tuple(range(1, x.dim()))
        grad_x, grad_v, grad_share = torch.zeros_like(x), torch.zeros_like(raw), torch.zeros_like(share)
        for k, top in enumerate(ctx.tops):
            u = x / v[k]
            codes = u.clamp(-top, top)
            passed = grad * (u == codes)
            coded = codes.round_().mul_(grad).sum(axes)  # one number per picture
            grad_v[k] = (share[:, k] * (coded - u.mul_(passed).sum(axes))).sum()
            grad_share[:, k] = coded * v[k]
            grad_x.addcmul_(passed, _column(share[:, k], x))
        return grad_x, grad_v * torch.where(raw >= 0, 1.0, -1.0), grad_share, None, None, None


def _space(value: Scalar) -> bool:
    """'auto', or rising bits between 2 and 8 such as '4+6+8'"""
    parts = value.split("+") if isinstance(value, str) else []
    return value == "auto" or (len(parts) > 1 and set(parts) <= set("2345678") and parts == sorted(set(parts)))


def _weight(value: Scalar) -> bool:
    """a number, 0 or above"""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


class CADyQ(PAMS):
    """Settings, of activations: space ('auto' or bits such as '4+6+8'), bit_weight (w_bit at the start of training).

    step: the candidates' alphas, (K,). select_weight (K, C + 2), select_bias (K,): the selector.
    fixed: number of the candidate that every picture gets, whatever the selector says; None: the selector decides.
    """

    accepts: ClassVar[dict[str, Accepts]] = {"space": _space, "bit_weight": _weight}
    act_only: ClassVar[frozenset[str]] = frozenset(accepts)
    bits: Tensor
    tops: Tensor
    fixed: int | None = None

    def __init__(self, spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> None:
        super().__init__(spec, role, channels, channel_dim)
        if role == "weight":
            return
        self.space = candidates(spec.bits, str(spec.param("space", "auto")))
        self._tops = tuple(level_range(bits, True)[1] for bits in self.space)
        self.register_buffer("bits", torch.tensor(self.space, dtype=torch.float32), persistent=False)
        self.register_buffer("tops", torch.tensor(self._tops, dtype=torch.float32), persistent=False)
        self.step = nn.Parameter(torch.full((len(self.space),), FIRST_ALPHA))
        self.select_weight = nn.Parameter(torch.ones(len(self.space), channels + 2))
        self.select_bias = nn.Parameter(torch.eye(len(self.space))[-1].clone())
        self._bit_weight = float(spec.param("bit_weight", BIT_WEIGHT))
        self._progress = 0.0
        self._source = Source()
        self._bit_ratio: Tensor | None = None
        self.reset_bits()

    @classmethod
    def link(cls, found: Sequence[Quantizer], network: nn.Module) -> None:
        source = Source()
        network.register_forward_pre_hook(source.watch)
        for quantizer in found:
            if isinstance(quantizer, CADyQ):
                quantizer._source = source

    # --- forward and integer form ------------------------------------------------------------------------------
    def forward(self, x: Tensor) -> Tensor:
        if self.role == "weight":
            return super().forward(x)
        self._prepare(x)
        wide = self._wide(x)
        share, choice = self._select(wide)
        v = self.step.to(wide.dtype) / self.tops.to(wide.dtype)
        x_hat = Mixture.apply(wide, v, share, *self._chosen(wide, choice), self._tops)
        if not self._observing:
            self._note(share, choice)
        return x_hat.view(x.shape).to(x.dtype)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Codes:
        """Codes of the widest candidate's bits; the scale is (N, 1, ...), for each picture that of its own choice."""
        if self.role == "weight":
            return super().encode(x)
        self._prepare(x)
        wide = self._wide(x)
        step, top = self._chosen(wide, self._select(wide)[1])
        q = torch.clamp(wide / step, -top, top).round_().to(torch.int32).view(x.shape)
        return Codes(q, step if x.dim() > 1 else step[0], max(self.space), signed=True, narrow=True)

    @staticmethod
    def _wide(x: Tensor) -> Tensor:
        wide = widened(x)
        return wide if x.dim() > 1 else wide[None]

    def _select(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(p (N, K), k* (N,))."""
        if self.fixed is not None:
            choice = torch.full((len(x),), self.fixed, device=x.device)
            return F.one_hot(choice, len(self.space)).to(x.dtype), choice
        axes = tuple(axis for axis in range(1, x.dim()) if axis != self.channel_dim % x.dim())
        with torch.no_grad():
            spread = x.std(axes, correction=0) if axes else torch.zeros_like(x)
            features = torch.cat((self._source.rows(x), spread), 1)
        # a product and a sum instead of a linear layer, which autocast would take out of float32
        score = (features[:, None] * self.select_weight.to(x.dtype)).sum(2) + self.select_bias.to(x.dtype)
        return score.softmax(1), score.detach().argmax(1)

    def _chosen(self, x: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
        """(step, largest code) of each picture's candidate, (N, 1, ...)."""
        tops = self.tops.to(x.dtype)
        v = positive(self.step.to(x.dtype) / tops)
        return _column(v[choice], x), _column(tops[choice], x)

    # --- bits --------------------------------------------------------------------------------------------------
    @torch.no_grad()
    def choices(self, x: Tensor) -> Tensor:
        """Number of the candidate that each row of x gets, (N,)."""
        return self._select(self._wide(x))[1]

    def set_progress(self, progress: float) -> None:
        self._progress = progress

    def penalty(self) -> Tensor | None:
        if self.role == "weight" or self._bit_ratio is None:
            return None
        return self._bit_weight * (1 + BIT_WEIGHT_GROWTH * self._progress) * self._bit_ratio

    def reset_bits(self) -> None:
        """Forget the choices made so far."""
        self._bits_sum: Tensor | None = None
        self._rows_seen = 0

    def mean_bits(self) -> float | None:
        """Mean bits of the choices since the last reset; None before any, and for weights."""
        if self.role == "weight" or self._bits_sum is None:
            return None
        return float(self._bits_sum) / self._rows_seen

    def _note(self, share: Tensor, choice: Tensor) -> None:
        bits = self.bits.to(share.dtype)
        hard = bits[choice]
        total = hard.detach().sum(dtype=torch.float64)
        self._bits_sum = total if self._bits_sum is None else self._bits_sum.to(total.device) + total
        self._rows_seen += len(hard)
        if self.training:
            soft = (share * bits).sum(1)
            self._bit_ratio = ((hard - soft.detach() + soft) / soft.detach()).mean()

    def __getstate__(self) -> dict[str, Any]:
        """For copies: without the last forward's graph, which cannot be copied."""
        return {**self.__dict__, "_bit_ratio": None}


def average_bits(network: nn.Module) -> float | None:
    """Mean activation bits over quantizers and pictures, from all forwards since `reset_average_bits`; None without CADyQ."""
    means = [mean for q in _dynamic(network) if (mean := q.mean_bits()) is not None]
    return sum(means) / len(means) if means else None


def reset_average_bits(network: nn.Module) -> None:
    """Count from here on, for instance before a test set."""
    for quantizer in _dynamic(network):
        quantizer.reset_bits()


def _dynamic(network: nn.Module) -> list[CADyQ]:
    return [q for _, q in quantizers(network) if isinstance(q, CADyQ) and q.role == "act"]


def _column(values: Tensor, x: Tensor) -> Tensor:
    """(N,) as (N, 1, ...), broadcasting over x."""
    return values.view(-1, *(1,) * (x.dim() - 1))

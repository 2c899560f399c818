"""What every quantizer of the house is: a module with a fake-quantized forward and an integer form of the same thing.

The law that one property test checks for all of them: `quantizer(x) == quantizer.encode(x).decode()`.
Classes are found by name through `qsr.spec.METHODS`; adding a quantizer is one file and one line there.

Not here: the mathematics of any method (rlq.py, lsq.py), which layers are quantized (apply.py).

>>> from qsr.spec import QuantSpec
>>> weight_quant = create(QuantSpec("lsq", 4), "weight", channels=64, channel_dim=0)
>>> weight_quant.accepts["init"]
('lsq', 'max', 'mse')
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from qsr.errors import OptionsError
from qsr.spec import METHODS, Method, QuantSpec, Scalar

Role = Literal["weight", "act"]
Accepts = tuple[Scalar, ...] | Callable[[Scalar], bool]


EXACT = (torch.float32, torch.float64)  # dtypes that quantizer arithmetic runs in; others are raised to float32


def widened(x: Tensor) -> Tensor:
    """x in a dtype that quantizers compute in: as it is, or float32 (under autocast, and for half-precision networks)."""
    return x if x.dtype in EXACT else x.float()


def level_range(bits: int, signed: bool, narrow: bool = False) -> tuple[int, int]:
    """Smallest and largest code (Qn, Qp).

    >>> level_range(2, True), level_range(2, True, narrow=True), level_range(2, False)
    ((-2, 1), (-1, 1), (0, 3))
    """
    if not signed:
        return 0, 2**bits - 1
    top = 2 ** (bits - 1) - 1
    return (-top if narrow else -top - 1), top


@dataclass(frozen=True)
class Codes:
    """The integer form of one tensor: `x_hat = q * scale`, plus `offset` where there is one.

    q: int32, the shape of x, within [qmin, qmax].
    scale: positive, 0-dim, or shaped to broadcast over x with one value per output channel (or per picture of a batch).
    shift: added to x before rounding and deliberately not taken off again (the next bias absorbs it), or None.
    narrow: signed codes leave out the lowest level, so that qmin == -qmax.
    offset: what code 0 stands for (LSQ+), 0-dim or broadcasting over x; None: zero.
    """

    q: Tensor
    scale: Tensor
    bits: int
    signed: bool
    shift: Tensor | None = None
    narrow: bool = False
    offset: Tensor | None = None

    @property
    def qmin(self) -> int:
        return level_range(self.bits, self.signed, self.narrow)[0]

    @property
    def qmax(self) -> int:
        return level_range(self.bits, self.signed, self.narrow)[1]

    def decode(self) -> Tensor:
        """x_hat, in the dtype of `scale`."""
        x_hat = self.q.to(self.scale.dtype) * self.scale
        return x_hat if self.offset is None else x_hat + self.offset


@dataclass(frozen=True)
class SignCodes:
    """The integer form of a binarized tensor: `x_hat = sum over planes of q[p] * scale[p]`.

    q: int8, (planes, *x.shape), every element -1 or +1; one plane for ordinary binarization, m for order m (SRB).
    scale: (planes, ...), broadcasting over q; >= 0. shift: added to x before the sign is taken, or None.
    """

    q: Tensor
    scale: Tensor
    shift: Tensor | None = None
    bits = 1

    @property
    def planes(self) -> int:
        return self.q.shape[0]

    def decode(self) -> Tensor:
        """x_hat, in the dtype of `scale`."""
        return (self.q.to(self.scale.dtype) * self.scale).sum(0)


class Quantizer(nn.Module):
    """Base class. A subclass supplies `forward`, `encode` and `accepts`, and its learnable `step` (and `shift`).

    spec, role: as given. `role` is "weight" or "act".
    accepts: the method's own settings, each with its allowed values or a check.
    act_only, weight_only: those that weights, or activations, do not have.
    planes: stored tensors of `spec.bits` bits for each tensor; above 1 for residual binarization.
    initialised, signed: 0-dim bool buffers, so that a checkpoint knows whether and how the quantizer was set up.
    """

    accepts: ClassVar[dict[str, Accepts]] = {}
    act_only: ClassVar[frozenset[str]] = frozenset()
    weight_only: ClassVar[frozenset[str]] = frozenset()
    planes: int = 1
    initialised: Tensor
    signed: Tensor

    def __init__(self, spec: QuantSpec, role: Role) -> None:
        super().__init__()
        check_params(spec, self.settings_of(role), role)
        self.spec = spec
        self.role = role
        self.register_buffer("initialised", torch.tensor(False))
        self.register_buffer("signed", torch.tensor(role == "weight"))

    @classmethod
    def settings_of(cls, role: Role) -> dict[str, Accepts]:
        """The settings that a quantizer of this role has."""
        others = cls.act_only if role == "weight" else cls.weight_only
        return {name: allowed for name, allowed in cls.accepts.items() if name not in others}

    def bind(self, shape: Sequence[int]) -> None:
        """Told to a weight's quantizer when its layer is built: the shape of the weight, (C_out, C_in / groups, ...).

        For methods with modules of their own whose size follows from it; before any optimiser sees the network.
        """

    @classmethod
    def link(cls, found: Sequence[Quantizer], network: nn.Module) -> None:
        """Told once when a network is quantized: its quantizers of this very class, in the order of its modules.

        For methods whose layers know of each other, or of the picture that the network was given.
        """

    def forward(self, x: Tensor) -> Tensor:
        """x_hat, the shape and dtype of x, with the method's surrogate gradient."""
        raise NotImplementedError

    def encode(self, x: Tensor) -> Codes | SignCodes:
        """The integer form of `self(x)`. Raises OptionsError before the quantizer is initialised."""
        raise NotImplementedError

    def output_scale(self, x: Tensor, layer: nn.Conv2d) -> Tensor | None:
        """What a convolution multiplies its output with, before the bias; None: nothing, as nearly everywhere.

        x: the input of `layer`, before quantization. For scales that depend on where the filter lies, which no factor of
        the input can express (XNOR's map K); the result broadcasts over the output.
        """
        return None

    def begin_calibration(self) -> None:
        """From here on every forward refines the initial parameters, in eval mode too."""
        raise NotImplementedError

    def end_calibration(self) -> None:
        """Fix what was observed; a quantizer that saw nothing stays uninitialised."""
        raise NotImplementedError

    def set_progress(self, progress: float) -> None:
        """How far training is, in [0, 1]; for surrogates and clips that follow a schedule. The others ignore it.

        A function of iteration / total and never of state, so that a resumed run goes on exactly.
        """

    def penalty(self) -> Tensor | None:
        """A weighted term for the training loss, from the last forward in training mode; None where there is none."""
        return None

    def unit(self) -> float:
        """The size that a learning rate of this quantizer's parameters may be counted in: its step, or its features' size.

        Features of a network on the 0..255 range are some tens, of one on 0..1 some tenths; Adam's steps know nothing of it.
        """
        return 1.0

    def stored_bits(self, numel: int) -> int:
        """Bits that a packed tensor of `numel` elements takes: its codes and the float32 parameters beside them."""
        return numel * self.spec.bits * self.planes + 32 * sum(p.numel() for p in self.parameters(recurse=False))

    def extra_repr(self) -> str:
        params = "".join(f", {name}={value}" for name, value in self.spec.params)
        return f"{self.spec.method}, {self.role}, bits={self.spec.bits}, {self.spec.granularity}{params}"


def check_params(spec: QuantSpec, accepts: dict[str, Accepts], role: Role) -> None:
    """Raises OptionsError for a setting that the method does not have, or a value that it does not take."""
    for name, value in spec.params:
        if name not in accepts:
            known = ", ".join(accepts) or "none"
            raise OptionsError(
                f"{spec.method} has no setting {name!r} for role {role!r}", hint=f"it has: {known}{_nearest(name, accepts)}"
            )
        allowed = accepts[name]
        if not (allowed(value) if callable(allowed) else value in allowed):
            expected = allowed.__doc__ if callable(allowed) else " or ".join(repr(one) for one in allowed)
            raise OptionsError(f"{spec.method}: found {name} = {value!r}, expected {expected}")


def method(name: str) -> Method:
    """The registry's line for a method. Raises OptionsError naming the nearest one."""
    if name not in METHODS:
        raise OptionsError(f"no quantizer is called {name!r}", hint=f"there are: {', '.join(METHODS)}{_nearest(name, METHODS)}")
    return METHODS[name]


def method_class(name: str) -> type[Quantizer]:
    """The class behind a method's name. Raises OptionsError naming the nearest one."""
    module, _, attribute = method(name).target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def create(spec: QuantSpec, role: Role, channels: int, channel_dim: int) -> Quantizer:
    """A fresh quantizer for one tensor.

    channels: size of the tensor's channel axis (output channels of a weight, input channels of a layer).
    channel_dim: that axis; 0 for weights, 1 for convolution inputs, -1 for inputs of linear layers.
    Raises OptionsError: unknown method or setting, bits that the method is not defined for.
    """
    low, high = method(spec.method).w_bits if role == "weight" else method(spec.method).a_bits
    if not low <= spec.bits <= high:
        raise OptionsError(f"{spec.method}: found {spec.bits} bits for role {role!r}, expected {low} to {high}")
    return method_class(spec.method)(spec, role, channels, channel_dim)  # type: ignore[call-arg]


def _nearest(name: str, known: dict[str, Accepts] | dict[str, Method]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""

"""Laws that every quantizer with a learned step obeys, whatever the shape, the bits, the signs and the values.

A new one is tested here as soon as it is in `qsr.spec.METHODS`; what all methods have in common is in
tests/quant/test_battery.py.
"""

from __future__ import annotations

import json

import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from qsr.quant.base import Quantizer, Role, create, method_class
from qsr.quant.lsq import LSQ
from qsr.quant.rlq import RLQ
from qsr.spec import METHODS, QuantSpec

SHAPES = st.sampled_from([(1, 1, 1, 1), (2, 3, 4, 5), (1, 3, 7, 2), (5, 3), (2, 4, 3), (3,)])
# zeros of both signs, ties at every power-of-two step, denormals, saturating and huge values
VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -3.5, 1e-30, -1e-5, 1e-40, 1e6, -1e6, 3e30]),
    st.integers(-64, 64).map(lambda n: n / 8),
    st.floats(-10, 10, width=32),
)

# their own classes, not subclasses with other levels
UNIFORM = sorted(name for name in METHODS if method_class(name) in (LSQ, RLQ))


@st.composite
def specs(draw: st.DrawFn) -> QuantSpec:
    name = draw(st.sampled_from(UNIFORM))
    low, high = METHODS[name].w_bits
    params = {"init": draw(st.sampled_from(["lsq", "max"])), "symmetric_narrow": draw(st.booleans())}
    return QuantSpec(name, draw(st.integers(low, high)), params=tuple(params.items()))


@st.composite
def tensors(draw: st.DrawFn, signed: bool | None = None) -> Tensor:
    shape = draw(SHAPES)
    size = int(torch.Size(shape).numel())
    x = torch.tensor(draw(st.lists(VALUES, min_size=size, max_size=size)), dtype=torch.float32).view(shape)
    signed = draw(st.booleans()) if signed is None else signed
    x = x if signed else x.abs()
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 and draw(st.booleans()) else x


def quantizer_for(spec: QuantSpec, role: Role, x: Tensor, step: float | None = None, shift: float = 0.0) -> Quantizer:
    """Initialised on x; then with the given step and, where the method has one, shift."""
    channel_dim = 1 if x.dim() == 4 else -1
    quantizer = create(spec, role, x.shape[channel_dim], channel_dim)
    quantizer(x)
    with torch.no_grad():
        if step is not None:
            quantizer.step.fill_(step)
        if getattr(quantizer, "shift", None) is not None:
            quantizer.shift.fill_(shift)
    return quantizer


ROLES = st.sampled_from(["weight", "act"])
STEPS = st.one_of(st.none(), st.sampled_from([0.25, 1.0, 0.1, -0.3, 1e-9, 1e3]))


@given(specs(), ROLES, tensors(), STEPS, st.sampled_from([0.0, 0.125, -0.7]))
def test_forward_is_decode_of_encode(spec: QuantSpec, role: Role, x: Tensor, step: float | None, shift: float) -> None:
    quantizer = quantizer_for(spec, role, x, step, shift)
    codes = quantizer.encode(x)
    assert torch.equal(quantizer(x), codes.decode())
    assert codes.q.dtype == torch.int32
    assert codes.qmin <= codes.q.min()
    assert codes.q.max() <= codes.qmax
    assert codes.qmax - codes.qmin < 2**spec.bits


@given(specs(), ROLES, tensors(), STEPS)
def test_at_most_2_to_the_bits_levels_and_zero_is_exact(spec: QuantSpec, role: Role, x: Tensor, step: float | None) -> None:
    quantizer = quantizer_for(spec, role, x, step)
    assert quantizer(x).unique().numel() <= 2**spec.bits
    assert not quantizer(torch.zeros_like(x)).any()


@given(specs(), ROLES, tensors(), STEPS)
def test_idempotent_without_a_shift(spec: QuantSpec, role: Role, x: Tensor, step: float | None) -> None:
    quantizer = quantizer_for(spec, role, x, step)
    once = quantizer(x)
    assert torch.equal(quantizer(once), once)


@given(specs(), ROLES, st.lists(VALUES, min_size=2, max_size=40), STEPS)
def test_monotone(spec: QuantSpec, role: Role, values: list[float], step: float | None) -> None:
    x = torch.tensor(sorted(values), dtype=torch.float32)[:, None]
    assert (quantizer_for(spec, role, x, step)(x).diff(dim=0) >= 0).all()


@given(specs(), ROLES, tensors(), st.integers(-8, 8))
def test_scaling_the_input_scales_the_output(spec: QuantSpec, role: Role, x: Tensor, exponent: int) -> None:
    factor = 2.0**exponent  # exact in float32, so codes must not move at all
    assume(x.abs().max() > 1e-3)  # else the step sits on its floor, or signedness on its threshold
    assume(not ((x < 0) & (x > -0.01)).any())
    small, large = (quantizer_for(spec, role, t) for t in (x, factor * x))
    assert torch.equal(small.encode(x).q, large.encode(factor * x).q)
    assert torch.equal(factor * small(x), large(factor * x))


@given(specs(), ROLES, tensors(), STEPS)
def test_gradients_fit_and_vanish_exactly_outside_the_range(spec: QuantSpec, role: Role, x: Tensor, step: float | None) -> None:
    quantizer = quantizer_for(spec, role, x, step)
    leaf = x.clone().requires_grad_()
    quantizer(leaf).sum().backward()
    assert leaf.grad.shape == x.shape
    codes = quantizer.encode(x)
    u = x / codes.scale
    assert torch.equal(leaf.grad != 0, (u >= codes.qmin) & (u <= codes.qmax))
    for parameter in quantizer.parameters():
        assert parameter.grad.shape == parameter.shape
        assert torch.isfinite(parameter.grad).all()


@given(specs(), ROLES, tensors(), STEPS)
def test_state_and_spec_rebuild_the_quantizer(spec: QuantSpec, role: Role, x: Tensor, step: float | None) -> None:
    quantizer = quantizer_for(spec, role, x, step, shift=0.25)
    again = QuantSpec.from_json(json.loads(json.dumps(spec.to_json())))
    channel_dim = 1 if x.dim() == 4 else -1
    rebuilt = create(again, role, x.shape[channel_dim], channel_dim).eval()
    rebuilt.load_state_dict(quantizer.state_dict(), strict=True)
    assert torch.equal(rebuilt(x), quantizer(x))

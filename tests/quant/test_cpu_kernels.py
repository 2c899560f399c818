"""The compiled CPU path against the torch operations: same forward bit for bit, gradients to 1e-6 of their terms."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch import Tensor

from qsr.quant import cpu_kernels
from qsr.quant.fused import Levels, Slope, fused_quantize
from qsr.quant.lsq import StraightThrough
from qsr.quant.rlq import Redistribution

pytest.importorskip("numba", reason="the compiled loops need numba")
LEVELS = Levels(-2, 1, 1.0)


def case(
    shape: tuple[int, ...], shift_shape: tuple[int, ...] | None, channels_last: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """(x with exact ties and saturated values, upstream gradient, shift)."""
    random = torch.Generator().manual_seed(3)
    x, grad = torch.randn(shape, generator=random), torch.randn(shape, generator=random)
    x.view(-1)[::7] = 0.25 * torch.randint(-9, 9, x.view(-1)[::7].shape, generator=random)
    if channels_last:
        x, grad = (t.contiguous(memory_format=torch.channels_last) for t in (x, grad))
    return x, grad, None if shift_shape is None else 0.2 * torch.randn(shift_shape, generator=random)


def passes(x: Tensor, grad: Tensor, shift: Tensor | None, slope: Slope, loops: bool) -> tuple[Tensor, list[Tensor]]:
    leaves = [x.detach().requires_grad_(), torch.tensor(0.5, requires_grad=True)]
    if shift is not None:
        leaves.append(shift.clone().requires_grad_())
    with mock.patch.object(cpu_kernels, "take", cpu_kernels.take if loops else lambda x, v: False):
        out = fused_quantize(leaves[0], leaves[1], leaves[2] if shift is not None else None, LEVELS, slope)
        return out, list(torch.autograd.grad(out, leaves, grad))


@pytest.mark.parametrize(
    ("shape", "shift_shape", "channels_last"),
    [
        ((2, 5, 7, 9), (1, 5, 1, 1), False),
        ((2, 5, 7, 9), (1, 5, 1, 1), True),
        ((3, 64, 33, 40), (1, 64, 1, 1), True),
        ((1, 2, 80, 90), (1, 2, 1, 1), False),  # planes longer than one block
        ((2, 5, 7, 9), None, True),
        ((4, 3, 3, 3), None, False),
        ((2, 11, 6), (1, 6), False),
        ((13, 6), (1, 6), False),
        ((7,), (7,), False),
        ((2, 1, 4, 4), (1, 1, 1, 1), True),
        ((2, 5, 1, 1), (1, 5, 1, 1), False),
    ],
)
@pytest.mark.parametrize("slope", [Redistribution(2.0), Redistribution(1.0), StraightThrough()])
def test_agrees_with_torch(
    shape: tuple[int, ...], shift_shape: tuple[int, ...] | None, channels_last: bool, slope: Slope
) -> None:
    x, grad, shift = case(shape, shift_shape, channels_last)
    loops, torch_ops = (passes(x, grad, shift, slope, loops) for loops in (True, False))
    assert torch.equal(loops[0], torch_ops[0])
    assert loops[0].stride() == torch_ops[0].stride()
    assert (loops[1][0] - torch_ops[1][0]).abs().max() < 1e-6 * grad.abs().max()
    terms = 2 * grad.abs().sum()  # what the sums add up, before they cancel
    for ours, theirs in zip(loops[1][1:], torch_ops[1][1:], strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() < 1e-6 * terms


@pytest.mark.parametrize("shift_shape", [(1, 6, 1, 1), None])
def test_any_strides_are_taken(shift_shape: tuple[int, ...] | None) -> None:
    x, grad, shift = (
        case((6, 4, 5, 8), None, False)[0].transpose(0, 1),
        case((4, 6, 5, 8), None, True)[1],
        case((1,), shift_shape, False)[2],
    )
    loops, torch_ops = (passes(x, grad, shift, Redistribution(2.0), loops) for loops in (True, False))
    assert torch.equal(loops[0], torch_ops[0])
    assert torch.allclose(loops[1][0], torch_ops[1][0], atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "shift_shape", "channels_last"),
    [
        ((7, 4, 11, 13), (1, 4, 1, 1), True),
        ((7, 4, 11, 13), (1, 4, 1, 1), False),
        ((7, 4, 11, 13), None, False),
        ((9, 5, 6), (1, 6), False),
    ],
)
def test_threads_change_no_bit(shape: tuple[int, ...], shift_shape: tuple[int, ...] | None, channels_last: bool) -> None:
    x, grad, shift = case(shape, shift_shape, channels_last)
    whole = passes(x, grad, shift, Redistribution(2.0), True)
    results = []
    for threads in (1, 3):
        with mock.patch.object(cpu_kernels, "PIECE", 100), mock.patch.object(torch, "get_num_threads", return_value=threads):
            assert len(cpu_kernels.Layout(x, shift).pieces) > 2
            results.append(passes(x, grad, shift, Redistribution(2.0), True))
    for one, three in zip((results[0][0], *results[0][1]), (results[1][0], *results[1][1]), strict=True):
        assert torch.equal(one, three)
    assert torch.equal(results[0][0], whole[0])
    assert torch.equal(results[0][1][0], whole[1][0])
    assert (results[0][1][1] - whole[1][1]).abs() < 1e-6 * grad.abs().sum()


def test_repeats_bit_for_bit() -> None:
    x, grad, shift = case((2, 16, 40, 40), (1, 16, 1, 1), True)
    first, second = (passes(x, grad, shift, Redistribution(2.0), True)[1] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_takes_only_what_it_can_do() -> None:
    x, v = torch.zeros(2, 3), torch.tensor(1.0)
    assert cpu_kernels.take(x, v)
    assert not cpu_kernels.take(x.double(), v)
    assert not cpu_kernels.take(x, torch.ones(2, 1))
    assert not cpu_kernels.take(x.to("meta"), v)
    assert not cpu_kernels.take(torch.zeros(0, 3), v)


def test_without_numba_the_torch_operations_stand_in() -> None:
    with mock.patch.object(cpu_kernels, "_kernels", return_value=None):
        assert not cpu_kernels.take(torch.zeros(2), torch.tensor(1.0))
        assert fused_quantize(torch.tensor([0.6]), torch.tensor(0.5), None, LEVELS, StraightThrough()).item() == 0.5

"""Folding operations into an epilogue computes what they compute one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsr.runtime.interpreter_maths import prelu, shuffle
from qsr.runtime.packed.ops import Add, Affine, Op, PReLU, Shuffle
from qsr.runtime.plan_chain import Chain

C = 8
RNG = np.random.default_rng(0)
TENSORS: dict[str, Any] = {
    **{name: RNG.normal(size=C).astype(np.float32) for name in "abcdef"},
    "positive": RNG.uniform(0.5, 2, C).astype(np.float32),
    "few": RNG.normal(size=C // 4).astype(np.float32),
}


def value(v: Any) -> Any:
    return TENSORS[v] if isinstance(v, str) else np.float32(v)


def directly(x: Any, ops: list[Op], residual: Any) -> Any:
    for op in ops:
        if isinstance(op, Affine):
            x = x * value(op.scale) + value(op.offset)
        elif isinstance(op, PReLU):
            x = prelu(x, value(op.slope), value(op.before), value(op.after))
        elif isinstance(op, Shuffle):
            x = shuffle(x, op.factor)
        else:
            x = x + residual
    return x


def epilogue(x: Any, chain: Chain, residual: Any) -> Any:
    vectors = chain.vectors()
    t = x[..., chain.order] * vectors.get("scale", 1.0) + vectors.get("bias", 0.0)
    if "slope" in vectors:
        t = np.where(t >= 0, t, vectors["slope"] * t)
    t = t + vectors.get("after", 0.0)
    if chain.up > 1:  # (y, x, (dy, dx, c)) -> (y up, x up, c)
        h, w, _ = t.shape
        t = t.reshape(h, w, chain.up, chain.up, -1).transpose(0, 2, 1, 3, 4).reshape(h * chain.up, w * chain.up, -1)
    return t + residual if chain.residual is not None else t


@pytest.mark.parametrize(
    "ops",
    [
        [Affine((0,), "a", "b")],
        [
            Affine((0,), "a", "b"),
            Affine((1,), "c", 0.5),
            PReLU((2,), "d", "e", "f"),
            Affine((3,), "positive", "b"),
            Add((4, 9)),
        ],
        [PReLU((0,), 0.1), Affine((1,), 3.0)],
        [Affine((0,), 2.0, "a"), Shuffle((1,), 2), PReLU((2,), 0.25, "few", "few"), Add((3, 9))],
        [Add((0, 9))],
    ],
)
def test_folded_is_one_by_one(ops: list[Op]) -> None:
    chain = Chain(0, C, TENSORS, can_shuffle=True)
    assert all(chain.absorb(number + 1, op) for number, op in enumerate(ops))
    x = RNG.normal(size=(3, 5, C)).astype(np.float32)
    shape = (6, 10, C // 4) if chain.up > 1 else x.shape
    residual = RNG.normal(size=shape).astype(np.float32)
    assert np.allclose(epilogue(x, chain, residual), directly(x, ops, residual), atol=1e-5)
    assert chain.value == len(ops)


@pytest.mark.parametrize(
    ("taken", "refused"),
    [
        ([PReLU((0,), 0.1)], PReLU((1,), 0.1)),  # a second bend
        ([PReLU((0,), 0.1)], Affine((1,), "a")),  # a bend cannot be turned around
        ([Add((0, 9))], Affine((1,), 2.0)),  # the residual would have to be scaled too
        ([Add((0, 9))], PReLU((1,), 0.1)),
        ([Add((0, 9))], Add((1, 8))),
        ([], Add((0, 0))),
        ([Shuffle((0,), 2)], Shuffle((1,), 1)),
    ],
)
def test_refused_and_unchanged(taken: list[Op], refused: Op) -> None:
    chain = Chain(0, C, TENSORS, can_shuffle=True)
    assert all(chain.absorb(number + 1, op) for number, op in enumerate(taken))
    before = {name: values.copy() for name, values in chain.vectors().items()}
    assert not chain.absorb(9, refused)
    assert chain.value == len(taken)
    assert chain.vectors().keys() == before.keys()
    assert all(np.array_equal(values, before[name]) for name, values in chain.vectors().items())

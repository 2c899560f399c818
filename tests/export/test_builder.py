from __future__ import annotations

import numpy as np
import pytest
import torch

from qsr.errors import FormatError
from qsr.export.builder import Builder, Shared, numbers
from qsr.runtime.packed.ops import Affine, Bilinear, Image, PReLU, Shuffle


def shared() -> Shared:
    return Shared(half=lambda name: False)


def test_a_vector_of_one_number_is_that_number() -> None:
    one = shared()
    assert one.vector("a", torch.full((1, 4, 1, 1), 0.1)) == float(np.float32(0.1))
    assert one.vector("b", 2) == 2.0
    assert one.vector("c", np.array([1.0, 2.0])) == "c"
    assert one.tensors["c"].dtype == np.float32
    assert set(one.tensors) == {"c"}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_are_refused_by_name(bad: float) -> None:
    for value in (np.array([bad]), np.array([1.0, bad])):
        with pytest.raises(FormatError, match=r"^tensor net\.bias: holds NaN or Inf"):
            shared().vector("net.bias", value)


def test_programs_share_what_has_one_name() -> None:
    one = shared()
    assert one.keep("a", np.arange(3.0)) == one.keep("a", np.arange(3.0))
    with pytest.raises(AssertionError, match="two different tensors called a"):
        one.keep("a", np.arange(4.0))


def test_an_affine_that_changes_nothing_is_no_operation() -> None:
    b = Builder(shared())
    assert b.affine(0, "x", 1.0, 0.0) == 0
    assert b.affine(0, "x", torch.tensor(2.0)) == 1
    assert b.program(3).ops == (Image(), Affine((0,), 2.0, 0.0))
    assert b.program(3).depth == 3


def test_sizes_of_values() -> None:
    b = Builder(shared())
    x = b.add(Shuffle((b.add(PReLU((0,), 0.1)),), 2))
    assert [b.enlarged(value) for value in (0, 1, x, b.add(Shuffle((x,), 2)), b.add(Bilinear((0,), 3)))] == [1, 1, 2, 4, 3]


def test_numbers_are_float64() -> None:
    assert numbers(torch.tensor([0.5], requires_grad=True)).dtype == np.float64
    assert numbers(3.0).shape == ()

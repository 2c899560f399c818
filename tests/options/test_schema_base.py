"""Number ranges of the schema."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from qsr.options import schema_base
from qsr.options.schema_base import Section


@pytest.mark.parametrize(
    ("kind", "inside", "outside"),
    [
        (schema_base.Positive, [1, 5e3], [0, -1, 1.5]),
        (schema_base.NonNegative, [0], [-1]),
        (schema_base.Bits, [1, 32], [0, 33]),
        (schema_base.Share, [0, 0.999], [1, -0.1]),
        (schema_base.Seed, [0, 2**32 - 1], [-1, 2**32]),
        (schema_base.Scale, [2, 3, 4], [1, 5, 8]),
    ],
)
def test_range(kind: Any, inside: list[float], outside: list[float]) -> None:
    adapter = TypeAdapter(kind)
    for value in inside:
        assert adapter.validate_python(value) == value
    for value in outside:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_section_takes_no_nan_or_inf(value: float) -> None:
    class Sample(Section):
        x: float = 0.0

    with pytest.raises(ValidationError, match="finite"):
        Sample(x=value)

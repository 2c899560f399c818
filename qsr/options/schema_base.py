"""What every section of the schema is made of: the frozen base model and the number ranges."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
Bits = Annotated[int, Field(ge=1, le=32)]
Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Scale = Literal[2, 3, 4]
Rgb = tuple[float, float, float]
DIV2K_MEAN: Rgb = (0.4488, 0.4371, 0.4040)


class Section(BaseModel):
    """Base of every section: frozen, unknown keys refused, numbers never turned into text, no NaN or Inf.

    Every key that may be empty is empty by default, so `key: ~` in a file means "its default" everywhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, protected_namespaces=(), allow_inf_nan=False)

"""How far a program looks: the pixels of the picture around a place that the result there depends on.

A tile whose context is narrower than that would show seams, so the number in the header is checked against this one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from qsr.errors import FormatError
from qsr.runtime.packed.ops import Bilinear, Conv, Depthwise, Image, PackedHeader, Program, Quantize, SignAct, Swin
from qsr.runtime.packed.shapes import Value

NOTHING: Mapping[str, int] = {}
UNIT = math.lcm(*range(1, 9))  # of distance: a pixel of any map is a whole number of them, see grammar.MAX_FACTOR


def reach(program: Program, values: list[Value], wider: Mapping[str, int] = NOTHING) -> int | None:
    """Pixels of the picture on each side; None where attention has no bound. values: what each operation makes.

    wider: by the name of a conv, pixels of its input that it looks at beyond its kernel.

    Distances of a path add up before they are rounded: from place Y of a map with factor f, going down to the map with
    factor f / s and then r pixels on is floor(Y / s) - r = floor((Y - r s) / s).
    """
    far = [0] * len(values)
    for number, op in enumerate(program.ops):
        if isinstance(op, Image):
            continue
        if isinstance(op, Swin):
            return None
        far[number] = max(far[source] for source in op.inputs)
        if isinstance(op, Conv | Depthwise):
            far[number] += (max(op.kernel) // 2 + wider.get(op.name, 0)) * UNIT // values[number].factor
        elif isinstance(op, Bilinear):
            far[number] += UNIT // values[op.inputs[0]].factor
    return -(-far[-1] // UNIT)


def check_reach(header: PackedHeader, program: Program, values: list[Value]) -> None:
    """Raise FormatError where the header promises less than the program needs."""
    pixels, promised = reach(program, values), header.receptive_field
    if promised is not None and (pixels is None or pixels > promised):
        needed = "null: attention has no bound" if pixels is None else f"{pixels} or more"
        raise FormatError(f"receptive_field: found {promised}, expected {needed}")
    if not header.whole_picture:
        for op in program.ops:
            if isinstance(op, Conv | Quantize) and isinstance(op.act, SignAct) and op.act.scale == "mean":
                raise FormatError("whole_picture: found false, expected true: an input is scaled by the mean of its whole map")

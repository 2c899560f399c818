"""What runs a program, whichever way: the interface between a model and the code that computes it.

The compiled engine (engine.py) and the numpy interpreter (interpreter.py) both are executors. One executor runs one
program, keeps nothing between two runs, and may be used from several threads at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from qsr.runtime.packed.ops import Act, FloatWeight, SignAct, SignWeight, Weight


@dataclass(frozen=True)
class LayerKernel:
    """Who computes one layer.

    name: of the layer. op: conv, depthwise, linear. bits: `w2a2`, see `bits_of`. kernel: the function that runs.
    isa: the instructions that it uses, `portable` where none are asked for.
    """

    name: str
    op: str
    bits: str
    kernel: str
    isa: str


FLOAT_BLOCK = re.compile(r"_f32_wino(\d+)")


def float_block(kernel: LayerKernel) -> int:
    """Side of the blocks of outputs that a float kernel makes together, 1 where each stands alone.

    Winograd's sums in float32 are the same up to rounding, and what is rounded is the whole block's neighbourhood: the last
    bit of an output depends on where its block lies and on all that the block sees. Integer kernels are exact.
    """
    found = FLOAT_BLOCK.search(kernel.kernel)
    return int(found[1]) if found else 1


class Executor(Protocol):
    """Runs one program."""

    def run(self, picture: NDArray[Any], as_bytes: bool) -> NDArray[Any]:
        """(h, w, 3) uint8, or float32 with 1.0 for white -> (s h, s w, 3) uint8 (as_bytes) or float32.

        h, w: at least 1, multiples of the network's window. Bytes: clip to [0, 1], times 255, halves to even.
        Floats: an executor may leave them as they come or clip them; `Model` clips them in any case.
        """

    def kernels(self) -> list[LayerKernel]:
        """One entry per layer, in the order in which they run."""

    def memory(self, height: int, width: int) -> int:
        """Bytes that `run` takes at most for a picture of this size, its result included."""


def bits_of(weight: Weight, act: Act | None) -> str:
    """`w2a2`; `w1x2a1` is two planes of signs; `w4a32` leaves its input alone; `float` has no codes at all.

    >>> bits_of(SignWeight("w", (1.0, 0.5)), SignAct())
    'w1x2a1'
    """
    inputs = 32 if act is None else 1 if isinstance(act, SignAct) else act.bits
    if isinstance(weight, FloatWeight):
        return "float" if act is None else f"w32a{inputs}"
    if isinstance(weight, SignWeight):
        return f"w1{f'x{weight.planes}' if weight.planes > 1 else ''}a{inputs}"
    return f"w{weight.bits}a{inputs}"

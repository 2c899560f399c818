"""The compiled engine as an executor: a program lowered by plan.py, run by csrc/graph.

`QSR_ISA=portable|avx2|avx512` limits the instructions that kernels use; it is read when an engine is made.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr import _kernels
from qsr.errors import EnvironmentFault, OptionsError
from qsr.runtime.executor import LayerKernel, bits_of
from qsr.runtime.packed.codes import Tensors
from qsr.runtime.packed.ops import PackedHeader, Program
from qsr.runtime.plan import Plan, make_plan

VARIABLE = "QSR_ISA"
ISAS = ("portable", "avx2", "avx512")


@dataclass(frozen=True)
class StageProfile:
    """What one stage took in one run, summed over threads.

    calls: groups of rows. sums: the part of `seconds` inside the convolution's kernel. bytes: an estimate of what it reads
    and writes, weights aside. macs: multiply-additions, planes counted one by one.
    """

    layer: str
    stage: str
    calls: int
    seconds: float
    sums: float
    bytes: int
    macs: int


class Engine:
    """An executor (see executor.py) of one program of a file that check.py accepted. Immutable; threads may share it.

    threads: of one run; None: the cores that this process may use. Results do not depend on it.
    Raises OptionsError and EnvironmentFault for a QSR_ISA that is unknown or not there.
    """

    def __init__(
        self, header: PackedHeader, tensors: Tensors, program: Program, threads: int | None = None, plan: Plan | None = None
    ) -> None:
        self.plan = make_plan(header, tensors, program) if plan is None else plan
        count = _kernels.available_cores() if threads is None else threads
        self._engine = make_engine(self.plan, count)

    def run(self, picture: NDArray[Any], as_bytes: bool) -> NDArray[Any]:
        """As executor.Executor; floats are clipped to [0, 1]."""
        made: NDArray[Any] = self._engine.run(np.ascontiguousarray(picture), as_bytes)
        return made

    def kernels(self) -> list[LayerKernel]:
        found = []
        for stage, (kernel, isa, _) in zip(self.plan.stages, self._engine.stages()):
            if stage["kind"] == "conv":
                kind = "depthwise" if stage.get("depthwise") else "conv"
                found.append(LayerKernel(stage["name"], kind, stage["bits"], kernel, isa))
            elif stage["kind"] == "swin":
                for key in ("qkv", "proj", "fc1", "fc2"):
                    layer = getattr(stage["op"], key)
                    found.append(LayerKernel(layer.name, "linear", bits_of(layer.weight, layer.act), kernel, isa))
        return found

    def memory(self, height: int, width: int) -> int:
        """Scratch and result; the picture is the caller's."""
        return int(self._engine.memory(height, width)) + 12 * height * width * self.plan.scale**2

    def profile(self, picture: NDArray[Any], repeat: int = 1) -> list[StageProfile]:
        """Where the time goes: the mean of `repeat` runs after one that is not counted, one entry per stage."""
        picture = np.ascontiguousarray(picture)
        self._engine.run(picture, True)
        pixels = picture.shape[0] * picture.shape[1]
        rows = []
        for stage, (steps, sums, seconds) in zip(self.plan.stages, self._engine.profile(picture, repeat)):
            rows.append(
                StageProfile(
                    layer=stage.get("name", ""),
                    stage=" ".join(filter(None, (stage["kind"], stage.get("what", "")))),
                    calls=steps // repeat,
                    seconds=seconds / repeat,
                    sums=sums / repeat,
                    bytes=pixels * _traffic(self.plan, stage),
                    macs=pixels * _macs(self.plan, stage),
                )
            )
        return rows

    def trace(self, picture: NDArray[Any]) -> dict[int, NDArray[Any]]:
        """Every map of a plan made with `apart`, by its number: float32, or codes as they lie in memory (uint8)."""
        return dict(self._engine.trace(np.ascontiguousarray(picture)))


def make_engine(plan: Plan, threads: int, keep: bool = False) -> Any:
    """The compiled object itself, under the instruction sets that QSR_ISA allows. keep: maps live on, for `trace`."""
    return _kernels.Engine(plan.maps, plan.stages, plan.segments, plan.scale, plan.slots, ISAS.index(limit()), threads, keep)


def limit() -> str:
    """The best instruction set that this machine has and QSR_ISA allows."""
    there = [isa for isa in ISAS if _kernels.isa_supported()[isa]]
    asked = os.environ.get(VARIABLE, "")
    if not asked:
        return there[-1]
    if asked not in ISAS:
        raise OptionsError(f"found {asked!r}, expected {', '.join(ISAS[:-1])} or {ISAS[-1]}", where=VARIABLE)
    if asked not in there:
        raise EnvironmentFault(
            f"this machine has no {asked}, only {', '.join(there)}", where=VARIABLE, hint=f"unset {VARIABLE}"
        )
    return asked


def _pixel_bytes(plan: Plan, number: int) -> int:
    """Bytes of a map per pixel of the picture."""
    form, channels, factor, _ = plan.maps[number]
    across = -(-channels // 32) * 32
    return {"bits": across // 8, "bytes": across, "float": 4 * channels}[form] * factor**2


def _traffic(plan: Plan, stage: dict[str, Any]) -> int:
    maps = [stage.get(key, -1) for key in ("input", "second", "out")] + [sink["map"] for sink in stage.get("sinks", [])]
    return sum(_pixel_bytes(plan, number) for number in maps if number >= 0)


def _macs(plan: Plan, stage: dict[str, Any]) -> int:
    if stage["kind"] == "conv":
        inputs = 1 if stage.get("depthwise") else stage["c_in"]
        return int(inputs * stage["c_out"] * stage["kh"] * stage["kw"] * plan.maps[stage["input"]][2] ** 2)
    if stage["kind"] == "swin":
        op = stage["op"]
        layers = sum(layer.c_in * layer.c_out for layer in (op.qkv, op.proj, op.fc1, op.fc2))
        return int(layers + 2 * op.channels * op.window**2)
    return 0

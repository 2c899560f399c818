"""Per layer: time on a core, work, and the share of what a core can do with the instructions that its kernel lives on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.errors import EnvironmentFault
from qsr.runtime.model import Model


@dataclass(frozen=True)
class LayerTime:
    """seconds: of all threads together, of one picture; sums: the part inside the convolution's kernel, 0 for others.

    macs: of one picture, planes counted one by one. bytes: read and written besides weights, as the engine estimates.
    rate: MACs per second of one core inside the kernel, 0 where the layer has none. share: of the measured peak, None
    without one. Winograd kernels may exceed 1: they do fewer multiplications than `macs` counts.
    """

    name: str
    kernel: str
    bits: str
    seconds: float
    sums: float
    macs: int
    bytes: int
    rate: float
    share: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def layer_times(model: Model, picture: NDArray[np.uint8], depth: int | None, threads: int, repeat: int = 5) -> list[LayerTime]:
    """Profile the compiled engine. Raises EnvironmentFault where the model does not run on it."""
    executor = model.executor(depth)
    if not hasattr(executor, "profile"):
        raise EnvironmentFault("layers can be timed in the compiled engine only", where="--per-layer", hint="see `qsr info`")
    from qsr import _kernels

    peaks: dict[str, dict[str, float]] = {}
    kernels = {kernel.name: kernel for kernel in executor.kernels()}
    found = []
    for entry in executor.profile(picture, repeat):
        known = kernels.get(entry.layer)
        isa = known.isa if known else ""
        if isa and isa not in peaks:
            peaks[isa] = _kernels.measure_peak(isa)
        inner = entry.sums or entry.seconds
        rate = entry.macs / inner if entry.macs and inner else 0.0
        peak = peaks[isa].get(_family(known.kernel), 0.0) if known else 0.0
        found.append(
            LayerTime(
                name=entry.layer or entry.stage,
                kernel=known.kernel if known and entry.macs else entry.stage,
                bits=known.bits if known and entry.macs else "",
                seconds=entry.seconds,
                sums=entry.sums,
                macs=entry.macs,
                bytes=entry.bytes,
                rate=rate,
                share=rate / peak if peak and rate else None,
            )
        )
    return found


def _family(kernel: str) -> str:
    """Which peak a kernel is measured by, from its name `conv_<act><weight>..._<isa>`."""
    if "_f32" in kernel or kernel.startswith("swin"):
        return "float"
    return "bits" if "_b1b1" in kernel else "bytes"

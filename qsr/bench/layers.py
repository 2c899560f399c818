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
    """seconds: of all threads together, of one picture. macs: of one picture. bytes: moved, as the engine estimates.

    rate: MACs per second of one core, 0 where the layer has none. share: of the measured peak, None without one. Winograd
    kernels may exceed 1: they do fewer multiplications than `macs` counts.
    """

    name: str
    kernel: str
    bits: str
    seconds: float
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
    found = []
    for entry in executor.profile(picture, repeat):
        isa = entry.isa
        if isa and isa not in peaks:
            peaks[isa] = _kernels.measure_peak(isa)
        rate = entry.macs / entry.seconds if entry.macs and entry.seconds else 0.0
        peak = peaks.get(isa, {}).get(_family(entry.kernel), 0.0)
        found.append(
            LayerTime(
                entry.name,
                entry.kernel,
                entry.bits,
                entry.seconds,
                entry.macs,
                entry.bytes,
                rate,
                rate / peak if peak else None,
            )
        )
    return found


def _family(kernel: str) -> str:
    """Which peak a kernel is measured by, from its name `conv_<act><weight>..._<isa>`."""
    if "_f32" in kernel or kernel.startswith("swin"):
        return "float"
    return "bits" if "_b1b1" in kernel else "bytes"

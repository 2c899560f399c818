"""Who computes: the compiled extension, else numba, else numpy. All three give the same integers.

`QSR_BACKEND=extension|numba|numpy` forces one. A backend that was not asked for and cannot be loaded is passed
over, and `backend_info()` keeps the reason for `qsr info`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from qsr.errors import EnvironmentFault, OptionsError

VARIABLE = "QSR_BACKEND"
MODULES = {  # in order of preference
    "extension": "qsr._kernels",
    "numba": "qsr.runtime.numba_kernels",
    "numpy": "qsr.runtime.numpy_kernels",
}


class Kernels(Protocol):
    """What each backend module offers. Arguments were checked by bits.py and reference.py.

    Arrays are C-contiguous; codes of pack/unpack are int16, codes and weights of conv2d int8 or uint8.
    """

    def pack_bits(self, codes: NDArray[np.int16], bits: int, is_signed: bool) -> NDArray[np.uint8]: ...

    def unpack_bits(self, data: NDArray[np.uint8], count: int, bits: int, is_signed: bool) -> NDArray[np.int16]: ...

    def conv2d(self, codes: NDArray[Any], weights: NDArray[Any], stride: int, padding: int) -> NDArray[np.int32]: ...


@dataclass(frozen=True)
class BackendInfo:
    """The backend in use, why it was chosen, and for each one that was passed over, why it could not be loaded."""

    name: str
    reason: str
    unavailable: Mapping[str, str]


def load_kernels(name: str) -> Kernels:
    """The module of one backend. Raises ImportError with a reason where it cannot be loaded."""
    if name == "extension" and importlib.util.find_spec(MODULES[name]) is None:
        raise ImportError("the extension qsr._kernels was not built (no C++ compiler at installation?)")
    return cast(Kernels, importlib.import_module(MODULES[name]))


@cache
def _choose(forced: str) -> tuple[Kernels, BackendInfo]:
    if forced:
        if forced not in MODULES:
            near = get_close_matches(forced, MODULES, n=1)
            raise OptionsError(
                f"found {forced!r}, expected one of {', '.join(MODULES)}",
                where=VARIABLE,
                hint=f"did you mean {near[0]}?" if near else "unset it to let qsr choose",
            )
        try:
            return load_kernels(forced), BackendInfo(forced, f"{VARIABLE} asks for it", {})
        except ImportError as fault:
            raise EnvironmentFault(f"backend {forced!r} cannot be loaded: {fault}", where=VARIABLE) from fault
    unavailable: dict[str, str] = {}
    for name in MODULES:
        try:
            kernels = load_kernels(name)
        except ImportError as fault:
            unavailable[name] = str(fault)
            continue
        reason = f"next best: {'; '.join(unavailable.values())}" if unavailable else "compiled for this machine"
        return kernels, BackendInfo(name, reason, unavailable)
    raise EnvironmentFault(f"no backend can be loaded: {'; '.join(unavailable.values())}", hint="reinstall qsr")


def kernels() -> Kernels:
    """The kernels in use. Raises OptionsError for an unknown QSR_BACKEND, EnvironmentFault for one that cannot be loaded."""
    return _choose(os.environ.get(VARIABLE, ""))[0]


def backend_info() -> BackendInfo:
    """Which kernels are in use and why; raises as `kernels` does."""
    return _choose(os.environ.get(VARIABLE, ""))[1]

"""What a bug report needs to say about a machine: versions, processor, and which kernels are in use. Imports no torch."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from importlib import metadata
from typing import Any

import qsr
from qsr.runtime.backend import backend_info
from qsr.runtime.cpu import isa_flags, machine

PACKAGES = (
    *("torch", "numpy", "numba", "opencv-python", "pillow", "scikit-image", "pydantic", "safetensors", "typer"),
    *("tensorboard", "lmdb", "basicsr", "torchvision"),
)


def package_versions(names: tuple[str, ...] = PACKAGES) -> dict[str, str | None]:
    """Installed version of each package, None where it is not installed; read from metadata, nothing is imported."""
    versions: dict[str, str | None] = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def environment() -> dict[str, Any]:
    """Plain values: qsr, python, machine, cores, isa, packages, kernels {name, reason, unavailable}.

    Raises OptionsError or EnvironmentFault where QSR_BACKEND asks for kernels that are unknown or not there.
    """
    return {
        "qsr": qsr.__version__,
        "python": platform.python_version(),
        "machine": machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "isa": list(isa_flags()),
        "kernels": asdict(backend_info()),
        "packages": package_versions(),
    }

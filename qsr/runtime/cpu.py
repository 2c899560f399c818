"""Which instruction sets this processor has, as far as low-bit kernels care."""

from __future__ import annotations

import platform
from pathlib import Path

INTERESTING = (
    *("sse4_2", "avx", "avx2", "fma", "avx_vnni"),
    *("avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512vbmi", "avx512_vpopcntdq", "avx512_bf16", "amx_int8"),
    *("asimd", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)


def isa_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """The flags of INTERESTING that the kernel reports, in that order; empty where there is no such file (not Linux)."""
    if not cpuinfo.is_file():
        return ()
    for line in cpuinfo.read_text(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):  # x86, ARM
            present = set(value.split())
            return tuple(flag for flag in INTERESTING if flag in present)
    return ()


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor as it calls itself, with family and model (makers sell several generations under one name)."""
    found: dict[str, str] = {}
    for line in cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else ():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    if "model name" not in found:
        return machine()
    detail = [f"{key.split()[-1]} {found[key]}" for key in ("cpu family", "model") if key in found]
    return f"{found['model name']} ({', '.join(detail)})" if detail else found["model name"]


def machine() -> str:
    """Architecture and system in two words, for instance `x86_64 Linux`."""
    return f"{platform.machine()} {platform.system()}"

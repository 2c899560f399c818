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


def machine() -> str:
    """Architecture and system in two words, for instance `x86_64 Linux`."""
    return f"{platform.machine()} {platform.system()}"

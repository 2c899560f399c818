"""Processors, threads, memory."""

from __future__ import annotations

import math
import os
from pathlib import Path

from qsr.doctor.check import Finding, fail, ok, warn

MEMORY_LOW = 1 << 30  # bytes; the small networks train in less, the papers' do not
SHARED_LOW = 32 << 20  # bytes; half of what Docker gives by default
OPENMP = ("libgomp", "libiomp5", "libomp")
MAPS = Path("/proc/self/maps")
CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
SHARED = Path("/dev/shm")


def check_threads() -> Finding:
    """OMP_NUM_THREADS and torch's threads against the processors that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    useful = min(cores, math.ceil(quota)) if quota else cores
    asked = os.environ.get("OMP_NUM_THREADS", "")
    limit = f" of which a quota leaves {quota:g}" if quota and quota < cores else ""
    seen = f"{cores} processors{limit}"
    first = asked.split(",")[0].strip()  # one number per nesting level is allowed
    if asked and not (first.isdigit() and int(first) > 0):
        return warn(f"OMP_NUM_THREADS is {asked!r}, expected a number; {seen}", "unset OMP_NUM_THREADS")
    threads = int(first) if asked else cores
    runtimes = openmp_runtimes()
    if threads > useful:
        how = f"OMP_NUM_THREADS asks for {threads} threads" if asked else f"{threads} threads will be started"
        return warn(f"{seen}, {how}: they will wait for each other", f"export OMP_NUM_THREADS={useful}")
    if len(runtimes) > 1:
        found = f"{' and '.join(runtimes)} are loaded into one process: each starts its own threads"
        return warn(found, "install torch and numpy from one source (all pip, or all conda)", runtimes=runtimes)
    said = f", OMP_NUM_THREADS={asked}" if asked else ""
    return ok(f"{seen}{said}", cores=cores, quota=quota, omp=asked, runtimes=runtimes)


def cpu_quota(root: Path = CGROUP) -> float | None:
    """Processors' worth of time that a container may use, None without a limit (cgroup v2, then v1)."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    return int(quota) / int(period) if quota.isdigit() and int(period) > 0 else None


def openmp_runtimes(maps: Path = MAPS) -> list[str]:
    """Kinds of OpenMP runtimes that are loaded into this process: two kinds do not know of each other's threads."""
    if not maps.is_file():
        return []
    files = {Path(line.split()[-1]).name for line in maps.read_text(errors="replace").splitlines() if ".so" in line}
    return [kind for kind in OPENMP if any(name.startswith((f"{kind}.", f"{kind}-")) for name in files)]


def check_memory() -> Finding:
    """Free memory, and shared memory: qsr's own data loaders are threads and need none, several GPUs and other loaders do."""
    from multiprocessing import shared_memory

    free = available_memory()
    if SHARED.is_dir():
        room = os.statvfs(SHARED)
        shared: int | None = room.f_bavail * room.f_frsize
    else:
        shared = None
    try:
        block = shared_memory.SharedMemory(create=True, size=1 << 20)
    except OSError as fault:
        todo = "docker run --shm-size=1g, or mount a tmpfs at /dev/shm; one process on one GPU works without"
        return warn(f"no shared memory: {fault.strerror or fault}", todo)
    try:
        other = shared_memory.SharedMemory(block.name)
        assert block.buf is not None, "a new block has its buffer"
        assert other.buf is not None
        block.buf[:4] = b"qsr\n"
        seen = bytes(other.buf[:4])
        other.close()
    finally:
        block.close()
        block.unlink()
    if seen != b"qsr\n":
        return fail(f"shared memory gives {seen!r} for what was written", "restart the machine")
    sizes = f"{gib(free)} free" + (f", {gib(shared)} shared" if shared is not None else "")
    if free is not None and free < MEMORY_LOW:
        return warn(sizes, "close other programs, or use small patches and batches", free=free, shared=shared)
    if shared is not None and shared < SHARED_LOW:
        return warn(sizes, "docker run --shm-size=1g, if you use several GPUs", free=free, shared=shared)
    return ok(sizes, free=free, shared=shared)


def available_memory(meminfo: Path = MEMINFO, root: Path = CGROUP) -> int | None:
    """Bytes that can be had without swapping, within the container's limit (cgroup v2, then v1); None where nobody says."""
    free = None
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    for most, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        try:
            left = int((root / most).read_text()) - int((root / used).read_text())
        except (OSError, ValueError):
            continue  # no such file, or `max`
        free = left if free is None else min(free, left)
    return free


def gib(size: int | None) -> str:
    """A size in GiB, `unknown` for None."""
    return "unknown" if size is None else f"{size / 2**30:.1f} GiB"

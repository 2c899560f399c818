"""Checks that behave badly, for the tests of the worker; it imports this file by its name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from qsr.doctor.check import Finding, fail, ok, warn
from qsr.errors import EnvironmentFault


def fine() -> Finding:
    print("a library greets you")
    return ok("all is well", pid=os.getpid())


def doubtful() -> Finding:
    return warn("not quite", "look again")


def broken() -> Finding:
    return fail("it is broken", "mend it")


def raises() -> Finding:
    raise ValueError("the first line\nthe second line")


def refuses() -> Finding:
    raise EnvironmentFault("no such thing", where="here", hint="get one")


def killed() -> Finding:
    print("last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return ok("unreachable")


def illegal() -> Finding:
    os.kill(os.getpid(), signal.SIGILL)
    return ok("unreachable")


def leaves() -> Finding:
    os._exit(3)


def hangs(folder: Path) -> Finding:
    """Leaves the number of a process that it started, then sleeps."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    (folder / "child").write_text(str(child.pid))
    time.sleep(100)
    return ok("unreachable")


def in_folder(folder: Path) -> Finding:
    return ok(str(folder), threads=os.environ.get("OMP_NUM_THREADS", ""))

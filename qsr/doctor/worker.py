"""Checks run in a process of their own: one that crashes, hangs or ends the process is a line of the report, not its end.

The parent asks with a line of JSON on stdin, the worker answers with one on a pipe; what libraries print goes to a file, whose
last line is quoted where a worker dies.
"""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qsr.doctor.check import Check, Finding, fail, skip
from qsr.errors import QsrError

BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from qsr.doctor.worker import serve; serve(int(sys.argv[2]))"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
LONGEST_LINE = 300
LONGEST_LOG = 60  # lines
REPORT = "see the traceback in `qsr doctor --json`; if it is qsr's, report it"
ENDS = {
    "SIGILL": "limit the instructions: QSR_ISA=avx2 or QSR_ISA=portable",
    "SIGBUS": "a library on the disk is cut short: pip install --force-reinstall qsr, then what `--json` names",
    "SIGKILL": "somebody killed it, or memory ran out: the system's log knows",
}


# --- the worker -----------------------------------------------------------------------------------------------------------
def serve(answers: int) -> None:
    """Answer requests on stdin, on the file descriptor `answers`, until stdin ends."""
    faulthandler.enable()
    os.set_inheritable(answers, False)  # a process that a check starts must not hold it open
    with open(answers, "w", encoding="utf-8") as out:
        for line in sys.stdin:
            request = json.loads(line)
            found = examine(request["place"], request["needs"], request["folder"])
            out.write(json.dumps(asdict(found)) + "\n")
            out.flush()


def examine(place: str, needs: list[str], folder: str | None) -> Finding:
    """Run the function at `place` (`module:function`); whatever it raises is a failure with its text."""
    missing = [name for name in needs if not installed(name)]
    if missing:
        return skip(f"{', '.join(missing)} not installed, needed for training", "pip install 'qsr[train]'")
    try:
        module, _, function = place.partition(":")
        check = getattr(importlib.import_module(module), function)
        found: Finding = check() if folder is None else check(Path(folder))
        return found
    except QsrError as fault:
        where = f"{fault.where}: " if fault.where else ""
        return fail(one_line(where + fault.message), fault.hint or REPORT, traceback=traceback.format_exc())
    except Exception as fault:
        return fail(one_line(f"{type(fault).__name__}: {fault}"), REPORT, traceback=traceback.format_exc())


def python() -> list[str]:
    """The command of another interpreter that finds the packages of this one, once it has this one's sys.path.

    -P: a folder `torch` where the user happens to stand is nobody's torch.
    """
    without_site = ["-S"] if sys.flags.no_site else []
    return [sys.executable, "-P", *without_site]


def installed(name: str) -> bool:
    """Whether a module of that name can be found; it is not imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):  # somebody's import hook says no; a module without a spec
        return False


def one_line(text: str) -> str:
    r"""The first line of a message, printable, and not longer than a line may be.

    >>> one_line("no such operator\n  at line 3")
    'no such operator'
    """
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    first = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in first)
    return first if len(first) <= LONGEST_LINE else f"{first[: LONGEST_LINE - 3]}..."


# --- its parent -----------------------------------------------------------------------------------------------------------
class Worker:
    """A process that runs checks, one after the other. Context manager: at its end it is gone, with all that it started."""

    def __init__(self, one_thread: bool = False) -> None:
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - lives as long as the worker
        self._answers, theirs = os.pipe()
        self._text = b""
        try:
            self._process = subprocess.Popen(
                [*python(), "-c", BOOT, json.dumps(sys.path), str(theirs)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(theirs,),
                start_new_session=True,  # so that it can be ended together with its own processes
                env={**os.environ, **(ONE_THREAD if one_thread else {})},
            )
        finally:
            os.close(theirs)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Asked without reaping it: while the dead process is there, nobody else can get its number, or its group's."""
        if self._process.returncode is not None:
            return False
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def ask(self, check: Check, folder: Path) -> Finding:
        """What the check finds. After a crash or a check that took too long the worker is dead, and the finding says so."""
        request = {"place": check.place, "needs": check.needs, "folder": str(folder) if check.in_folder else None}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            return self._died()
        end = time.monotonic() + check.seconds
        while b"\n" not in self._text:
            ready, _, _ = select.select([self._answers], [], [], min(0.2, max(end - time.monotonic(), 0)))
            if ready:
                piece = os.read(self._answers, 1 << 16)
                if not piece:
                    return self._died()
                self._text += piece
            elif not self.alive:
                return self._died()
            elif time.monotonic() > end:
                self.close()
                todo = f"try it alone, on an idle machine: qsr doctor --only {check.name}"
                return fail(f"no answer within {check.seconds:g} s", todo)
        line, _, self._text = self._text.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return Finding(**found)

    def _died(self) -> Finding:
        self._log.seek(0)
        log = [line for line in self._log.read().splitlines() if line.strip()]
        # what closed its pipe may be on its way out
        for _ in range(50):
            if not self.alive:
                break
            time.sleep(0.02)
        code = self.close()
        ending = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        stack = next((number for number, line in enumerate(log) if line.startswith("Fatal Python error")), len(log))
        last = f": {one_line(log[stack - 1])}" if stack else ""
        todo = ENDS.get(ending, f"something that it imports is broken; {REPORT}")
        return fail(f"the check ended its process with {ending}{last}", todo, log=log[-LONGEST_LOG:])

    def close(self) -> int:
        """End the process and its children, at once; its exit code."""
        if self._process.returncode is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            os.close(self._answers)
            self._log.close()
        return self._process.returncode

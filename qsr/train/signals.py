"""SIGTERM, SIGINT and SIGUSR1 ask the loop to stop at the next step; the handler only sets a flag.

A second signal ends the process at once. Signals within half a second count as one: a Ctrl-C under torchrun reaches
each worker twice, from the terminal and from the agent that passes it on.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
ONE_REQUEST_SECONDS = 0.5


class StopRequest:
    """Context manager that listens; `name` is the signal received, or None. Earlier handlers come back on leaving.

    Outside the main thread Python cannot set handlers; then `ask` is the only way to stop.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self._asked_at = 0.0
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._received) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def ask(self, name: str) -> None:
        """Ask to stop, as a signal would."""
        self.name, self._asked_at = name, time.monotonic()

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self.name is None:
            self.ask(signal.Signals(number).name)
        elif time.monotonic() - self._asked_at > ONE_REQUEST_SECONDS:
            os._exit(128 + number)

"""The handler sets a flag; the process's own handlers come back (what the loop does with it: tests/chaos/test_kill.py)."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from qsr.train import signals
from qsr.train.signals import StopRequest


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_a_signal_sets_the_flag(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.name is None
        os.kill(os.getpid(), number)
        assert stop.name == number.name
    assert signal.getsignal(number) is before


def test_what_arrives_twice_at_once_is_one_request() -> None:
    """torchrun passes on a Ctrl-C that the terminal has delivered already."""
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.name == "SIGINT"


def test_a_second_request_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(signals, "ONE_REQUEST_SECONDS", 0.01)
    with StopRequest():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)
    assert codes == [128 + signal.SIGINT]


def test_outside_the_main_thread_it_can_be_asked() -> None:
    names = []

    def work() -> None:
        with StopRequest() as stop:
            stop.ask("deadline")
            names.append(stop.name)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert names == ["deadline"]

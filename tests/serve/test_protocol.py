"""Connections that ask nothing, take nothing or are too many, over real sockets: each is ended, and the page goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from qsr.runtime.model import Model
from qsr.serve import protocol
from qsr.serve.app import Limits, application
from tests.runtime.packed.build import conv_net
from tests.serve.live import Live, answer, closed, get, post, send, serving, wait

SOON = 0.4


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(*conv_net("w2a2", features=8, blocks=1), threads=1)


@pytest.fixture
def live(model: Model) -> Iterator[Live]:
    limits = Limits(body=1 << 20, pixels=10_000, seconds=2 * SOON)
    with serving(application(model, {}, limits), seconds_of_headers=SOON) as made:
        yield made


@pytest.mark.parametrize("begun", [b"", b"GET", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "], ids=repr)
def test_a_request_that_does_not_come_to_its_end_is_cut_off(live: Live, begun: bytes) -> None:
    with live.connect() as wire:
        send(wire, begun)
        start = time.monotonic()
        assert closed(wire)
        assert time.monotonic() - start < 10 * SOON
    assert live.alive()


def test_headers_one_byte_at_a_time_are_cut_off_too(live: Live) -> None:
    with live.connect() as wire:
        start = time.monotonic()
        try:
            for letter in get("/", live.port, "X-A: " + "a" * 200):
                wire.sendall(bytes([letter]))
                time.sleep(SOON / 20)
        except (BrokenPipeError, ConnectionResetError):
            assert time.monotonic() - start < 10 * SOON
        else:
            pytest.fail("so slow a request was waited for to its end")
    assert live.alive()


def test_the_second_request_of_a_connection_has_no_more_time(live: Live) -> None:
    with live.connect() as wire:
        send(wire, get("/network", live.port))
        assert answer(wire)[0] == 200
        send(wire, b"GET /network HT")
        assert closed(wire)


def test_a_slow_body_is_refused_and_its_place_is_free_again(live: Live) -> None:
    with live.connect() as wire:
        send(wire, post(b"", live.port).replace(b"Content-Length: 0", b"Content-Length: 5000") + b"x" * 100)
        status, found = answer(wire)
        assert status == 408
        assert b"did not arrive within 0.8 s" in found
        assert closed(wire)
    assert live.alive()


def test_the_rest_of_a_refused_body_is_not_waited_for(live: Live) -> None:
    with live.connect() as wire:
        wire.settimeout(20 * SOON)
        send(wire, post(b"", live.port).replace(b"Content-Length: 0", b"Content-Length: 9000000"))
        assert answer(wire)[0] == 413
        start = time.monotonic()
        while time.monotonic() - start < 20 * SOON:
            try:
                wire.sendall(b"x" * 10)
            except (BrokenPipeError, ConnectionResetError):
                return
            time.sleep(SOON / 10)
    pytest.fail("the rest of a refused body was read for as long as it came")


def test_idle_connections_do_not_shut_others_out(live: Live) -> None:
    idle = [live.connect() for _ in range(protocol.MAX_REQUESTS + 5)]
    try:
        assert live.ask(get("/network", live.port))[0] == 503
        assert all(closed(wire) for wire in idle)
    finally:
        for wire in idle:
            wire.close()
    wait(live.alive)


def test_there_are_only_so_many_connections(model: Model) -> None:
    with serving(application(model, {}, Limits()), seconds_of_headers=60) as live:
        idle = [live.connect() for _ in range(protocol.MAX_CONNECTIONS + 10)]
        try:
            for wire in idle[protocol.MAX_CONNECTIONS :]:  # those that came last, and at once
                assert closed(wire)
            assert len(live.server.server_state.connections) <= protocol.MAX_CONNECTIONS
        finally:
            for wire in idle:
                wire.close()
        wait(live.alive)


async def long_answer(scope: Any, receive: Any, send_on: Any) -> None:
    """32 MB in pieces, more than two kernels keep."""
    if scope["path"] == "/network":
        await send_on({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send_on({"type": "http.response.body", "body": b""})
        return
    await send_on({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % (512 << 16))]})
    for number in range(512):
        await send_on({"type": "http.response.body", "body": bytes(1 << 16), "more_body": number < 511})


def test_an_answer_that_nobody_takes_is_given_up() -> None:
    with serving(long_answer, seconds_to_fetch=SOON) as live, live.connect() as wire:
        send(wire, get("/", live.port))
        wait(lambda: live.server.server_state.connections)
        wait(lambda: not live.server.server_state.connections)
        assert live.alive()


def test_an_answer_that_is_taken_in_time_comes_whole() -> None:
    with serving(long_answer, seconds_to_fetch=20) as live, live.connect() as wire:
        send(wire, get("/", live.port))
        status, found = answer(wire)
        assert status == 200
        assert len(found.partition(b"\r\n\r\n")[2]) == 512 << 16
        # the time for this one is not that of the next
        send(wire, get("/", live.port))
        assert answer(wire)[0] == 200


def test_it_ends_in_spite_of_those_who_wait(model: Model) -> None:
    with serving(application(model, {}, Limits()), timeout_graceful_shutdown=1) as live:
        held = live.connect()
        send(held, post(b"", live.port).replace(b"Content-Length: 0", b"Content-Length: 5000"))
        wait(lambda: live.server.server_state.connections)
        start = time.monotonic()
    assert time.monotonic() - start < 10
    held.close()

"""A real server on loopback for tests that speak to it byte by byte, in a thread of this process."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from qsr.serve.app import App
from qsr.serve.protocol import Connection, configuration

PATIENCE = 20.0  # seconds after which a server that says nothing hangs


@dataclass(frozen=True)
class Live:
    """port: on 127.0.0.1. server: for what only it can tell."""

    port: int
    server: uvicorn.Server

    def connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and whole answer; status 0 where the connection ends without one. The connection is closed behind it."""
        with self.connect() as wire:
            send(wire, request)
            return answer(wire)

    def alive(self) -> bool:
        return self.ask(get("/network", self.port, "Connection: close"))[0] == 200


@contextmanager
def serving(app: App, seconds_of_headers: float = 5.0, seconds_to_fetch: float = 5.0, **changed: Any) -> Iterator[Live]:
    """Serve `app` as `qsr serve` does, but with other seconds."""
    own = type("Own", (Connection,), {"seconds_of_headers": seconds_of_headers, "seconds_to_fetch": seconds_to_fetch})
    server = uvicorn.Server(configuration(app, http=own, **changed))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait(lambda: server.started)
        yield Live(port, server)
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the server does not end"


def get(path: str, port: int, *headers: str, host: str = "127.0.0.1") -> bytes:
    return request("GET", path, port, *headers, host=host)


def post(body: bytes, port: int, *headers: str, path: str = "/upscale") -> bytes:
    return request("POST", path, port, f"Content-Length: {len(body)}", *headers) + body


def request(method: str, path: str, port: int, *headers: str, host: str = "127.0.0.1") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}:{port}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def send(wire: socket.socket, data: bytes) -> None:
    """All of it, or what is taken before the other side has had enough."""
    try:
        wire.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return


def answer(wire: socket.socket) -> tuple[int, bytes]:
    """One answer: status (0: closed without one) and all of its bytes, "100 Continue" aside.

    Raises TimeoutError where nothing comes.
    """
    found = bytearray()
    wanted = -1  # bytes of all, once the headers are here
    while wanted < 0 or len(found) < wanted:
        try:
            more = wire.recv(1 << 18)
        except ConnectionResetError:
            break
        if not more:
            break
        found += more
        if found.startswith(b"HTTP/1.1 100") and (end := found.find(b"\r\n\r\n")) >= 0:
            del found[: end + 4]
        if wanted < 0 and (end := found.find(b"\r\n\r\n")) >= 0:
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", found[:end])
            wanted = end + 4 + int(length[1]) if length else -1
    status = re.match(rb"HTTP/1\.1 (\d{3})", found)
    return (int(status[1]) if status else 0), bytes(found)


def closed(wire: socket.socket) -> bool:
    """Whether the other side ends the connection; what comes before that is thrown away."""
    try:
        while wire.recv(1 << 16):
            continue
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def wait(until: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)

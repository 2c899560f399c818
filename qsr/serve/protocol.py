"""One connection, with limits that uvicorn does not have: it waits for ever for a request that does not come to its end,
and for a reader who does not read, and Ctrl-C waits with it.

    number     connections beyond MAX_CONNECTIONS are closed at once; beyond MAX_REQUESTS a request is answered 503
    headers    MAX_SECONDS_OF_HEADERS after the connection, or after the first byte of its next request, the headers have to
               be whole; so long may the rest of a refused body trickle in, too
    answers    MAX_SECONDS_TO_FETCH after the first piece that nobody took, the answer has to be fetched

How long a body may take and be is app.py's business.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from qsr.serve.app import App

MAX_CONNECTIONS = 64
MAX_REQUESTS = 32
MAX_HEADER_BYTES = 1 << 14
MAX_SECONDS_OF_HEADERS = 10.0
MAX_SECONDS_TO_FETCH = 60.0
MAX_SECONDS_IDLE = 5  # between two requests of a connection
MAX_SECONDS_TO_END = 3  # after Ctrl-C, for what is being sent


class Connection(H11Protocol):
    """See the module. The seconds are attributes, so that a test need not wait for them."""

    seconds_of_headers = MAX_SECONDS_OF_HEADERS
    seconds_to_fetch = MAX_SECONDS_TO_FETCH
    _headers_due: asyncio.TimerHandle | None = None
    _answer_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answering():
            self._forget_headers()
        elif not self.transport.is_closing():
            self._expect_request()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._answer_due is None:
            self._answer_due = self.loop.call_later(self.seconds_to_fetch, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self._answering():
            self._forget_answer()

    def on_response_complete(self) -> None:
        if not self.flow.write_paused:
            self._forget_answer()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_headers()
        self._forget_answer()
        super().connection_lost(exc)

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_request(self) -> None:
        if self._headers_due is None:
            self._headers_due = self.loop.call_later(self.seconds_of_headers, self.transport.abort)

    def _forget_headers(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
        self._headers_due = None

    def _forget_answer(self) -> None:
        if self._answer_due is not None:
            self._answer_due.cancel()
        self._answer_due = None


def configuration(app: App, **changed: Any) -> Config:
    """How uvicorn runs `app`: these limits, no web sockets, nobody's word about who asks, no lines that strangers cause."""
    settings: dict[str, Any] = {
        "http": Connection,
        "ws": "none",
        "loop": "asyncio",
        "lifespan": "off",
        "interface": "asgi3",
        "proxy_headers": False,
        "server_header": False,
        "access_log": False,
        "log_level": "error",
        "limit_concurrency": MAX_REQUESTS,
        "timeout_keep_alive": MAX_SECONDS_IDLE,
        "timeout_graceful_shutdown": MAX_SECONDS_TO_END,
        "h11_max_incomplete_event_size": MAX_HEADER_BYTES,
    }
    return Config(app, **{**settings, **changed})

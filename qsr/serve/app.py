"""The page's three addresses as an ASGI application.

    GET  /           the page
    GET  /network    what runs: name, scale, bits, bytes, kernels, limits
    POST /upscale    body: a picture file; answer: image/png, with the milliseconds of the network in a header

For one person on one machine: bound to loopback unless told otherwise, and a page of another site can neither read the
answers nor send pictures (the Host header must be ours, and a request of another origin is refused). Bodies are counted
while they arrive; pixels are counted before anything is decoded; one picture is enlarged at a time, a few may wait.
What happens before a request is whole, and to those who do not take their answer, is protocol.py's business.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from qsr.errors import QsrError
from qsr.runtime.model import Model
from qsr.upscale.enlarge import enlarge
from qsr.upscale.picture import Picture, from_bytes
from qsr.upscale.save import save

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 32 << 20  # bytes of a picture file; --max-megabytes
MAX_PIXELS = 4_000_000  # of the picture sent; --max-megapixels
MAX_WAITING = 4  # pictures at once, the one that runs and those whose answer is being fetched included
MAX_SECONDS_TO_SEND = 30.0  # until a whole file has to be here
PIECE = 1 << 16  # bytes of an answer that are handed on at once
SAFE = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Limits:
    """body: bytes of a picture file. pixels: of the picture sent. waiting: requests at once, the running one included.

    hosts: names that a Host header may have, in small letters. seconds: until a whole body has to be here.
    """

    hosts: frozenset[str] = field(default_factory=lambda: frozenset({"127.0.0.1", "localhost", "[::1]"}))
    body: int = MAX_BODY
    pixels: int = MAX_PIXELS
    waiting: int = MAX_WAITING
    seconds: float = MAX_SECONDS_TO_SEND


def application(model: Model, about: dict[str, Any], limits: Limits = Limits()) -> App:
    """The application around one network. about: what /network says besides, plain values."""
    page = resources.files("qsr.serve").joinpath("page.html").read_text(encoding="utf-8")

    async def index(request: Request) -> Response:
        return HTMLResponse(page)

    async def network(request: Request) -> Response:
        shown = {"scale": model.scale, "max_bytes": limits.body, "max_pixels": limits.pixels}
        return JSONResponse({**about, **shown})

    routes = [Route("/", index), Route("/network", network), Route("/upscale", Upscale(model, limits), methods=["POST"])]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False  # /network/ is no address of ours, and is answered like any other
    return _guarded(app, limits.hosts)


class Upscale:
    """POST /upscale. A place is kept until the answer is out: many who do not fetch theirs cannot fill the memory."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self._model, self._limits = model, limits
        self._one_at_a_time = asyncio.Semaphore(1)
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._inside >= self._limits.waiting:
            busy = _refused(503, f"{self._inside} pictures are waiting already; try again in a moment")
            return await busy(scope, receive, send)
        self._inside += 1
        try:
            await _in_pieces(await self._answer(Request(scope, receive)), send)
        finally:
            self._inside -= 1

    async def _answer(self, request: Request) -> Response:
        limits = self._limits
        try:
            async with asyncio.timeout(limits.seconds):
                data = await _body(request, limits.body)
            if data is None:
                return _refused(413, f"the file is larger than {limits.body:,} bytes (qsr serve --max-megabytes)")
            async with self._one_at_a_time:
                if await request.is_disconnected():
                    raise ClientDisconnect
                png, milliseconds, size = await run_in_threadpool(_enlarged, self._model, data, limits.pixels)
        except TimeoutError:
            return _refused(408, f"the file did not arrive within {limits.seconds:g} s", {"Connection": "close"})
        except ClientDisconnect:
            return _refused(400, "the connection was closed before the answer was there")
        except MemoryError:
            return _refused(503, "not enough memory for this picture")
        except QsrError as fault:
            return _refused(422, str(fault))
        about_it = {"X-Milliseconds": f"{milliseconds:.1f}", "X-Width": str(size[0]), "X-Height": str(size[1])}
        return Response(png, media_type="image/png", headers=about_it)


def _guarded(app: App, hosts: frozenset[str]) -> App:
    """`app` for requests that are meant for us and say one thing only; every answer forbids what the page does not need."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await app(scope, receive, send)
        if scope["type"] != "http":
            raise RuntimeError(f"found a {scope['type']}, expected http alone")
        refusal = _refusal(Headers(scope=scope), hosts)

        begun = False

        async def safely(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(SAFE)
            await send(message)

        try:
            await (refusal or app)(scope, receive, safely)
        except asyncio.CancelledError:  # Ctrl-C, and this one would have been waited for
            if begun:
                raise
            await _refused(503, "the server is ending", {"Connection": "close"})(scope, receive, safely)

    return guard


def _refusal(headers: Headers, hosts: frozenset[str]) -> Response | None:
    host, origin = headers.get("host", "").lower(), headers.get("origin")
    if "content-length" in headers and "transfer-encoding" in headers:
        # two lengths of one body: what is the next request to us would be part of this one to another
        return _refused(400, "found Content-Length and Transfer-Encoding, expected one of the two", {"Connection": "close"})
    if _name(host) not in hosts:
        return _refused(421, "this address is not ours: open the one that qsr serve printed", {"Connection": "close"})
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        return _refused(403, "requests of other sites are refused", {"Connection": "close"})
    return None


def _name(host: str) -> str:
    """Host without its port, '' where it is none."""
    try:
        found = "" if "@" in host else urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
    return f"[{found}]" if ":" in found else found


async def _body(request: Request, most: int) -> bytes | None:
    """The whole body; None as soon as it is larger than `most`."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > most:
        return None
    parts, count = [], 0
    async for part in request.stream():
        count += len(part)
        if count > most:
            return None
        parts.append(part)
    return b"".join(parts)


async def _in_pieces(answer: Response, send: Send) -> None:
    """Send it; returns when the last piece has been taken over by the connection."""
    body = memoryview(bytes(answer.body))
    await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
    for at in range(0, len(body), PIECE):
        await send({"type": "http.response.body", "body": bytes(body[at : at + PIECE]), "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _enlarged(model: Model, data: bytes, max_pixels: int) -> tuple[bytes, float, tuple[int, int]]:
    """(PNG, milliseconds of the network, (width, height) of the result)."""
    picture = from_bytes(data, "the picture", max_pixels, "qsr serve --max-megapixels")
    start = time.perf_counter()
    pixels = enlarge(model, picture.pixels)
    milliseconds = 1e3 * (time.perf_counter() - start)
    png = io.BytesIO()
    save(png, Picture(pixels, picture.icc), "png", "served")
    return png.getvalue(), milliseconds, (pixels.shape[1], pixels.shape[0])


def _refused(status: int, why: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(why, status_code=status, headers=headers)

"""The page's three addresses as an ASGI application.

    GET  /           the page
    GET  /network    what runs: name, scale, bits, bytes, kernels, limits
    POST /upscale    body: a picture file; answer: image/png, with the milliseconds of the network in a header

For one person on one machine: bound to loopback unless told otherwise, and a page of another site can neither read the
answers nor send pictures (the Host header must be ours, and a request of another origin is refused). Bodies are counted
while they arrive; pixels are counted before anything is decoded; one picture is enlarged at a time, a few may wait.
"""

from __future__ import annotations

import asyncio
import io
import time
from dataclasses import dataclass, field
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from qsr.errors import QsrError
from qsr.runtime.model import Model
from qsr.upscale.enlarge import enlarge
from qsr.upscale.picture import Picture, from_bytes
from qsr.upscale.save import save

MAX_BODY = 32 << 20
MAX_PIXELS = 4_000_000
WAITING = 4
SECONDS_TO_SEND = 30.0
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

    hosts: names that a Host header may have. seconds: until a whole body has to be here.
    """

    hosts: frozenset[str] = field(default_factory=lambda: frozenset({"127.0.0.1", "localhost", "[::1]"}))
    body: int = MAX_BODY
    pixels: int = MAX_PIXELS
    waiting: int = WAITING
    seconds: float = SECONDS_TO_SEND


def application(model: Model, about: dict[str, Any], limits: Limits = Limits()) -> Starlette:
    """The application around one network. about: what /network says besides, plain values."""
    page = resources.files("qsr.serve").joinpath("page.html").read_text(encoding="utf-8")
    one_at_a_time = asyncio.Semaphore(1)
    inside = 0

    async def index(request: Request) -> Response:
        return HTMLResponse(page)

    async def network(request: Request) -> Response:
        shown = {"scale": model.scale, "max_bytes": limits.body, "max_pixels": limits.pixels}
        return JSONResponse({**about, **shown})

    async def upscale(request: Request) -> Response:
        nonlocal inside
        if inside >= limits.waiting:
            return _refused(503, f"{inside} pictures are waiting already; try again in a moment")
        inside += 1
        try:
            async with asyncio.timeout(limits.seconds):
                data = await _body(request, limits.body)
            if data is None:
                return _refused(413, f"the file is larger than {limits.body:,} bytes (qsr serve --max-megabytes)")
            async with one_at_a_time:
                png, milliseconds, size = await run_in_threadpool(_enlarged, model, data, limits.pixels)
        except TimeoutError:
            return _refused(408, f"the file did not arrive within {limits.seconds:g} s")
        except ClientDisconnect:
            return _refused(400, "the connection was closed before the file was here")
        except QsrError as fault:
            return _refused(422, str(fault))
        finally:
            inside -= 1
        about_it = {"X-Milliseconds": f"{milliseconds:.1f}", "X-Width": str(size[0]), "X-Height": str(size[1])}
        return Response(png, media_type="image/png", headers=about_it)

    routes = [Route("/", index), Route("/network", network), Route("/upscale", upscale, methods=["POST"])]

    async def guard(request: Request, go_on: Any) -> Response:
        host = request.headers.get("host", "")
        origin = request.headers.get("origin")
        if _name(f"//{host}") not in limits.hosts:
            answer: Response = _refused(421, "this address is not ours: open the one that qsr serve printed")
        elif origin is not None and urlsplit(origin).netloc != host:
            answer = _refused(403, "requests of other sites are refused")
        else:
            answer = await go_on(request)
        answer.headers.update(SAFE)
        return answer

    return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)])


def _name(address: str) -> str:
    """Host without its port, '' where it is none."""
    try:
        found = urlsplit(address).hostname or ""
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


def _enlarged(model: Model, data: bytes, max_pixels: int) -> tuple[bytes, float, tuple[int, int]]:
    """(PNG, milliseconds of the network, (width, height) of the result)."""
    picture = from_bytes(data, "the picture", max_pixels)
    start = time.perf_counter()
    pixels = enlarge(model, picture.pixels)
    milliseconds = 1e3 * (time.perf_counter() - start)
    png = io.BytesIO()
    save(png, Picture(pixels, picture.icc), "png", "served")
    return png.getvalue(), milliseconds, (pixels.shape[1], pixels.shape[0])


def _refused(status: int, why: str) -> Response:
    return PlainTextResponse(why, status_code=status)

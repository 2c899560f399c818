"""`qsr serve` over raw sockets: requests that no browser sends. Each is refused or not answered; nothing else happens."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from PIL import Image

from qsr.runtime.model import Model
from qsr.runtime.packed import container
from qsr.serve.app import Limits, application
from tests.runtime.packed.build import conv_net
from tests.serve.live import Live, answer, closed, get, post, request, send, serving

LIMITS = Limits(body=100_000, pixels=10_000, seconds=5)


def png(height: int = 6, width: int = 9) -> bytes:
    file = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    model = Model(*conv_net("w2a2", features=8, blocks=1), threads=1)
    with serving(application(model, {}, LIMITS), seconds_of_headers=2) as made:
        yield made


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


def test_a_picture_comes_back_however_it_is_sent(live: Live) -> None:
    body, said = png(), set()
    for sent in (
        post(body, live.port),
        request("POST", "/upscale", live.port, "Transfer-Encoding: chunked") + chunked(body[:9], body[9:]),
        post(body, live.port, "Expect: 100-continue"),
    ):
        with live.connect() as wire:
            send(wire, sent)
            status, found = answer(wire)
            assert status == 200
            said.add(found.partition(b"\r\n\r\n")[2])
    assert len(said) == 1


# --- sizes ------------------------------------------------------------------------------------------------------------
def test_a_declared_size_is_refused_before_a_byte_of_it(live: Live) -> None:
    for size in (LIMITS.body + 1, 10**12, 10**18):
        status, found = live.ask(request("POST", "/upscale", live.port, f"Content-Length: {size}"))
        assert status == 413
        assert b"larger than 100,000 bytes (qsr serve --max-megabytes)" in found


def test_an_undeclared_size_is_counted(live: Live) -> None:
    head = request("POST", "/upscale", live.port, "Transfer-Encoding: chunked")
    assert live.ask(head + chunked(*[b"x" * 9000] * 12))[0] == 413
    assert live.ask(head + chunked(*[b"x"] * 3000))[0] == 422  # small, and no picture


def test_a_length_that_lies(live: Live) -> None:
    body = png()
    short, long = post(body, live.port), post(body, live.port)
    short = short.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % (len(body) - 30))
    with live.connect() as wire:
        send(wire, short)  # what is left over is no request
        assert answer(wire)[0] == 422
        assert closed(wire)
    long = long.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % (len(body) + 30))
    with live.connect() as wire:
        send(wire, long)
        wire.shutdown(socket.SHUT_WR)
        assert answer(wire)[0] in (0, 400)


# --- what no browser says ---------------------------------------------------------------------------------------------
def said(first: str, *headers: str | bytes, body: bytes = b"") -> bytes:
    """A request to the right host (%h), line by line."""
    lines = [first.encode(), b"%h", *(line.encode() if isinstance(line, str) else line for line in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


GET, POST, CHUNKS = "GET / HTTP/1.1", "POST /upscale HTTP/1.1", "Transfer-Encoding: chunked"
WEB_SOCKET = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiYw==",
)
HTTP_2 = ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk")
# request, and the statuses that will do; 0 is a connection that ends without an answer
ODD: dict[str, tuple[bytes, set[int]]] = {
    "smuggled: length and chunks": (said(POST, "Content-Length: 4", CHUNKS, body=b"0\r\n\r\n" + said(GET)), {400}),
    "smuggled: two lengths": (said(POST, "Content-Length: 4", "Content-Length: 40", body=b"abcd"), {400}),
    "smuggled: chunks by another name": (said(POST, "Transfer-Encoding: xchunked"), {400, 501}),
    "smuggled: chunks twice": (said(POST, CHUNKS, "Transfer-Encoding: identity", body=b"0\r\n\r\n"), {400, 501}),
    "a folded header": (said(GET, "X-A: b\r\n Content-Length: 9"), {200, 400}),
    "a blank before the colon": (said(POST, "Content-Length : 4", body=b"abcd"), {400}),
    "a negative length": (said(POST, "Content-Length: -4"), {400}),
    "a length that is no number": (said(POST, "Content-Length: 4e9"), {400}),
    "a length of many digits": (said(POST, "Content-Length: " + "9" * 5000), {400, 413}),
    "a chunk of many digits": (said(POST, CHUNKS, body=b"f" * 40 + b"\r\n"), {0, 400}),
    "a negative chunk": (said(POST, CHUNKS, body=b"-5\r\n"), {0, 400}),
    "two hosts": (said(GET, "Host: evil.example"), {400}),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", {400}),
    "an older protocol without a host": (b"GET / HTTP/1.0\r\n\r\n", {421}),
    "another host": (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", {421}),
    "a name in front of the host": (b"GET / HTTP/1.1\r\nHost: evil@127.0.0.1\r\n\r\n", {421}),
    "half an address": (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", {400, 421}),
    "a host behind it": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", {421}),
    "another origin": (said(GET, "Origin: http://evil.example"), {403}),
    "an origin that is none": (said(GET, "Origin: null"), {403}),
    "half an origin": (said(GET, "Origin: http://["), {403}),
    "an origin with another port": (said(GET, "Origin: http://127.0.0.1:3000"), {403}),
    "many headers": (said(GET, *["X-A: b"] * 30_000), {0, 400}),
    "a huge header": (said(GET, "X-A: " + "b" * 300_000), {0, 400}),
    "a header with a zero": (said(GET, b"X-A: b\0c"), {400}),
    "a header that answers": (said(GET, b"X-A: b\rSet-Cookie: c"), {400}),
    "no protocol": (b"GET /\r\n\r\n", {400}),
    "another protocol": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {0, 400, 404, 405, 421, 505}),
    "a later protocol": (said("GET / HTTP/9.9"), {200, 400, 505}),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2, {0, 400}),
    "zeros": (bytes(20_000), {0, 400}),
    "letters without end": (b"a" * 200_000, {0, 400}),
    "a web socket": (said(GET, *WEB_SOCKET), {200, 426}),
    "an upgrade to HTTP/2": (said(GET, *HTTP_2), {200, 426}),
    "a proxy's word": (said("GET /network HTTP/1.1", "X-Forwarded-For: 8.8.8.8", "X-Forwarded-Host: evil.example"), {200}),
    "a request through us": (said("GET http://evil.example/ HTTP/1.1"), {404, 400}),
    "a tunnel": (said("CONNECT evil.example:443 HTTP/1.1"), {400, 404, 405}),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_requests_are_refused_and_the_page_goes_on(live: Live, name: str) -> None:
    sent, statuses = ODD[name]
    with live.connect() as wire:
        send(wire, sent.replace(b"%h", f"Host: 127.0.0.1:{live.port}".encode()))
        status, found = answer(wire)
        assert status in statuses, found[:300]
        assert b"Traceback" not in found
        assert found.count(b"HTTP/1.1 ") <= 1, "a second request was read out of the first"
    assert live.alive()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get", "X" * 3000])
def test_other_methods_are_refused(live: Live, method: str) -> None:
    for path in ("/", "/network", "/upscale"):
        assert live.ask(request(method, path, live.port, "Content-Length: 0"))[0] in (400, 405)
    assert live.ask(get("/upscale", live.port))[0] == 405
    assert live.ask(post(b"", live.port, path="/"))[0] == 405


# --- paths ------------------------------------------------------------------------------------------------------------
PATHS = [
    "/../../../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd", "/....//....//etc/passwd",
    "//etc/passwd", "/\\..\\..\\etc\\passwd", "/%5c..%5c..%5cetc", "/file:///etc/passwd", "/etc/passwd%00.png", "/%00",
    "/page.html", "/app.py", "/static/../app.py", "/upscale/../../app.py", "/network%00", "/%c0%ae%c0%ae/etc/passwd",
    "/%252e%252e/etc/passwd", "/" + "a" * 12_000, "/" + "../" * 3000, "/" + "%2e%2e%2f" * 1200, "/canary.txt", "/./canary.txt",
    "/%", "/%zz", "/network/", "/network//", "/~root", "/.git/config", "/proc/self/environ", "/dev/zero",
]  # fmt: skip


@pytest.mark.drill("F8")
def test_no_path_is_a_file(live: Live, drill) -> None:
    """Every odd path, then parts of them put together at random."""
    parts = ["..", "%2e%2e", "%2f", "/", "//", "\\", "etc", "passwd", "%00", "canary.txt", "network", "upscale", ".", "?", "%"]
    for number in drill.rounds(push=len(PATHS) + 60, nightly=10_000):
        built = "/" + "".join(drill.random.choices(parts, k=drill.random.randrange(1, 12)))
        path = PATHS[number] if number < len(PATHS) else built
        status, found = live.ask(get(path, live.port))
        # "/" and "/network" themselves, whatever is asked of them
        if path.partition("?")[0] in ("/", "/network"):
            continue
        if status not in (400, 404, 405) or b"root:" in found:
            drill.fail(f"{path!r} was answered {status}: {found[:200]!r}", path, ".txt")
    assert live.alive()


# --- many at once -----------------------------------------------------------------------------------------------------
def test_many_at_once_are_done_or_told_to_wait(live: Live) -> None:
    body, found = png(90, 90), []

    def work() -> None:
        for _ in range(4):
            found.append(live.ask(post(body, live.port))[0])

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 48
    assert set(found) <= {200, 503}
    assert found.count(200) >= 4
    assert live.ask(post(body, live.port))[0] == 200, "places are given back"


def test_places_are_given_back_however_a_request_ends(live: Live) -> None:
    body = png(60, 60)
    for number in range(3 * LIMITS.waiting):
        with live.connect() as wire:
            if number % 3 == 0:  # gone before the file is here
                send(wire, post(body, live.port)[:-40])
            elif number % 3 == 1:  # gone before the answer
                send(wire, post(body, live.port))
            else:
                send(wire, post(b"no picture", live.port))
                assert answer(wire)[0] in (422, 503)
    status = 503
    for _ in range(100):
        if (status := live.ask(post(body, live.port))[0]) != 503:
            break
    assert status == 200


@pytest.mark.drill("F8")
def test_no_byte_of_a_request_breaks_the_server(live: Live, drill) -> None:
    """Bytes changed, left out, doubled: an answer of a known status or none, and never 500."""
    body = png()
    whole = [
        post(body, live.port),
        get("/network", live.port),
        request("POST", "/upscale", live.port, "Transfer-Encoding: chunked") + chunked(body),
    ]
    for _ in drill.rounds(push=100, nightly=20_000):
        changed = bytearray(drill.random.choice(whole))
        for _ in range(drill.random.randrange(1, 5)):
            at = drill.random.randrange(len(changed))
            how = drill.random.randrange(3)
            if how == 0:
                changed[at] = drill.random.randrange(256)
            elif how == 1:
                del changed[at : at + drill.random.randrange(1, 20)]
            else:
                changed[at:at] = changed[at : at + drill.random.randrange(1, 20)]
        with live.connect() as wire:
            send(wire, bytes(changed))
            wire.shutdown(socket.SHUT_WR)
            status, found = answer(wire)
        if status not in (0, 200, 400, 403, 404, 405, 408, 413, 421, 422, 501, 503, 505) or b"Traceback" in found:
            drill.fail(f"answered {status}: {found[:200]!r}", bytes(changed))
    assert live.alive()


# --- files ------------------------------------------------------------------------------------------------------------
WATCHED = """
import json, os, sys
seen = []
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
OTHERS = ("os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.truncate", "os.chmod", "shutil.", "tempfile.",
          "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.getaddrinfo")
def hook(name, arguments):
    if name == "open":
        path, _, flags = arguments
        writes = isinstance(flags, int) and flags & WRITING
        if (writes and str(path) != os.devnull) or "canary" in str(path):
            seen.append([name, str(path)])
    elif name.startswith(OTHERS):
        seen.append([name, str(arguments)[:200]])
sys.addaudithook(hook)
from qsr.cli.main import main
try:
    main()
finally:
    print("SEEN " + json.dumps(seen), file=sys.stderr)
"""


@pytest.mark.drill("F8")
def test_nothing_is_written_and_nobody_is_called(tmp_path: Path, repository: Path) -> None:
    """From its start to its end the process opens no file for writing, makes no folder, starts nothing and calls nobody."""
    container.write(tmp_path / "small.qsr", *conv_net("w2a2", features=8, blocks=1))
    here = tmp_path / "here"
    here.mkdir()
    (here / "canary.txt").write_text("root:canary")
    command = [sys.executable, "-B", "-c", WATCHED, "serve", "-m", str(tmp_path / "small.qsr"), "--port", "0", "--threads", "1"]
    process = subprocess.Popen(
        command,
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(repository), "PYTHONUNBUFFERED": "1", "TMPDIR": str(here)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("http://127.0.0.1:"), process.communicate(timeout=10)
    port = int(line.split("/")[2].rpartition(":")[2])
    there = Live(port, None)  # type: ignore[arg-type]
    assert there.ask(post(png(), port))[0] == 200
    assert there.ask(post(b"no picture", port))[0] == 422
    assert all(there.ask(get(path, port))[0] in (400, 404) for path in PATHS)
    # one who waits for nothing must not keep it from ending
    with there.connect() as held:
        send(held, request("POST", "/upscale", port, "Content-Length: 5000"))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
    seen = json.loads(errors.partition("SEEN ")[2].splitlines()[0])
    assert seen == []
    assert [path.name for path in here.iterdir()] == ["canary.txt"]

"""`qsr serve` as a process, and the page in a real browser: a file chosen, before and after, the slider, the milliseconds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from PIL import Image

from qsr.errors import EnvironmentFault
from qsr.runtime.packed import container
from qsr.serve.run import Settings, is_loopback, serve
from tests.runtime.packed.build import conv_net

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serve") / "small.qsr"
    container.write(path, *conv_net("w2a2", features=8, blocks=1))
    return path


@pytest.fixture(scope="module")
def address(packed: Path) -> Iterator[str]:
    """Of a server in a process of its own, in an empty folder; it ends without a trace at Ctrl-C."""
    command = [sys.executable, "-m", "qsr.cli.main", "serve", "-m", str(packed), "--port", "0", "--threads", "1"]
    folder = packed.parent / "empty"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "PYTHONUNBUFFERED": "1"}
    # a shell in the background ignores Ctrl-C for its children; this one has to hear it
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("http://127.0.0.1:"), process.communicate(timeout=10)
    yield line.split()[0]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors
    assert list(folder.iterdir()) == []


def test_it_listens_on_loopback_only_and_says_what_runs(address: str):
    with urllib.request.urlopen(f"{address}network", timeout=20) as answer:
        found = json.load(answer)
    assert (found["name"], found["scale"]) == ("small", 2)
    port = int(address.rstrip("/").rpartition(":")[2])
    own = _outward_address()
    if own is None:
        pytest.skip("this machine has no address but loopback")
    with socket.socket() as other:
        other.settimeout(5)
        assert other.connect_ex((own, port)) != 0


def _outward_address() -> str | None:
    """The address that other machines would use; connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))  # of the block that is kept for documentation
        except OSError:
            return None
        own = str(asking.getsockname()[0])
    return None if is_loopback(own) else own


def test_a_port_in_use_is_one_line(packed: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=f"127.0.0.1:{port}.*cannot listen"):
            serve(Settings(str(packed), None, "127.0.0.1", port, 1, 1 << 20, 1000), lambda line: None)


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("name", False)]
)
def test_loopback_is_known(host: str, loopback: bool):
    assert is_loopback(host) is loopback


class Browser:
    """The few WebDriver commands that are needed (https://www.w3.org/TR/webdriver2/)."""

    def __init__(self, port: int, folder: Path) -> None:
        self.base = f"http://127.0.0.1:{port}"
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}"]
        wanted = {"goog:chromeOptions": {"binary": CHROMIUM, "args": [*flags, "--window-size=1000,900"]}}
        self.base += f"/session/{self('POST', '/session', {'capabilities': {'alwaysMatch': wanted}})['sessionId']}"

    def __call__(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def find(self, selector: str) -> str:
        found = self("POST", "/element", {"using": "css selector", "value": selector})
        return str(next(iter(found.values())))

    def run(self, script: str) -> Any:
        return self("POST", "/execute/sync", {"script": script, "args": []})

    def wait(self, script: str) -> Any:
        look = f"const x = (() => {{ {script} }})(); x ? done(x) : setTimeout(look, 50);"
        waiting = f"const done = arguments[0]; const look = () => {{ {look} }}; look()"
        return self("POST", "/execute/async", {"script": waiting, "args": []})


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "HOME": str(tmp_path)}
    driver = subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        for _ in range(200):
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", port)) == 0:
                    break
            signal.sigtimedwait([], 0.05)
        found = Browser(port, tmp_path / "profile")
        yield found
        found("DELETE", "")
    finally:
        driver.terminate()
        driver.wait(20)


def test_a_person_chooses_a_picture_and_moves_the_slider(address: str, browser: Browser, tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "holiday.png")
    browser("POST", "/url", {"url": address})
    assert "small, x2, w2a2" in browser.wait("return document.querySelector('#network').textContent")
    browser("POST", f"/element/{browser.find('#file')}/value", {"text": str(tmp_path / "holiday.png")})
    said = browser.wait("const t = document.querySelector('#message').textContent; return / ms$/.test(t) && t")
    assert said.startswith("120 x 80 in ")
    sizes = "return ['after', 'before'].map(i => document.getElementById(i)).map(i => [i.naturalWidth, i.naturalHeight])"
    browser.wait("return [...document.querySelectorAll('#stage img')].every(i => i.complete && i.naturalWidth)")
    assert browser.run(sizes) == [[120, 80], [60, 40]]
    assert browser.run("return document.querySelector('#save').download") == "holiday_x2.png"
    slider = browser.find("#slider")
    browser("POST", f"/element/{slider}/value", {"text": "\ue012" * 5})  # arrow left
    cut = "return getComputedStyle(document.querySelector('#stage')).getPropertyValue('--cut')"
    assert browser.run(cut) == "49.5%"
    browser("POST", f"/element/{browser.find('#stage')}/click", {})  # the middle of the picture
    assert abs(float(browser.run(cut).rstrip("%")) - 50) < 0.2
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


def test_a_broken_picture_says_why_on_the_page(address: str, browser: Browser, tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    browser("POST", "/url", {"url": address})
    browser.wait("return document.querySelector('#network').textContent")
    browser("POST", f"/element/{browser.find('#file')}/value", {"text": str(tmp_path / "broken.png")})
    said = browser.wait("const m = document.querySelector('#message'); return m.className === 'bad' && m.textContent")
    assert "the picture" in said
    assert browser.run("return document.querySelector('#result').hidden")

"""The page's addresses: what is enlarged, and everything that is refused, each with its reason."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx2")

from PIL import Image
from starlette.testclient import TestClient

from qsr.runtime.model import Model
from qsr.serve.app import Limits, application
from tests.runtime.packed.build import conv_net

ABOUT = {"name": "net", "bits": "w2a2", "kernels": "portable", "bytes": 1}


def png(height: int = 6, width: int = 9, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, len(mode)), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(), mode).save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(*conv_net("w2a2", features=8, blocks=1), threads=1)


@pytest.fixture
def client(model: Model) -> TestClient:
    return TestClient(application(model, ABOUT, Limits(body=4096, pixels=100)), base_url="http://127.0.0.1:8470")


def test_a_picture_comes_back_enlarged_with_the_milliseconds(client: TestClient, model: Model):
    answer = client.post("/upscale", content=png())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert float(answer.headers["x-milliseconds"]) > 0
    assert (answer.headers["x-width"], answer.headers["x-height"]) == ("18", "12")
    found = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert np.array_equal(found, model.upscale(np.asarray(Image.open(io.BytesIO(png())))))


def test_alpha_and_grey_are_kept(client: TestClient):
    for mode in ("L", "RGBA"):
        answer = client.post("/upscale", content=png(mode=mode))
        assert Image.open(io.BytesIO(answer.content)).mode == mode


def test_the_page_and_what_runs(client: TestClient):
    page = client.get("/")
    assert page.status_code == 200
    assert "Drop a picture" in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", ""), "the page must not fetch from anywhere"
    assert client.get("/network").json() == {**ABOUT, "scale": 2, "max_bytes": 4096, "max_pixels": 100}


@pytest.mark.parametrize("path", ["/etc/passwd", "/../../etc/passwd", "/%2e%2e/qsr/serve/app.py", "/page.html", "/upscale/x"])
def test_there_are_no_files_behind_the_addresses(client: TestClient, path: str):
    assert client.get(path).status_code in (404, 405)


def test_every_answer_forbids_what_the_page_does_not_need(client: TestClient):
    for answer in (client.get("/"), client.get("/nothing"), client.post("/upscale", content=b"x")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("body", [b"", b"not a picture", png()[:-20], b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_what_is_no_picture_is_one_line(client: TestClient, body: bytes):
    answer = client.post("/upscale", content=body)
    assert answer.status_code == 422
    assert len(answer.text.splitlines()) == 1


def test_a_large_body_is_refused_whether_or_not_it_says_so(client: TestClient):
    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    for content in (b"x" * 5000, chunks()):
        answer = client.post("/upscale", content=content)
        assert answer.status_code == 413
        assert "4,096 bytes" in answer.text


def test_many_pixels_in_few_bytes_are_refused(client: TestClient):
    blank = io.BytesIO()
    Image.new("RGB", (200, 200)).save(blank, "png")
    assert len(blank.getvalue()) < 4096
    answer = client.post("/upscale", content=blank.getvalue())
    assert answer.status_code == 422
    assert "100" in answer.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8470", "127.0.0.1.evil.example", "", "127.0.0.1@evil.example"])
def test_another_hosts_name_is_refused(client: TestClient, host: str):
    assert client.get("/", headers={"host": host}).status_code == 421


def test_another_sites_page_may_not_post(client: TestClient):
    assert client.post("/upscale", content=png(), headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post("/upscale", content=png(), headers={"origin": "null"}).status_code == 403
    assert client.post("/upscale", content=png(), headers={"origin": "http://127.0.0.1:8470"}).status_code == 200


def test_only_so_many_wait(model: Model, monkeypatch: pytest.MonkeyPatch):
    from qsr.serve import app

    entered, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> tuple[bytes, float, tuple[int, int]]:
        entered.set()
        assert go_on.wait(20)
        return b"png", 1.0, (1, 1)

    monkeypatch.setattr(app, "_enlarged", slow)
    found: list[int] = []
    with TestClient(application(model, ABOUT, Limits(waiting=1)), base_url="http://localhost") as client:
        first = threading.Thread(target=lambda: found.append(client.post("/upscale", content=b"x").status_code))
        first.start()
        assert entered.wait(20)
        assert client.post("/upscale", content=b"x").status_code == 503
        go_on.set()
        first.join(20)
        assert found == [200]
        assert client.post("/upscale", content=b"x").status_code == 200

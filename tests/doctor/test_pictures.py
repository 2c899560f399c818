"""Metrics, resize and decoders: healthy here, and found out where they are loosened."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFile

from qsr.data import formats, golden_resize, image, resize
from qsr.doctor.pictures import check_decoder, check_metrics, check_resize, damages, samples
from qsr.evaluate import golden, metrics


def test_this_installation_is_healthy():
    for check in (check_metrics, check_resize, check_decoder):
        found = check()
        assert found.status == "ok", found


# --- metrics --------------------------------------------------------------------------------------------------------------
def test_a_metric_with_another_constant_is_found(monkeypatch):
    monkeypatch.setattr(metrics, "C2", metrics.C2 * 1.001)
    found = check_metrics()
    assert found.status == "fail"
    assert "of 192 values differ; SSIM of " in found.found


def test_other_golden_values_are_found(monkeypatch, tmp_path):
    changed = tmp_path / "golden.json"
    changed.write_text(golden.FILE.read_text().replace("35.47332483383546", "35.47332493383546"))
    monkeypatch.setattr(golden, "FILE", changed)
    found = check_metrics()
    assert found.status == "fail"
    assert len(found.facts["problems"]) == 4


# --- resize ---------------------------------------------------------------------------------------------------------------
def test_a_resize_that_does_not_round_between_the_axes_is_found(monkeypatch):
    real = resize.imresize
    monkeypatch.setattr(resize, "imresize", lambda x, scale, mode, backend: real(x, scale, "float", backend))
    found = check_resize()
    assert found.status == "fail"
    assert found.found.startswith("34 of 42 pictures differ; noise x2 by numpy: 259 of 1188 bytes differ")


def test_other_golden_bytes_are_found(monkeypatch, tmp_path):
    changed = tmp_path / "golden.json"
    picture = golden_resize.measure()["noise x2"].copy()
    picture[0, 0, 0] ^= 1
    text = golden_resize.json.dumps({"noise x2": golden_resize.encoded(picture)})
    changed.write_text(text)
    monkeypatch.setattr(golden_resize, "FILE", changed)
    assert check_resize().status == "fail"


# --- decoders -------------------------------------------------------------------------------------------------------------
def test_a_decoder_that_accepts_truncation_is_found(monkeypatch):
    monkeypatch.setattr(image, "check_whole", lambda data, picture: None)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    found = check_decoder()
    assert found.status == "fail"
    assert "is decoded as if it were whole" in found.found


@pytest.mark.parametrize(
    ("loosened", "accepted"),
    [("_find_jpeg_end", "a JPEG that ends in zeros"), ("_walk_png", "a PNG without its last byte")],
)
def test_a_container_that_is_not_walked_is_found(monkeypatch, loosened: str, accepted: str):
    """Pillow alone lets these through; it refuses the rest."""
    monkeypatch.setattr(formats, loosened, lambda data: None)
    assert check_decoder().found == f"{accepted} is decoded as if it were whole"


def test_a_decoder_that_changes_pixels_is_found(monkeypatch):
    real = image.decode
    monkeypatch.setattr(image, "decode", lambda data, where: real(data, where) ^ 1)
    found = check_decoder()
    assert (found.status, found.found) == ("fail", "a whole PNG decodes to other pixels than were encoded")


def test_damages_are_damages():
    kinds = []
    for kind, content, pixels in samples():
        kinds.append(kind)
        altered = list(damages(kind, content))
        assert len(altered) >= 4
        assert all(data != content for _, data in altered)
        assert pixels is None or (pixels.dtype == np.uint8 and pixels.ndim == 3)
    assert {"PNG", "JPEG"} <= set(kinds)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WebP", "16-bit PNG"])
def test_a_kind_that_is_let_through_is_named(monkeypatch, kind: str):
    if kind not in [name for name, _, _ in samples()]:
        pytest.skip(f"this pillow writes no {kind}")
    real = image.decode

    def lenient(data, where):
        if where.startswith(f"a {kind} "):
            return np.zeros((1, 1, 3), np.uint8)
        return real(data, where)

    monkeypatch.setattr(image, "decode", lenient)
    assert check_decoder().found.startswith(f"a {kind} cut to 30%")

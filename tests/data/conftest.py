"""Small made pictures and folders of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image


def _picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Blocks of colour with noise: compresses a little, differs everywhere. (h, w, 3) uint8."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3))
    smooth = np.kron(blocks, np.ones((4, 4, 1)))[:height, :width]
    return np.clip(smooth + rng.integers(-8, 9, (height, width, 3)), 0, 255).astype(np.uint8)


def _encode(image: np.ndarray, kind: str) -> bytes:
    """`kind`: PNG, PNG16, JPEG, WebP, WebP-lossy, BMP, TIFF, TIFF-lzw or TIFF16."""
    if kind.endswith("16"):
        wide = image[:, :, ::-1].astype(np.uint16) * 257
        return cv2.imencode(".png" if kind == "PNG16" else ".tiff", wide)[1].tobytes()
    extra = {"WebP": {"lossless": True}, "TIFF-lzw": {"compression": "tiff_lzw"}}.get(kind, {})
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind.split("-")[0], **extra)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def picture() -> Callable[..., np.ndarray]:
    return _picture


@pytest.fixture(scope="session")
def encode() -> Callable[[np.ndarray, str], bytes]:
    return _encode


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """make_folder("HR", a=(12, 16), b=(20, 8)): a folder of PNG pictures of these sizes below tmp_path."""

    def make(name: str, **sizes: tuple[int, int]) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed, (stem, size) in enumerate(sizes.items()):
            (folder / f"{stem}.png").write_bytes(_encode(_picture(*size, seed), "PNG"))
        return folder

    return make

"""Windows of pictures of any size in the graph, held against qsr.archs.windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from qsr.archs import windows as torch_windows  # noqa: E402
from qsr.export.onnx_builder import Builder  # noqa: E402
from qsr.export.onnx_swin import Windows  # noqa: E402

WINDOW = 4
SIZES = [(4, 4), (5, 6), (1, 1), (9, 3)]


def run(make, x: np.ndarray, rank: int = 4) -> np.ndarray:
    """What `make(graph, windows)` gives for x, (n, 3, h, w); the graph does not know the size."""
    graph = Builder()
    windows = Windows(graph, graph.input("x", ("n", 3, "h", "w")), WINDOW)
    graph.output(make(graph, windows), "y", [f"size_{axis}" for axis in range(rank)])
    model = graph.model("a", "1", {})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def picture(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).random((2, 3, *size), np.float32)


def last(x: np.ndarray) -> torch.Tensor:
    return torch_windows.pad_to_windows(torch.from_numpy(x), WINDOW).permute(0, 2, 3, 1)


@pytest.mark.parametrize("size", SIZES)
def test_padding_partition_and_merge(size: tuple[int, int]) -> None:
    x = picture(size)
    assert np.array_equal(run(lambda g, w: g("Identity", w.padded), x), last(x).permute(0, 3, 1, 2).numpy())
    cut = run(lambda g, w: w.partition(g("Transpose", w.padded, perm=[0, 2, 3, 1]), 3), x, rank=3)
    assert np.array_equal(cut, torch_windows.partition(last(x), WINDOW).numpy())
    back = run(lambda g, w: w.merge(w.partition(g("Transpose", w.padded, perm=[0, 2, 3, 1]), 3), 3), x)
    assert np.array_equal(back, last(x).numpy())


@pytest.mark.parametrize("size", SIZES)
def test_roll_and_mask_and_crop(size: tuple[int, int]) -> None:
    x = picture(size)
    for by in (2, -2):
        rolled = run(lambda g, w, by=by: w.roll(g("Transpose", w.padded, perm=[0, 2, 3, 1]), by), x)
        assert np.array_equal(rolled, last(x).roll((by, by), (1, 2)).numpy())
    mask = run(lambda g, w: w.mask(2), x, rank=5)
    expected = torch_windows.shift_mask(*last(x).shape[1:3], WINDOW, 2, torch.zeros(1))
    assert np.array_equal(mask[0, :, 0], expected.numpy())
    cropped = run(lambda g, w: w.crop(w.padded, 1), x)
    assert np.array_equal(cropped, x)

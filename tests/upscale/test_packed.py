"""The whole way with real packed networks, tiny ones: what is in the file is what the runtime gives for the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from upscale_fakes import colours

from qsr.data.image import read_image
from qsr.runtime.model import Model, load
from qsr.runtime.packed.container import write
from qsr.upscale import large
from qsr.upscale.batch import How, run
from qsr.upscale.enlarge import Way
from qsr.upscale.names import plan
from tests.runtime.packed.build import conv_net, swin_net


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("nets")
    made = {
        "w2a2": conv_net("w2a2", features=8, blocks=1),
        "mean": conv_net("w1a1m", features=8, blocks=1),  # looks at the whole picture
        "swin": swin_net("w4a4"),
    }
    for name, net in made.items():
        write(folder / f"{name}.qsr", *net)
    return {name: load(folder / f"{name}.qsr", threads=1) for name in made}


def enlarged(model: Model, folder: Path, name: str, pixels: np.ndarray, way: Way = Way()) -> np.ndarray:  # noqa: B008
    """By the batch, through files."""
    source = folder / name
    if pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    Image.fromarray(pixels).save(source)
    made = plan([str(source)], f"{folder}/out/", model.scale, None)
    (outcome,) = run(model, made.jobs, How("mark", way, overwrite=True), lambda outcome: None)
    assert outcome.state == "done", outcome.line()
    return read_image(outcome.job.target)


@pytest.mark.parametrize("name", ["w2a2", "mean", "swin"])
def test_files_hold_what_the_runtime_gives(nets: dict[str, Model], tmp_path: Path, name: str) -> None:
    pixels = colours(21, 34)
    made = enlarged(nets[name], tmp_path, "a.png", pixels)
    assert np.array_equal(made, nets[name].upscale(pixels))


@pytest.mark.parametrize("tile", ["auto", 16])
def test_streamed_is_the_whole(
    nets: dict[str, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile: int | str
) -> None:
    pytest.importorskip("pyvips")
    pixels = colours(150, 34, 4)
    whole = enlarged(nets["w2a2"], tmp_path, "a.png", pixels)
    monkeypatch.setattr(large, "STREAM_BYTES", 1)
    monkeypatch.setattr(large, "STRIP_BYTES", 1)
    assert np.array_equal(enlarged(nets["w2a2"], tmp_path, "a.png", pixels, Way(tile=tile)), whole)


def test_a_network_that_looks_at_the_whole_picture_is_not_streamed(
    nets: dict[str, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyvips")
    monkeypatch.setattr(large, "STREAM_BYTES", 1)
    with pytest.raises(AssertionError, match="looks at the whole picture at once"):
        enlarged(nets["mean"], tmp_path, "a.png", colours(20, 20))


def test_ensemble_and_grey(nets: dict[str, Model], tmp_path: Path) -> None:
    model, pixels = nets["w2a2"], colours(18, 25, 1)
    rgb = pixels.repeat(3, axis=2)
    expected = model.upscale(rgb).sum(axis=2, keepdims=True) / 3
    assert np.array_equal(enlarged(model, tmp_path, "a.png", pixels), np.rint(expected))
    views = []
    for flip in (False, True):
        for turns in range(4):
            view = np.rot90(rgb[:, ::-1] if flip else rgb, turns).astype(np.float32) / np.float32(255)
            made = np.rot90(model.upscale(np.ascontiguousarray(view)), -turns)
            views.append(made[:, ::-1] if flip else made)
    mean = np.mean(views, axis=0).mean(axis=2, keepdims=True) * 255
    assert np.abs(enlarged(model, tmp_path, "a.png", pixels, Way(ensemble=True)) - mean).max() < 0.51

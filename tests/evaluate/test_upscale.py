from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from qsr.errors import DataError, EnvironmentFault, NumericalError, OptionsError
from qsr.evaluate import tiling
from qsr.evaluate.upscale import Upscaler, pick_device, upscale
from tests.drill import NIGHTLY


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_every_grey_level_survives_the_way_in_and_out(networks):
    lr = np.arange(256 * 3, dtype=np.uint8).reshape(16, 16, 3)
    assert np.array_equal(upscale(networks.Enlarge(3), lr), lr.repeat(3, 0).repeat(3, 1))


def test_output_is_clamped_then_rounded(networks):
    lr = np.array([[[0, 100, 200]]], np.uint8)
    assert upscale(networks.Enlarge(1, gain=1.5), lr).tolist() == [[[0, 150, 255]]]
    assert upscale(networks.Enlarge(1, gain=-1.0), lr).tolist() == [[[0, 0, 0]]]
    assert upscale(networks.Enlarge(1, gain=0.996), lr).tolist() == [[[0, 100, 199]]]


@pytest.mark.drill("M2")
@pytest.mark.parametrize("seed", range(100 if NIGHTLY else 10))
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_tiles_equal_the_whole_picture_bit_for_bit(networks, scale, seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(5, 90, 2)
    network = networks.TinyConv(scale, feats=int(rng.choice([4, 8, 12])), blocks=int(rng.integers(1, 4)), seed=seed)
    lr = picture(height, width, seed)
    whole = upscale(network, lr, tile=None)
    for tile in rng.integers(1, 60, 2):
        assert np.array_equal(upscale(network, lr, tile=max(int(tile), 12)), whole)


def test_without_the_exact_mode_tiles_are_only_close(networks):
    network, lr = networks.TinyConv(2, feats=8, levels=None), picture(70, 83)
    whole, tiled = (Upscaler(network, tile=tile, exact=False)(lr).astype(int) for tile in (None, 24))
    assert abs(whole - tiled).max() <= 1


def test_an_overlap_below_the_receptive_field_would_show(networks):
    network, lr = networks.TinyConv(2, blocks=3), picture(60, 60)
    whole = upscale(network, lr, tile=None)
    network.receptive_field -= 3
    assert not np.array_equal(upscale(network, lr, tile=20), whole)


def test_self_ensemble_is_the_mean_of_eight_before_rounding(networks):
    network, lr = networks.TinyConv(2, levels=None), picture(9, 12)
    x = torch.from_numpy(lr).permute(2, 0, 1)[None] / 255
    outputs = []
    with torch.no_grad():
        for flip in (False, True):
            for turns in range(4):
                view = np.rot90(np.flip(x.numpy(), 3) if flip else x.numpy(), turns, (2, 3)).copy()
                back = np.rot90(network(torch.from_numpy(view)).numpy(), -turns, (2, 3))
                outputs.append(np.flip(back, 3) if flip else back)
    expected = np.round(np.clip(np.mean(outputs, 0), 0, 1)[0].transpose(1, 2, 0) * 255)
    found = upscale(network, lr, self_ensemble=True)
    assert abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.01
    assert not np.array_equal(found, upscale(network, lr))
    turned = upscale(network, np.ascontiguousarray(lr[:, ::-1]), self_ensemble=True)[:, ::-1]
    assert abs(turned.astype(int) - found).max() <= 1
    assert np.array_equal(upscale(network, lr, self_ensemble=True, tile=5), found)


class Limited(torch.nn.Module):
    """Runs out of memory above `limit` LR pixels, and remembers what it was given."""

    def __init__(self, inner: torch.nn.Module, limit: int) -> None:
        super().__init__()
        self.inner, self.limit, self.seen = inner, limit, []
        self.scale, self.window, self.receptive_field = inner.scale, 1, inner.receptive_field

    def forward(self, x):
        self.seen.append(tuple(x.shape[2:]))
        if x.shape[2] * x.shape[3] > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inner(x)


@pytest.mark.drill("M4")
def test_auto_halves_on_out_of_memory_and_says_so(networks, caplog):
    lr = picture(80, 100)
    expected = upscale(networks.Enlarge(), lr)
    upscaler = Upscaler(Limited(networks.Enlarge(), limit=2000))
    with caplog.at_level(logging.INFO, "qsr"):
        assert np.array_equal(upscaler(lr), expected)
    assert upscaler.tiles_used == {25}
    assert [record.args for record in caplog.records] == [("none", 50), (50, 25), (100, 80, 25)]


@pytest.mark.drill("M4")
def test_auto_gives_up_with_one_sentence(networks, monkeypatch):
    monkeypatch.setattr(tiling, "bytes_per_pixel", lambda network: 1.0)
    with pytest.raises(EnvironmentFault, match=r"100x80 at tile 25.*smaller network"):
        Upscaler(Limited(networks.Enlarge(), limit=100))(picture(80, 100))


@pytest.mark.drill("M4")
@pytest.mark.parametrize("tile", [None, 64])
def test_a_tile_the_user_fixed_is_never_changed(networks, tile):
    network = Limited(networks.Enlarge(), limit=2000)
    with pytest.raises(EnvironmentFault, match="--tile auto"):
        Upscaler(network, tile=tile)(picture(80, 100))
    assert len(network.seen) == 1


def test_only_tiles_reach_the_device(networks):
    network = Limited(networks.TinyConv(blocks=2), limit=10**9)
    Upscaler(network, tile=20)(picture(90, 70))
    assert max(h * w for h, w in network.seen) <= (20 + 2 * network.receptive_field) ** 2
    assert len(network.seen) == 5 * 4


def test_other_errors_of_the_network_are_not_swallowed(networks):
    network = networks.TinyConv()
    network.head = torch.nn.Conv2d(5, 8, 3)
    with pytest.raises(RuntimeError, match="channels"):
        upscale(network, picture(20, 20), tile=None)


def test_training_mode_is_restored(networks):
    network = networks.TinyConv().train()
    upscale(network, picture(8, 8))
    assert network.training


def test_nan_is_an_error(networks):
    with pytest.raises(NumericalError, match="NaN or Inf"):
        upscale(networks.Enlarge(gain=float("nan")), picture(8, 8))


@pytest.mark.parametrize("lr", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_picture_is_refused(networks, lr):
    with pytest.raises(DataError, match="expected uint8"):
        upscale(networks.Enlarge(), lr)


def test_devices():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cpu", "cuda")
    with pytest.raises(OptionsError, match="'gpu'"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(EnvironmentFault, match="--device cpu"):
            pick_device("cuda")

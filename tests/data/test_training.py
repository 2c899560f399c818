from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from qsr.data.image import list_pictures, read_rgb, write_png
from qsr.data.lmdb_writer import write_lmdb
from qsr.data.resize import degrade, modcrop
from qsr.data.training import Loader, TrainingSet
from qsr.errors import DataError, OptionsError
from qsr.options.schema import Dataset


@pytest.fixture
def hr(make_folder):
    return make_folder("HR", a=(40, 52), b=(33, 47), c=(64, 31), d=(50, 50), e=(24, 24))


def _set(hr, seed=5, scale=2, **extra) -> TrainingSet:
    return TrainingSet(Dataset(**{"dataroot_gt": str(hr), "gt_size": 24, **extra}), scale, seed)


def _equal(a, b) -> bool:
    return torch.equal(a.lq, b.lq) and torch.equal(a.gt, b.gt) and a.names == b.names


def test_shapes_and_range(hr):
    with Loader(_set(hr), batch=3) as loader:
        batch = loader.batch(0)
    assert (batch.lq.shape, batch.gt.shape, len(batch.names)) == ((3, 3, 12, 12), (3, 3, 24, 24), 3)
    assert batch.lq.dtype == batch.gt.dtype == torch.float32
    assert 0 <= batch.gt.min() < batch.gt.max() <= 1
    assert batch.wait > 0


def _turns(x: np.ndarray):
    for turned in (x, x.transpose(1, 0, 2)):
        yield from (turned, turned[:, ::-1], turned[::-1], turned[::-1, ::-1])


def _places(whole: np.ndarray, patch: np.ndarray) -> list[tuple[int, int, int]]:
    """(turn, top, left) wherever a turned `patch` lies in `whole`."""
    side = len(patch)
    windows = np.lib.stride_tricks.sliding_window_view(whole, (side, side, 3))[:, :, 0]
    found = []
    for turn, turned in enumerate(_turns(patch)):
        for top, left in np.argwhere((windows == turned).all(axis=(2, 3, 4))):
            found.append((turn, int(top), int(left)))
    return found


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_patches_are_aligned_crops_of_the_pictures(hr, scale):
    training = _set(hr, scale=scale)
    turns = set()
    for n in range(20):
        sample = training.sample(n)
        whole = modcrop(read_rgb(hr / f"{sample.name}.png"), scale)
        gt, lq = ((x.permute(1, 2, 0) * 255).round().byte().numpy() for x in (sample.gt, sample.lq))
        in_hr = _places(whole, gt)
        in_lr = _places(degrade(whole, scale), lq)
        assert any((turn, scale * top, scale * left) in in_hr for turn, top, left in in_lr)
        turns |= {turn for turn, *_ in in_lr}
    assert len(turns) >= 5


def test_without_augmentation_patches_stay_upright(hr):
    training = _set(hr, use_hflip=False, use_rot=False)
    for n in range(10):
        sample = training.sample(n)
        gt = (sample.gt.permute(1, 2, 0) * 255).round().byte().numpy()
        assert any(turn == 0 for turn, *_ in _places(read_rgb(hr / f"{sample.name}.png"), gt))


@pytest.mark.drill("T8")
@pytest.mark.parametrize("threads", [0, 1, 4])
@pytest.mark.parametrize("cache", ["memory", "none"])
def test_threads_and_cache_do_not_change_batches(hr, threads, cache):
    with Loader(_set(hr, cache="none"), batch=3) as plain, Loader(_set(hr, cache=cache), 3, threads=threads) as loader:
        for step in [*range(12), 3, 100, 101, 2]:  # with jumps, as after a resume
            assert _equal(loader.batch(step), plain.batch(step))


def test_ranks_share_out_what_one_process_would_see(hr):
    one, two = _set(hr), _set(hr)
    with Loader(one, batch=4) as whole, Loader(two, 2, 0, 2) as left, Loader(two, 2, 1, 2) as right:
        for step in range(5):
            batch, parts = whole.batch(step), (left.batch(step), right.batch(step))
            assert torch.equal(batch.gt, torch.cat([p.gt for p in parts]))
            assert torch.equal(batch.lq, torch.cat([p.lq for p in parts]))
            assert batch.names == parts[0].names + parts[1].names


def test_batch_is_its_samples(hr):
    training = _set(hr)
    with Loader(training, batch=4) as loader:
        batch = loader.batch(3)
    for j in range(4):
        sample = training.sample(12 + j)
        assert torch.equal(sample.gt, batch.gt[j])
        assert torch.equal(sample.lq, batch.lq[j])
        assert sample.name == batch.names[j]


def test_folder_lr_and_lmdb_give_the_batches_of_hr_alone(hr, tmp_path):
    for path in list_pictures(hr):
        write_png(tmp_path / "LR" / f"{path.stem}x2.png", degrade(read_rgb(path), 2))
    write_lmdb(hr, tmp_path / "hr.lmdb")
    write_lmdb(tmp_path / "LR", tmp_path / "lr.lmdb")
    alone = _set(hr)
    shipped = _set(hr, dataroot_lq=str(tmp_path / "LR"), filename_tmpl="{}x2")
    packed = _set(
        tmp_path / "hr.lmdb", dataroot_lq=str(tmp_path / "lr.lmdb"), filename_tmpl="{}x2", io_backend={"type": "lmdb"}
    )
    for n in range(8):
        a, b, c = alone.sample(n), shipped.sample(n), packed.sample(n)
        assert torch.equal(a.gt, b.gt)
        assert torch.equal(a.lq, b.lq)
        assert torch.equal(a.gt, c.gt)
        assert torch.equal(a.lq, c.lq)


def test_seeds_differ_and_lists_restrict(hr, tmp_path):
    assert not torch.equal(_set(hr, seed=1).sample(0).gt, _set(hr, seed=2).sample(0).gt)
    (tmp_path / "list.txt").write_text("d.png (50,50,3)\n")
    only = _set(hr, meta_info_file=str(tmp_path / "list.txt"))
    assert (len(only), only.sample(0).name, only.sample(99).name) == (1, "d", "d")


def test_faults_are_found_before_the_first_step(hr, make_folder, picture, tmp_path):
    with pytest.raises(DataError, match=r"e\.png: 24x24 pixels cannot hold a patch of gt_size 26"):
        _set(hr, gt_size=26)
    with pytest.raises(OptionsError, match=r"datasets\.train\.gt_size: 24 is not a multiple of the scale 5"):
        _set(hr, scale=5)
    lr = make_folder("LR", a=(20, 26), b=(16, 23), c=(32, 15), d=(25, 25), e=(12, 13))
    with pytest.raises(DataError, match=r"LR/e\.png: LR is 12x13"):
        _set(hr, dataroot_lq=str(lr))
    (hr / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.png: cannot decode: the file is empty"):
        _set(hr)


@pytest.mark.drill("D1")
@pytest.mark.parametrize("threads", [0, 2])
def test_a_picture_damaged_inside_is_named_when_it_is_read(hr, threads):
    path = hr / "a.png"
    path.write_bytes(path.read_bytes()[:-30])
    with Loader(_set(hr), batch=5, threads=threads) as loader, pytest.raises(DataError, match=r"a\.png: cannot decode"):
        loader.batch(0)


def test_prefetch_hides_the_work(hr, monkeypatch):
    training = _set(hr)
    slow = training.gather
    monkeypatch.setattr(training, "gather", lambda numbers: (time.sleep(0.05), slow(numbers))[1])
    with Loader(training, batch=2, threads=2) as loader:
        first = loader.batch(0).wait
        time.sleep(0.3)
        assert loader.batch(1).wait < 0.03 < 0.045 < first


def test_a_jump_drops_what_was_prepared_for_nothing(hr):
    with Loader(_set(hr), batch=2, threads=1) as loader:
        for step in (0, 50, 100):
            loader.batch(step)
        assert sorted(loader._pending) == [101, 102]


def test_reordering_gives_the_samples_of_another_seed(hr):
    with Loader(_set(hr), batch=2, threads=1) as loader, Loader(_set(hr, seed=6), batch=2) as other:
        loader.batch(0)
        assert not _equal(loader.batch(1), other.batch(1))
        loader.reorder(6)
        for step in (1, 2, 3):
            assert _equal(loader.batch(step), other.batch(step))


def test_close_stops_the_threads(hr):
    loader = Loader(_set(hr), batch=2, threads=2)
    loader.batch(0)
    loader.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        loader.batch(5)

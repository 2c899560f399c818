from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

from qsr.data.benchmark import open_folders, open_set
from qsr.data.image import read_rgb, write_png
from qsr.data.resize import bicubic_upscale
from qsr.errors import DataError
from qsr.evaluate.benchmark import SetResult, evaluate_set, merge, results_json
from qsr.evaluate.protocol import Protocol, default


def times(scale: int):
    return lambda lr: bicubic_upscale(lr, scale)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Seven noisy pictures of different sizes."""
    place = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(0)
    for i in range(7):
        smooth = rng.integers(0, 256, (8 + i, 9, 3)).astype(np.uint8)
        write_png(place / f"p{i}.png", bicubic_upscale(smooth, 4))
    return place


def test_means_are_those_of_the_rows(folder):
    result = evaluate_set(times(2), open_folders(folder, scale=2, name="seven"), default(2))
    assert (result.dataset, result.scale, len(result.images)) == ("seven", 2, 7)
    assert [image["name"] for image in result.images] == [f"p{i}" for i in range(7)]
    assert result.psnr_y == pytest.approx(np.mean([image["psnr_y"] for image in result.images]), abs=1e-12)
    assert result.ssim_y == pytest.approx(np.mean([image["ssim_y"] for image in result.images]), abs=1e-12)
    assert result.excluded == []


@pytest.mark.parametrize("ranks", [1, 2, 3, 7, 9])
def test_shards_merge_to_the_bits_of_one_process(folder, ranks):
    one = evaluate_set(times(3), open_folders(folder, scale=3), default(3))
    shards = [evaluate_set(times(3), open_folders(folder, scale=3), default(3), shard=(rank, ranks)) for rank in range(ranks)]
    assert merge(shards) == one
    assert sum(len(shard.images) for shard in shards) == 7


def test_a_shard_without_pictures_has_no_mean(folder):
    empty = evaluate_set(times(2), open_folders(folder, scale=2), default(2), shard=(8, 9))
    assert empty.images == []
    assert math.isnan(empty.psnr_y)
    assert empty.to_json()["psnr_y"] is None


def test_a_perfect_picture_is_left_out_and_listed():
    rows = [{"name": "a", "psnr_y": 30.0, "ssim_y": 0.8}, {"name": "b", "psnr_y": math.inf, "ssim_y": 1.0}]
    result = SetResult.of("s", 2, rows)
    assert (result.psnr_y, result.ssim_y, result.excluded) == (30.0, 0.8, ["b"])
    stored = result.to_json()
    assert stored["images"][1]["psnr_y"] is None
    json.dumps(stored, allow_nan=False)


def test_the_hash_follows_the_pixels(folder, tmp_path):
    def digest(place, scale=2):
        return evaluate_set(times(scale), open_folders(place, scale=scale), default(scale)).data_hash

    copy = tmp_path / "copy"
    for path in folder.iterdir():
        write_png(copy / path.name, read_rgb(path))
    assert digest(copy) == digest(folder)
    assert digest(folder, 4) != digest(folder)
    changed = np.array(read_rgb(copy / "p3.png"))
    changed[0, 0, 0] ^= 1
    write_png(copy / "p3.png", changed)
    assert digest(copy) != digest(folder)


def test_pictures_are_saved_and_progress_is_told(folder, tmp_path):
    told = []
    bench = open_folders(folder, scale=2, name="seven")
    evaluate_set(times(2), bench, default(2), save_to=tmp_path, notify=told.append)
    assert told == [f"p{i}" for i in range(7)]
    assert np.array_equal(read_rgb(tmp_path / "seven" / "p4_x2.png"), bicubic_upscale(bench.pair(4).lr, 2))


def test_a_picture_too_small_for_the_protocol_is_named(folder):
    with pytest.raises(DataError, match=r"^seven/p0: .*too small"):
        evaluate_set(times(2), open_folders(folder, scale=2, name="seven"), Protocol(scale=2, crop=20))


def test_an_upscaler_of_the_wrong_scale_is_named(folder):
    with pytest.raises(DataError, match=r"^seven/p0: .*different size"):
        evaluate_set(times(3), open_folders(folder, scale=2, name="seven"), default(2))


def test_results_json_has_the_promised_form(folder):
    result = evaluate_set(times(2), open_folders(folder, scale=2, name="seven"), default(2))
    data = json.loads(json.dumps(results_json([result], [default(2)], {"method": "Bicubic"}), allow_nan=False))
    assert data["protocol"] == "sr-y-crop2-uint8"
    assert data["method"] == "Bicubic"
    row = data["rows"][0]
    assert {"dataset", "scale", "psnr_y", "ssim_y", "images"} <= set(row)
    assert {"name", "psnr_y", "ssim_y"} <= set(row["images"][0])
    both = results_json([result], [default(2), default(3)], {})
    assert both["protocol"] == "sr-y-crop{scale}-uint8"


def bicubic_is_as_in_the_reference(shared_data, names):
    with open(shared_data / "bicubic_reference.csv", newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["dataset"] in names]
    assert len(rows) == 3 * len(names)
    for row in rows:
        scale = int(row["scale"])
        found = evaluate_set(times(scale), open_set(row["dataset"], scale, shared_data), default(scale))
        assert len(found.images) == int(row["images"])
        assert found.psnr_y == pytest.approx(float(row["psnr_y"]), abs=0.01), row
        assert found.ssim_y == pytest.approx(float(row["ssim_y"]), abs=0.0005), row


def test_bicubic_on_set5_is_as_in_the_reference(shared_data):
    bicubic_is_as_in_the_reference(shared_data, ["Set5"])


@pytest.mark.nightly
def test_bicubic_on_set14_and_b100_is_as_in_the_reference(shared_data):
    bicubic_is_as_in_the_reference(shared_data, ["Set14", "B100"])

"""Crops: the same patch of every method, the truth, the frame, and a difference map that shows what differs."""

from __future__ import annotations

import base64
import io
import json
import shutil

import numpy as np
import pytest
import reading
from PIL import Image

from qsr.data.image import read_rgb, write_png
from qsr.errors import DataError
from qsr.report.board import read_board
from qsr.report.page_pictures import FACTOR, SIDE, data_uri, heat_uri, pictures


def decoded(uri: str) -> np.ndarray:
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))).convert("RGB"))


@pytest.fixture
def own(board_folder, tmp_path):
    """The example's folder with two rows, to be changed."""
    folder = shutil.copytree(board_folder, tmp_path / "own")
    data = json.loads((folder / "leaderboard.json").read_text())
    data["rows"] = data["rows"][:2]
    del data["pictures"]["photos/coffee"]
    (folder / "leaderboard.json").write_text(json.dumps(data))
    return folder


def test_every_method_on_the_same_patch(own):
    tree = reading.read(pictures(read_board(own)))
    frame = {key: int(value) for key, value in tree.all("rect")[0].attributes.items()}
    hr = read_rgb(own / "pictures/hr/photos_chelsea.png")
    patch = hr[frame["y"] : frame["y"] + frame["height"], frame["x"] : frame["x"] + frame["width"]]
    crops = {image["alt"]: decoded(image["src"]) for image in tree.all("img", class_="crop")}
    assert np.array_equal(crops["the truth on a patch of photos/chelsea"], patch)
    assert crops["the input on a patch of photos/chelsea"].shape == (frame["height"] // 2, frame["width"] // 2, 3)
    assert SIDE <= frame["width"] // 2 <= 2 * SIDE
    ours = read_rgb(own / "pictures/rlq_w4a4/photos_chelsea.png")
    cut = ours[frame["y"] : frame["y"] + frame["height"], frame["x"] : frame["x"] + frame["width"]]
    assert np.array_equal(crops["QuantSR-C 4/4 on a patch of photos/chelsea"], cut)
    assert any(alt.startswith("difference of QuantSR-C 4/4 from the truth, times 6") for alt in crops)
    assert [tile["data-group"] for tile in tree.all("div", class_="held")] == ["fp", "w4a4"]
    assert "dB" in tree.all("div", class_="held")[0].text


def test_the_difference_is_amplified_by_the_stated_factor():
    levels = decoded(heat_uri(np.array([[0.0, 10.0, 42.5, 200.0]])))[0].astype(int)
    light = levels.sum(axis=1)
    assert light[0] < light[1] < light[2] == light[3]
    assert np.array_equal(levels[1], decoded(heat_uri(np.full((1, 1), 60 / FACTOR)))[0, 0])


def test_a_picture_survives_its_uri():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    assert np.array_equal(decoded(data_uri(picture[:, ::-1])), picture[:, ::-1])


def test_a_row_without_its_picture_is_left_out_and_a_missing_truth_is_said(own):
    (own / "pictures/fp/photos_chelsea.png").unlink()
    assert [t["data-group"] for t in reading.read(pictures(read_board(own))).all("div", class_="held")] == ["w4a4"]
    (own / "pictures/hr/photos_chelsea.png").unlink()
    assert "the true picture is missing" in reading.read(pictures(read_board(own))).text


def test_pictures_that_do_not_fit_or_are_damaged_are_named(own):
    path = own / "pictures/fp/photos_chelsea.png"
    write_png(path, np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DataError, match=r"photos/chelsea of Full precision is \(4, 4, 3\)"):
        pictures(read_board(own))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match="photos_chelsea.png"):
        pictures(read_board(own))


def test_small_pictures_and_a_missing_bicubic(own):
    hr = np.random.default_rng(1).integers(0, 256, (12, 16, 3), np.uint8)
    for name in ("hr", "fp", "rlq_w4a4"):
        write_png(own / f"pictures/{name}/photos_chelsea.png", hr)
    write_png(own / "pictures/lr/photos_chelsea.png", hr[::2, ::2])
    (own / "pictures/bicubic/photos_chelsea.png").unlink()
    tree = reading.read(pictures(read_board(own)))
    assert any(image["alt"].startswith("Bicubic on") for image in tree.all("img"))
    assert {image["alt"]: decoded(image["src"]) for image in tree.all("img")}[
        "the truth on a patch of photos/chelsea"
    ].shape == (12, 12, 3)


def test_no_pictures(board_data, read):
    assert pictures(read(board_data)) is None

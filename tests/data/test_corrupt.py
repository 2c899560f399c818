"""The eleven corruptions: golden pixels, the laws of each kind, and what is refused."""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pytest
from skimage.color import hsv2rgb, rgb2hsv
from skimage.metrics import peak_signal_noise_ratio as psnr

from qsr.data.corrupt import KINDS, MOVES_LEVEL, NOISE, SETTINGS, SEVERITIES, corrupt, setting
from qsr.data.image import read_rgb
from qsr.data.photos import training_photos
from qsr.data.resize import degrade
from qsr.errors import DataError, OptionsError

EVERY = [(table, kind) for table in SETTINGS for kind in KINDS]
# first 8 digits' worth of BLAKE2b of the pixels, severities 1 to 5
GOLDEN = {
    ("cifar", "gaussian_noise"): "946255d6 64c81cdd c79088e2 a057e7ac 38c4d785",
    ("imagenet", "gaussian_noise"): "f8656438 3acbdeaf 9eec3a5f e4568a83 6ebc2cd6",
    ("cifar", "shot_noise"): "98592ad0 7d0e6799 68b1310c b4f0348b b999c588",
    ("imagenet", "shot_noise"): "97b7cecd 644c3889 914c25d8 76a37942 be7fff64",
    ("cifar", "impulse_noise"): "d84eef19 e2a3daad 60ebe311 60ea65cb 8fa940e7",
    ("imagenet", "impulse_noise"): "3cda95f6 170bde50 b3c9a87c 499d7433 bd8e9e42",
    ("cifar", "speckle_noise"): "ac4ec7f6 30164955 ffbafe34 f7b4b61d 061e4c67",
    ("imagenet", "speckle_noise"): "5d01078e 1bb1ad03 c5685bcb 1af5b36f a9677128",
    ("cifar", "gaussian_blur"): "d250a652 f6fd08b0 ec1220b6 dbed9d11 44ff75f1",
    ("imagenet", "gaussian_blur"): "44ff75f1 586371f5 7599ee0c ab5c7bcb a734e246",
    ("cifar", "defocus_blur"): "1358c487 0e5b58ae ec883ed2 b8cd885b 8af5b6a8",
    ("imagenet", "defocus_blur"): "d1c59f03 36e41ac4 70e89f89 ac0dae1d 19914ed7",
    ("cifar", "brightness"): "502ec2a0 4ced36df 0a00e37d 41d91bb0 f23209d6",
    ("imagenet", "brightness"): "4ced36df 41d91bb0 f23209d6 e9cd565e f974fd97",
    ("cifar", "contrast"): "95be9d7b dcc74ced d2dfbe10 a6a44f21 2ec62d07",
    ("imagenet", "contrast"): "d2dfbe10 a6a44f21 c87eda61 96cccf85 fb415b12",
    ("cifar", "saturate"): "01f74590 d4676e63 8b75e45f 7b6aa36b 4b7375b6",
    ("imagenet", "saturate"): "01f74590 d4676e63 91bed7af 54fd2e5a cdad3a4c",
    ("cifar", "pixelate"): "ad778728 2d9633fe 2d35a9d6 f7751c96 abad377f",
    ("imagenet", "pixelate"): "db0be82a 4d3cf98e e098222a 562e11ff 2df807df",
}


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A natural LR picture, 128 x 128."""
    return degrade(read_rgb(training_photos()[0]), 4)


@pytest.fixture(scope="module")
def made() -> np.ndarray:
    """13 x 18: textures, and black, white, grey and red without a neighbour's help."""
    y, x, c = np.mgrid[:13, :18, :3]
    picture = ((y * y * 7 + x * 29 + c * 83 + x * y * (c + 1)) % 256).astype(np.uint8)
    picture[:3, :4] = [[[0, 0, 0], [255, 255, 255], [128, 128, 128], [255, 0, 3]]]
    return picture


def all_five(picture: np.ndarray, kind: str, table: str = "cifar", seed: int = 0) -> list[np.ndarray]:
    return [corrupt(picture, kind, severity, seed=seed, name="g", table=table) for severity in SEVERITIES]


def rounded(unit: np.ndarray) -> np.ndarray:
    return np.floor(255 * np.clip(unit, 0, 1) + 0.5).astype(int)


def test_tables_are_whole():
    listed = "gaussian_noise shot_noise impulse_noise speckle_noise gaussian_blur defocus_blur brightness contrast saturate"
    assert [*listed.split(), "jpeg", "pixelate"] == list(KINDS)
    assert {*NOISE, *MOVES_LEVEL} <= set(KINDS)
    for table in SETTINGS.values():
        assert tuple(table) == KINDS
        assert all(len(settings) == 5 for settings in table.values())


@pytest.mark.parametrize(("table", "kind"), GOLDEN)
def test_golden_pixels(table, kind, made):
    hashes = [blake2b(found.tobytes(), digest_size=4).hexdigest() for found in all_five(made, kind, table)]
    assert " ".join(hashes) == GOLDEN[table, kind]


def test_jpeg_is_about_what_every_decoder_gives(made):
    # decoders may differ by some levels, and did between releases of libjpeg-turbo
    expected = {"cifar": [11.90, 11.62, 11.36, 11.29, 10.91], "imagenet": [10.93, 10.76, 10.66, 10.53, 10.44]}
    for table, values in expected.items():
        assert [psnr(made, found) for found in all_five(made, "jpeg", table)] == pytest.approx(values, abs=0.15)
    y, x = np.mgrid[:16, :16]
    smooth = np.stack([y * 8 + x * 4, x * 8, 255 - y * 10], axis=2).astype(np.uint8)
    found = corrupt(smooth, "jpeg", 3, seed=0)[::5, ::5].astype(int)
    assert np.abs(found - JPEG_OF_SMOOTH).max() <= 4


@pytest.mark.parametrize(("table", "kind"), EVERY)
def test_a_corrupted_picture_is_a_picture_and_the_source_is_left_alone(table, kind, photo):
    before = photo.copy()
    for found in all_five(photo, kind, table):
        assert (found.shape, found.dtype, found.flags.c_contiguous) == (photo.shape, np.uint8, True)
        assert not np.array_equal(found, photo)
        assert not np.shares_memory(found, photo)
    assert np.array_equal(photo, before)


@pytest.mark.parametrize(("table", "kind"), EVERY)
def test_worse_with_severity(table, kind, photo):
    scores = [psnr(photo, found) for found in all_five(photo, kind, table)]
    if kind == "saturate":  # two settings take colour away, three add some
        scores = scores[2:]
    assert all(better > worse for better, worse in pairwise(scores)), scores


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 19), (23, 1)])
def test_tiny_pictures(shape, picture):
    image = picture(*shape)
    for table, kind in EVERY:
        assert all(found.shape == image.shape for found in all_five(image, kind, table))


def test_a_view_is_as_good_as_a_copy(photo):
    view = photo[::-2, 5:40].transpose(1, 0, 2)
    for kind in KINDS:
        assert np.array_equal(corrupt(view, kind, 3, seed=0), corrupt(view.copy(), kind, 3, seed=0))


def test_order_and_neighbours_do_not_matter(made, photo):
    wanted = [(kind, severity) for kind in NOISE for severity in SEVERITIES]
    forwards = {each: corrupt(made, *each, seed=4, name="a") for each in wanted}
    corrupt(photo, "gaussian_noise", 1, seed=4, name="a")
    backwards = {each: corrupt(made, *each, seed=4, name="a") for each in reversed(wanted)}
    assert all(np.array_equal(forwards[each], backwards[each]) for each in wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_seed_and_name_move_noise_and_nothing_else(kind, made):
    first = corrupt(made, kind, 3, seed=0, name="a")
    others = [corrupt(made, kind, 3, seed=seed, name=name) for seed, name in ((1, "a"), (0, "b"), (b"key", "a"))]
    assert [np.array_equal(first, other) for other in others] == [kind not in NOISE] * 3


def test_noise_of_the_two_tables_differs_by_its_strength_only():
    grey = np.full((40, 40, 3), 128, np.uint8)
    weak, strong = (corrupt(grey, "gaussian_noise", 1, seed=0, table=table).astype(int) - 128 for table in SETTINGS)
    assert np.abs(strong - 2 * weak).max() <= 2


@pytest.mark.parametrize("severity", SEVERITIES)
def test_strength_of_the_noises(severity):
    grey = np.full((200, 200, 3), 128, np.uint8)
    few = 6 / np.sqrt(grey.size)  # six standard errors, in units of the standard deviation

    def noise(kind: str) -> tuple[np.ndarray, float]:
        return corrupt(grey, kind, severity, seed=0).astype(float) - 128, SETTINGS["cifar"][kind][severity - 1]

    found, sigma = noise("gaussian_noise")
    rounding = 1 / 12
    assert found.std() == pytest.approx(np.hypot(255 * sigma, np.sqrt(rounding)), rel=few)
    assert abs(found.mean()) < few * 255 * sigma
    found, sigma = noise("speckle_noise")
    assert found.std() == pytest.approx(np.hypot(128 * sigma, np.sqrt(rounding)), rel=few)
    found, photons = noise("shot_noise")
    # of 250 photons one is 1.02 levels, so rounding follows the noise
    assert found.std() == pytest.approx(np.sqrt(128 * 255 / photons), rel=0.02)
    assert abs(found.mean()) < few * found.std() + 0.02  # levels are rounded
    found, share = noise("impulse_noise")
    for value in (127, -128):
        assert np.mean(found == value) == pytest.approx(share / 2, abs=few * np.sqrt(share / 2))
    assert np.mean(found == 0) == pytest.approx(1 - share, abs=few * np.sqrt(share))
    pixels = (found != 0).sum(axis=2)
    assert (pixels == 1).sum() > (pixels == 3).sum()  # channels are hit one by one


def test_neither_speckle_nor_photons_in_the_dark():
    black = np.zeros((20, 20, 3), np.uint8)
    assert not corrupt(black, "speckle_noise", 5, seed=0).any()
    assert not corrupt(black, "shot_noise", 5, seed=0).any()
    assert corrupt(black, "gaussian_noise", 5, seed=0).any()


@pytest.mark.parametrize(("table", "severity"), [(table, severity) for table in SETTINGS for severity in SEVERITIES])
def test_colours_are_scikit_image_s(table, severity, photo, made):
    for picture in (photo, made):
        hsv = rgb2hsv(picture / 255)
        added = setting("brightness", severity, table)
        brighter = np.dstack((hsv[:, :, :2], np.clip(hsv[:, :, 2] + added, 0, 1)))
        found = corrupt(picture, "brightness", severity, seed=0, table=table)
        assert np.abs(found - rounded(hsv2rgb(brighter))).max() <= 1
        shifted = np.floor(np.minimum(picture.max(axis=2) + 255 * added, 255) + 0.5)
        assert np.array_equal(found.max(axis=2), shifted)
        factor, plus = setting("saturate", severity, table)
        other = np.dstack((hsv[:, :, 0], np.clip(hsv[:, :, 1] * factor + plus, 0, 1), hsv[:, :, 2]))
        found = corrupt(picture, "saturate", severity, seed=0, table=table)
        assert np.abs(found - rounded(hsv2rgb(other))).max() <= 1
        assert np.array_equal(found.max(axis=2), picture.max(axis=2))


def test_grey_stays_grey_but_for_saturation_added_which_makes_it_red():
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for kind in ("gaussian_blur", "defocus_blur", "brightness", "contrast", "pixelate"):
        assert all((np.ptp(found, axis=2) == 0).all() for found in all_five(grey, kind)), kind
    assert [np.ptp(found, axis=2).max() for found in all_five(grey, "saturate")] == [0, 0, 0, 25, 51]
    assert np.array_equal(corrupt(grey, "saturate", 5, seed=0)[0, 100], [100, 80, 80])


@pytest.mark.parametrize("severity", SEVERITIES)
def test_contrast_keeps_each_channel_s_mean(severity, photo):
    found = corrupt(photo, "contrast", severity, seed=0)
    assert np.abs(found.mean(axis=(0, 1)) - photo.mean(axis=(0, 1))).max() < 0.25  # black pixels all round one way
    spread = found.std(axis=(0, 1)) / photo.std(axis=(0, 1))
    assert spread == pytest.approx(SETTINGS["cifar"]["contrast"][severity - 1], rel=0.01)


def test_pixelate_by_hand():
    row = np.repeat(np.array([0, 10, 20, 30, 40, 50, 60, 70], np.uint8)[None, :, None], 3, axis=2)
    halved = corrupt(row, "pixelate", 2, seed=0, table="imagenet")[0, :, 0]
    assert halved.tolist() == [5, 5, 25, 25, 45, 45, 65, 65]
    # 0.65 of 8 is 5.2 and 0.95 is 7.6: 5 and 7 pixels
    assert [len(set(found[0, :, 0].tolist())) for found in all_five(row, "pixelate")] == [7, 7, 6, 6, 5]


def test_unknown_words_are_refused_with_what_there_is(made):
    with pytest.raises(OptionsError, match="no corruption 'fog' .expected some of gaussian_noise, .*, pixelate"):
        corrupt(made, "fog", 1, seed=0)
    for severity in (0, 6, -1):
        with pytest.raises(OptionsError, match=f"severity {severity} of jpeg .expected 1, 2, 3, 4 or 5"):
            corrupt(made, "jpeg", severity, seed=0)
    with pytest.raises(OptionsError, match="no table 'coco' of severities .expected one of cifar, imagenet"):
        corrupt(made, "jpeg", 1, seed=0, table="coco")


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_only_rgb_of_8_bits(wrong):
    with pytest.raises(ValueError, match=r"expected \(h, w, 3\) uint8, got shape"):
        corrupt(wrong, "contrast", 1, seed=0)


def test_longer_than_jpeg_can_hold():
    with pytest.raises(DataError, match="65501 x 1 pixels, and JPEG has at most 65,500 a side"):
        corrupt(np.zeros((1, 65_501, 3), np.uint8), "jpeg", 1, seed=0)
    assert corrupt(np.zeros((65_500, 1, 3), np.uint8), "jpeg", 1, seed=0).shape == (65_500, 1, 3)


JPEG_OF_SMOOTH = [
    [[6, 3, 244], [28, 39, 253], [49, 80, 248], [71, 116, 255]],
    [[33, 7, 190], [57, 43, 200], [78, 86, 197], [101, 121, 207]],
    [[81, 0, 154], [103, 37, 163], [125, 78, 158], [147, 114, 167]],
    [[109, 5, 100], [132, 41, 110], [153, 83, 107], [177, 119, 117]],
]

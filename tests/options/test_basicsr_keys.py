"""BasicSR's option files load unchanged; what means nothing here is listed with its line, never fatal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qsr.errors import OptionsError
from qsr.options import load
from qsr.options.basicsr_keys import translate
from qsr.options.schema import SRResNet, SwinIR
from qsr.options.tree import Tree
from qsr.options.yaml_lines import parse_yaml

STYLE = Path(__file__).parent / "basicsr_style"
FILES = sorted(STYLE.glob("*.yml"))


def test_there_are_twenty_files() -> None:
    assert len(FILES) >= 20


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_file_loads_unchanged(file: Path) -> None:
    resolved = load(file)
    options = resolved.options
    assert f"x{options.scale}" in file.stem
    assert options.network_g.upscale == options.scale  # type: ignore[union-attr]
    lines = file.read_text().splitlines()
    for item in resolved.ignored:
        name, _, line = str(item.origin).rpartition(":")
        assert name == str(file)
        assert lines[int(line) - 1].split("#")[0].strip().startswith(item.key.rpartition(".")[2] + ":")
        assert item.reason
    assert {item.key for item in resolved.ignored} >= {"num_gpu"}
    assert (options.train is not None) == file.stem.startswith("train")


def test_nothing_is_lost_in_a_training_file() -> None:
    options = load(STYLE / "train_EDSR_Mx4.yml").options
    network = options.network_g
    assert isinstance(network, SRResNet)
    assert (network.resolved_layout, network.num_feat, network.num_block, network.img_range) == ("edsr", 64, 16, 255.0)
    assert options.train is not None
    assert options.train.optim_g.lr == 1e-4
    assert options.train.scheduler.milestones == (200_000,)
    assert options.datasets["train"].gt_size == 192
    assert options.val.val_freq == 5000
    assert options.path.pretrain_network_g == "experiments/201_EDSR_Mx2/models/net_g_300000.pth"
    assert options.path.strict_load_g is False


def test_lmdb_and_swinir_settings_arrive() -> None:
    assert load(STYLE / "train_EDSR_Lx4_lmdb.yml").options.datasets["train"].io_backend.type == "lmdb"
    network = load(STYLE / "test_SwinIR_classical_x4.yml").options.network_g
    assert isinstance(network, SwinIR)
    assert (network.embed_dim, network.upsampler, network.depths) == (180, "pixelshuffle", (6,) * 6)


def test_a_test_folder_without_hr_is_set_aside() -> None:
    resolved = load(STYLE / "test_MSRResNet_x4_without_gt.yml")
    assert resolved.options.datasets == {}
    assert "no HR pictures" in str(resolved.ignored[-1])


def test_copied_from_x4_and_half_changed(write: Callable[[str], Path]) -> None:
    text = (STYLE / "train_MSRResNet_x4.yml").read_text()
    with pytest.raises(OptionsError) as caught:
        load(write(text.replace("\nscale: 4", "\nscale: 2").replace("gt_size: 128", "gt_size: 127")))
    keys = {line.partition("  ")[2].partition(":")[0] for line in caught.value.problems}
    assert keys == {
        "datasets.train.dataroot_lq",
        "datasets.train.gt_size",
        "datasets.val.dataroot_lq",
        "datasets.val_2.dataroot_lq",
        "network_g.upscale",
    }


def translated(text: str) -> tuple[dict, list[str]]:
    tree = Tree.from_document(parse_yaml(text, "x"), "x")
    ignored = translate(tree)
    return tree.value, [str(item) for item in ignored]


def test_old_spellings_are_renamed_and_new_ones_win() -> None:
    value, ignored = translated("path: {pretrain_model_g: a, strict_load: false}\ndatasets: {train: {use_flip: true}}")
    assert value == {"path": {"pretrain_network_g": "a", "strict_load_g": False}, "datasets": {"train": {"use_hflip": True}}}
    assert ignored == []
    both = "path: {pretrain_model_g: a, pretrain_network_g: b}"
    assert translated(both)[0] == {"path": {"pretrain_model_g": "a", "pretrain_network_g": "b"}}


def test_empty_losses_are_set_aside_but_real_ones_stay_errors() -> None:
    value, ignored = translated("train:\n  perceptual_opt: ~\n  gan_opt: {type: GANLoss}")
    assert value == {"train": {"gan_opt": {"type": "GANLoss"}}}
    assert ignored == ["x:2  train.perceptual_opt: ignored, it is empty"]


def test_pictures_without_hr_are_no_training_data() -> None:
    text = "datasets: {train: {type: SingleImageDataset}, val: {type: SingleImageDataset}}"
    value, ignored = translated(text)
    assert value == {"datasets": {"train": {"type": "SingleImageDataset"}}}
    assert len(ignored) == 1


def test_an_unknown_metric_without_basicsrs_prefix_stays_an_error() -> None:
    assert translated("val: {metrics: {x: {type: psnr}}}")[0]["val"]["metrics"] == {"x": {"type": "psnr"}}


@pytest.mark.parametrize("text", ["datasets: 3", "datasets: {train: 3}", "val: {metrics: [1]}", "path: ~", "{}"])
def test_odd_shapes_are_left_to_the_schema(text: str) -> None:
    value, ignored = translated(text)
    assert value == parse_yaml(text, "x").value
    assert ignored == []

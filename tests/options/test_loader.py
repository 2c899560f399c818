"""`load`: one call, every problem, each with its place; and where every value came from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qsr.errors import OptionsError
from qsr.options import from_dict, load

FAULTY = """\
name: x
scale: 2
network_g: {type: SRResNet, num_blok: 3, upscale: 4}
quant:
  method: rlq
  w_bit: 4
  a_bits: 4
datasets:
  train:
    dataroot_gt: a/b
    gt_size: abc
train: {total_iter: 100, optim_g: {lr: -1}}
val: {metrics: {psnr: {type: calculate_psnr, crop_border: 2}, ssim: {type: calculate_ssim, crop_border: 4}}}
"""


def test_every_problem_at_once_with_file_line_key_and_help(write: Callable[[str], Path]) -> None:
    file = write(FAULTY)
    with pytest.raises(OptionsError) as caught:
        load(file, ["train.ema_decay=2"])
    assert caught.value.exit_code == 2
    assert caught.value.problems == (
        "--set  train.ema_decay: found 2, expected less than 1",
        f"{file}:3  network_g.num_blok: unknown key (did you mean num_block?)",
        f"{file}:6  quant.w_bit: unknown key (did you mean w_bits?)",
        f"{file}:11  datasets.train.gt_size: found 'abc', expected a whole number",
        f"{file}:12  train.optim_g.lr: found -1, expected greater than 0",
    )


def test_checks_across_keys_join_the_schemas_problems(valid: Path) -> None:
    with pytest.raises(OptionsError) as caught:
        load(valid, ["logger.print_frq=1", "quant.a_bits=9", "datasets.train.gt_size=47"])
    assert len(caught.value.problems) == 3
    assert "multiple of scale 2" in str(caught.value)
    assert "rlq is defined for 2 to 8" in str(caught.value)


def test_a_key_in_the_wrong_section_is_refused(valid: Path) -> None:
    """It has a right name, so nothing else is suggested for it; and yet it must not count as its own correction."""
    valid.write_text(valid.read_text().replace("gt_size: 48", "gt_size: 48\n    channels_last: true"))
    with pytest.raises(OptionsError) as caught:
        load(valid)
    assert caught.value.problems == (f"{valid}:7  datasets.train.channels_last: unknown key (did you mean channels_last?)",)


def test_no_more_problems_are_listed_than_anybody_reads(valid: Path) -> None:
    valid.write_text(valid.read_text() + "".join(f"key{number}: 1\n" for number in range(80)))
    with pytest.raises(OptionsError, match="more than 50 problems in the options") as caught:
        load(valid)
    assert len(caught.value.problems) == 50


def test_no_follow_up_errors_in_a_section_with_a_misspelling(valid: Path) -> None:
    valid.write_text(valid.read_text().replace("gt_size", "gt_sise"))
    with pytest.raises(OptionsError) as caught:
        load(valid)
    assert caught.value.problems == (f"{valid}:6  datasets.train.gt_sise: unknown key (did you mean gt_size?)",)


def test_an_error_names_the_base_that_holds_the_key(valid: Path) -> None:
    valid.write_text(valid.read_text().replace("num_block", "num_blok"))
    child = valid.with_name("child.yml")
    child.write_text("base: tiny.yml\nname: child\n")
    with pytest.raises(OptionsError) as caught:
        load(child)
    assert str(caught.value).startswith(f"{child}: 1 problem in the options\n  {valid}:9  network_g.num_blok")


def test_origins_say_who_wrote_each_value(valid: Path) -> None:
    child = valid.with_name("child.yml")
    child.write_text("base: tiny.yml\nname: child\nquant: {w_bits: 2}\n")
    resolved = load(child, ["quant.a_bits=8"])
    assert resolved.options.quant is not None
    assert (resolved.options.quant.w_bits, resolved.options.quant.a_bits) == (2, 8)
    assert str(resolved.origin("quant.w_bits")) == f"{child}:3"
    assert str(resolved.origin("quant.a_bits")) == "--set"
    assert str(resolved.origin("scale")) == f"{valid}:2"
    assert str(resolved.origin("amp")) == "default"
    assert resolved.files == (child, valid)


def test_an_empty_key_goes_back_to_its_default(valid: Path) -> None:
    child = valid.with_name("child.yml")
    child.write_text("base: tiny.yml\nquant: ~\nnetwork_g: {num_block: ~}\ntrain: {optim_g: ~}\n")
    options = load(child).options
    assert options.quant is None
    assert options.network_g.num_block == 16  # type: ignore[union-attr]
    assert options.train is not None
    assert options.train.optim_g.lr == 2e-4


def test_a_dataset_of_the_base_can_be_taken_out(valid: Path) -> None:
    child = valid.with_name("child.yml")
    child.write_text("base: tiny.yml\ndatasets: {train: ~}\ntrain: ~\n")
    assert load(child).options.datasets == {}


@pytest.mark.parametrize("key", ["quant.w_bits", "train.total_iter", "train.optim_g.lr"])
def test_true_is_not_one(valid: Path, key: str) -> None:
    with pytest.raises(OptionsError, match=f"--set  {key}: found true, expected a number"):
        load(valid, [f"{key}=true"])


@pytest.mark.parametrize("value", ["{", "[1", "!!python/name:os.x"])
def test_a_broken_override_is_an_options_error(valid: Path, value: str) -> None:
    with pytest.raises(OptionsError, match="--set"):
        load(valid, [f"quant.w_bits={value}"])


def test_bool_keys_take_yes_and_no(valid: Path) -> None:
    assert load(valid, ["datasets.train.use_rot=no"]).options.datasets["train"].use_rot is False


def test_off_is_a_word(valid: Path) -> None:
    assert load(valid, ["amp=off"]).options.amp == "off"


@pytest.mark.parametrize("text", ["", "# nothing\n", "base: []\n"])
def test_an_empty_file_lists_what_is_required(write: Callable[[str], Path], text: str) -> None:
    with pytest.raises(OptionsError) as caught:
        load(write(text))
    assert {line.partition("  ")[2].partition(":")[0] for line in caught.value.problems} == {"name", "scale", "network_g"}


def test_from_dict_has_the_same_checks() -> None:
    data = {"name": "x", "scale": 2, "network_g": {"type": "EDSR", "upscale": 3}}
    with pytest.raises(OptionsError, match=r"here  network_g\.upscale: found 3, but scale is 2"):
        from_dict(data, "here")
    data["network_g"] = {"type": "EDSR"}
    assert from_dict(data).scale == 2
    assert data["network_g"] == {"type": "EDSR"}

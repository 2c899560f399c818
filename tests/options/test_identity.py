"""What makes two option files the same experiment (T10: option drift on resume)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qsr.errors import FormatError
from qsr.options import Options, from_json, harmless_diff, load, options_hash, semantic_diff

HARMLESS = [
    "name=other",
    "device=cpu",
    "logger.print_freq=1",
    "logger.save_checkpoint_freq=7",
    "val.val_freq=3",
    "val.save_img=true",
    "path.experiments_root=elsewhere",
    "path.resume_state=somewhere",
    "datasets.train.num_worker_per_gpu=4",
    "datasets.train.cache=none",
    "train.nan_check_freq=5",
    "train.nan_policy=skip",
    "datasets.val={dataroot_gt: a}",
    "network_g.upscale=2",
    "network_g.layout=edsr",
    "network_g.type=EDSR",
]

SEMANTIC = {
    "scale=3": "scale: 2 -> 3",
    "manual_seed=1": "manual_seed: 0 -> 1",
    "network_g.num_block=8": "network_g.num_block: 4 -> 8",
    "network_g.layout=msr": "network_g.layout: edsr -> msr",
    "quant.w_bits=2": "quant.w_bits: 4 -> 2",
    "quant.method=lsq": "quant.method: rlq -> lsq",
    "quant.k=1": "quant.k: 2.0 -> 1.0",
    "train.optim_g.lr=1e-3": "train.optim_g.lr: 0.0002 -> 0.001",
    "train.total_iter=50": "train.total_iter: 100 -> 50",
    "train.ema_decay=0": "train.ema_decay: 0.999 -> 0.0",
    "train.fp_iter=10": "train.fp_iter: 0 -> 10",
    "datasets.train.dataroot_gt=b": "datasets.train.dataroot_gt: data/HR -> b",
    "datasets.train.batch_size_per_gpu=2": "datasets.train.batch_size_per_gpu: 1 -> 2",
    "datasets.train.use_rot=false": "datasets.train.use_rot: True -> False",
    "path.pretrain_network_g=a": "path.pretrain_network_g: (left out) -> a",
    "amp=bf16": "amp: off -> bf16",
}


@pytest.mark.drill("T10")
@pytest.mark.parametrize("override", HARMLESS)
def test_harmless_changes_keep_hash_and_resume(valid: Path, override: str) -> None:
    old, new = load(valid).options, load(valid, [override]).options
    assert old != new
    assert semantic_diff(old, new) == []
    assert options_hash(old) == options_hash(new)
    assert [change.partition(":")[0] for change in harmless_diff(old, new)] == [changed_key(override)]


def changed_key(override: str) -> str:
    """A value that says what was meant anyway changes the key as written, a section that appears is one change."""
    return override.partition("=")[0]


@pytest.mark.drill("T10")
@pytest.mark.parametrize("override", SEMANTIC)
def test_semantic_changes_are_told(valid: Path, override: str) -> None:
    old, new = load(valid).options, load(valid, [override]).options
    assert SEMANTIC[override] in semantic_diff(old, new)
    assert options_hash(old) != options_hash(new)
    assert SEMANTIC[override] not in harmless_diff(old, new)


@pytest.mark.drill("T10")
def test_raising_total_iter_resumes_but_is_another_hash(valid: Path) -> None:
    old, new = load(valid).options, load(valid, ["train.total_iter=200"]).options
    assert semantic_diff(old, new) == []
    assert harmless_diff(old, new) == ["train.total_iter: 100 -> 200"]
    assert options_hash(old) != options_hash(new)


def test_a_section_that_appears_or_goes_is_told(valid: Path) -> None:
    old, new = load(valid).options, load(valid, ["quant=~"]).options
    assert semantic_diff(old, new) == ["quant: (a section) -> (left out)"]
    assert semantic_diff(new, old) == ["quant: (left out) -> (a section)"]


def test_hash_is_stable_text(valid: Path) -> None:
    value = options_hash(load(valid).options)
    assert len(value) == 12
    assert int(value, 16) >= 0
    assert value == options_hash(from_json(json.loads(json.dumps(load(valid).options.to_json()))))


def test_json_round_trip(valid: Path) -> None:
    options = load(valid, ["depth.dqa.depths=[8, 4]", "quant.rules=[{match: a}]"]).options
    assert from_json(json.loads(json.dumps(options.to_json()))) == options


@pytest.mark.parametrize("data", [{}, {"name": 3}, {"quant": "x"}, {"evil": 1}])
def test_what_is_no_options_is_a_format_error(data: dict) -> None:
    with pytest.raises(FormatError, match="not the options"):
        from_json(data)


def test_json_with_a_key_of_a_newer_version_is_refused_by_name(valid: Path) -> None:
    data = load(valid).options.to_json()
    data["quant"]["future"] = 1
    with pytest.raises(FormatError, match=r"quant\.future"):
        from_json(data)


def test_options_is_exported(valid: Path) -> None:
    assert isinstance(load(valid).options, Options)

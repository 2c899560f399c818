"""Contradictions between keys of data, quantizer, training and validation."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsr.errors import OptionsError
from qsr.options import load

SWIN = "network_g={type: SwinIR}"

# overrides -> (key that is named, a part of the message)
CONTRADICTIONS = [
    (["datasets.train.gt_size=49"], "datasets.train.gt_size", "multiple of scale 2"),
    ([SWIN, "datasets.train.gt_size=40"], "datasets.train.gt_size", "a multiple of 16"),
    (["datasets.train.gt_size=~"], "datasets.train.gt_size", "missing"),
    (["datasets.train=~"], "datasets.train", "needs pictures"),
    (["datasets.vall={dataroot_gt: a}"], "datasets.vall", "did you mean val?"),
    (["datasets.val={dataroot_gt: a.lmdb}"], "datasets.val.dataroot_gt", "expected lmdb"),
    (["datasets.val={dataroot_gt: a, io_backend: {type: lmdb}}"], "datasets.val.dataroot_gt", "expected disk"),
    (["datasets.val={dataroot_gt: a, filename_tmpl: '{}x4'}"], "datasets.val.filename_tmpl", "but scale is 2"),
    (["datasets.val={dataroot_gt: a, filename_tmpl: x2}"], "datasets.val.filename_tmpl", "one {}"),
    (["datasets.val={dataroot_gt: a, dataroot_lq: Set5/LRbicx4}"], "datasets.val.dataroot_lq", "looks like x4"),
    (["datasets.val={dataroot_gt: a, dataroot_lq: LR_bicubic/X3}"], "datasets.val.dataroot_lq", "looks like x3"),
    (["datasets.val={dataroot_gt: a, dataroot_lq: DIV2K_LR_bicubic_X4_sub}"], "datasets.val.dataroot_lq", "looks like x4"),
    (["quant.method=rql"], "quant.method", "did you mean rlq?"),
    (["quant.w_bits=1"], "quant.w_bits", "rlq is defined for 2 to 8"),
    (["quant.a_bits=9"], "quant.a_bits", "(or 32: full precision)"),
    (["quant.rules=[{match: a, w_bits: 16}]"], "quant.rules.0.w_bits", "found 16"),
    (["quant.rules=[{match: a, method: lsqq}]"], "quant.rules.0.method", "did you mean lsq?"),
    (["quant.quant_matmul=true"], "quant.quant_matmul", "only SwinIR"),
    (["train.fp_iter=9", "path.pretrain_network_g=x"], "train.fp_iter", "exclude each other"),
    (["train.fp_iter=9", "quant=~"], "train.fp_iter", "nothing to quantize"),
    (["train.activations_first=0.3", "quant=~"], "train.activations_first", "no `quant` section"),
    (["train.activations_first=0.3", "quant.w_bits=32"], "train.activations_first", "nothing follows"),
    (["train.activations_first=0.3", "quant.a_bits=32"], "train.activations_first", "nothing to begin with"),
    (["train.distill=[{}]"], "train.distill.0.teacher", "missing"),
    (["train.distill=[{}, {weight: 1.0}]", "path.pretrain_network_g=x"], "train.distill.1", "there already"),
    (
        ["train.distill=[{teacher: x}]", "network_g={type: 'basicsr:RRDBNet'}"],
        "train.distill.0",
        "expected SRResNet, SwinIR or Mixer",
    ),
    (["train.nan_policy=skip", "train.nan_check_freq=5"], "train.nan_check_freq", "has to look before every step"),
    (["train.warmup_iter=100"], "train.warmup_iter", "less than total_iter 100"),
    (["train.scheduler.type=MultiStepLR"], "train.scheduler.milestones", "missing"),
    (["train.scheduler={type: MultiStepLR, milestones: [9, 5]}"], "train.scheduler.milestones", "rising"),
    (
        ["train.scheduler={type: MultiStepRestartLR, milestones: [5], restarts: [0, 50]}"],
        "train.scheduler.restart_weights",
        "found 1 for 2 restarts",
    ),
    (["train.scheduler.periods=[50, 50]"], "train.scheduler.restart_weights", "found 1 for 2 periods"),
    (["train.scheduler.periods=[50]"], "train.scheduler.periods", "before total_iter 100"),
    (
        ["val.metrics={psnr: {type: calculate_psnr}, ssim: {type: calculate_ssim, crop_border: 4}}"],
        "val.metrics.ssim.crop_border",
        "found 4, but psnr has 2",
    ),
    (
        ["val.metrics={psnr: {type: calculate_psnr}, ssim: {type: calculate_ssim, test_y_channel: false}}"],
        "val.metrics.ssim.test_y_channel",
        "one protocol",
    ),
]


@pytest.mark.parametrize(("overrides", "key", "part"), CONTRADICTIONS)
def test_contradiction(valid: Path, overrides: list[str], key: str, part: str) -> None:
    with pytest.raises(OptionsError) as caught:
        load(valid, overrides)
    (line,) = caught.value.problems
    assert line.partition("  ")[2].startswith(f"{key}: ")
    assert part in line


def test_all_contradictions_come_together(valid: Path) -> None:
    with pytest.raises(OptionsError) as caught:
        load(
            valid, ["datasets.train.gt_size=49", "quant.w_bits=9", "network_g.upscale=3", "train.fp_iter=5", "quant.method=lsq"]
        )
    assert len(caught.value.problems) == 3


ACCEPTED = [
    ["quant.w_bits=32"],
    ["quant.rules=[{match: a, a_bits: 32}, {match: b, method: lsq, w_bits: 8}]"],
    [SWIN, "quant.quant_matmul=true", "datasets.train.gt_size=64"],
    ["datasets.val={dataroot_gt: a, dataroot_lq: LRbicx2, filename_tmpl: '{}x2'}"],
    ["datasets.val={dataroot_gt: a, dataroot_lq: disk_x4/Set5/LR}"],
    ["datasets.val={dataroot_gt: a.lmdb, dataroot_lq: b_X2_sub.lmdb, io_backend: {type: lmdb}}"],
    ["datasets.test_1={dataroot_gt: a}", "datasets.val_Set14={dataroot_gt: a}"],
    ["val.metrics={p: {type: calculate_psnr, crop_border: 2}, s: {type: calculate_ssim}}"],
    ["train.scheduler={type: CosineAnnealingRestartLR, periods: [50, 50], restart_weights: [1, 0.5]}"],
    ["quant=~", "depth.dqa.depths=[8, 4]", "train.fp_iter=10"],
    ["train=~", "datasets.train=~"],
]


@pytest.mark.parametrize("overrides", ACCEPTED)
def test_accepted(valid: Path, overrides: list[str]) -> None:
    assert load(valid, overrides).options.name == "tiny"

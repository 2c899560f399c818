"""Checks across keys, made before anything is built: each fault at the key that should change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePath

from qsr.options.checks_network import network_problems
from qsr.options.problems import Problem, nearest
from qsr.options.schema import BasicSRNetwork, Dataset, LayerRule, Options, Quant, Scheduler, SwinIR, Train
from qsr.options.tree import Tree
from qsr.spec import METHODS

FULL_PRECISION = 32
_PHASE = re.compile(r"train|(val|test)(_\w+)?")
_SCALE_IN_FOLDER = re.compile(r"(?:^|[_.-]|bic(?:ubic)?)x([2348])(?:$|[_.-])", re.IGNORECASE)
_SCALE_IN_NAME = re.compile(r"x([2348])(?!\d)", re.IGNORECASE)


def cross_problems(options: Options, tree: Tree) -> list[Problem]:
    """Every contradiction between keys; `tree` tells which keys were written and which follow from defaults."""
    found = [*network_problems(options, tree), *_dataset_problems(options)]
    if options.quant:
        found += _quant_problems(options.quant, options)
    if options.train:
        found += _train_problems(options.train, options)
    found += _metric_problems(options)
    return found


# --- data ----------------------------------------------------------------------------------------------------
def _dataset_problems(options: Options) -> Iterator[Problem]:
    for name, dataset in options.datasets.items():
        here = ("datasets", name)
        if not _PHASE.fullmatch(name):
            yield Problem(
                here, f"unknown phase, expected train, val, val_2, test_1, ...{nearest(name, ('train', 'val', 'test'))}"
            )
        for key in ("dataroot_gt", "dataroot_lq"):
            root = getattr(dataset, key)
            if root is not None and (dataset.io_backend.type == "lmdb") != root.endswith(".lmdb"):
                wanted = "lmdb" if root.endswith(".lmdb") else "disk"
                yield Problem(
                    (*here, key), f"{root} does not go with io_backend.type {dataset.io_backend.type} (expected {wanted})"
                )
        yield from _scale_problems(dataset, here, options.scale)
        if name == "train" and dataset.gt_size:
            yield from _patch_problems(dataset.gt_size, options)


def _scale_problems(dataset: Dataset, here: tuple[str, ...], scale: int) -> Iterator[Problem]:
    """Names that say another scale than `scale`: the commonest slip when a file is copied from x4 to x2."""
    if dataset.filename_tmpl.count("{}") != 1:
        yield Problem((*here, "filename_tmpl"), f"found {dataset.filename_tmpl!r}, expected one {{}} for the HR name")
    named = _SCALE_IN_NAME.findall(dataset.filename_tmpl)
    if named and named != [str(scale)]:
        yield Problem((*here, "filename_tmpl"), f"found {dataset.filename_tmpl!r}, but scale is {scale}")
    parts = PurePath(dataset.dataroot_lq or "").parts[-2:]
    scales = {int(digit) for part in parts for digit in _SCALE_IN_FOLDER.findall(part)}
    if scales and scale not in scales:
        yield Problem((*here, "dataroot_lq"), f"{dataset.dataroot_lq} looks like x{min(scales)} pictures, but scale is {scale}")


def _patch_problems(gt_size: int, options: Options) -> Iterator[Problem]:
    here, scale, network = ("datasets", "train", "gt_size"), options.scale, options.network_g
    if gt_size % scale:
        yield Problem(here, f"found {gt_size}, expected a multiple of scale {scale}")
    elif isinstance(network, SwinIR) and (gt_size // scale) % network.window_size:
        window = network.window_size
        yield Problem(
            here,
            f"found {gt_size}: LR patches of {gt_size // scale} do not divide into windows of {window} "
            f"(expected a multiple of {scale * window})",
        )


# --- quantization --------------------------------------------------------------------------------------------
def _quant_problems(quant: Quant, options: Options) -> Iterator[Problem]:
    yield from _bits_problems(("quant",), quant.method, quant)
    for number, rule in enumerate(quant.rules):
        yield from _bits_problems(("quant", "rules", number), rule.method or quant.method, rule)
    if quant.quant_matmul and not isinstance(options.network_g, SwinIR):
        yield Problem(("quant", "quant_matmul"), "only SwinIR has attention products to quantize")


def _bits_problems(here: tuple[str | int, ...], method: str, bits: Quant | LayerRule) -> Iterator[Problem]:
    if method not in METHODS:
        if bits.method is not None:  # a rule without its own method repeats a fault that is reported already
            known = ", ".join(METHODS)
            yield Problem((*here, "method"), f"found {method!r}, expected one of {known}{nearest(method, METHODS)}")
        return
    for key, (low, high) in (("w_bits", METHODS[method].w_bits), ("a_bits", METHODS[method].a_bits)):
        found = getattr(bits, key)
        if found is not None and found != FULL_PRECISION and not low <= found <= high:
            yield Problem(
                (*here, key),
                f"found {found}, but {method} is defined for {low} to {high} (or {FULL_PRECISION}: full precision)",
            )


# --- training ------------------------------------------------------------------------------------------------
def _train_problems(train: Train, options: Options) -> Iterator[Problem]:
    data = options.datasets.get("train")
    if data is None:
        yield Problem(("datasets", "train"), "missing; `train` needs pictures to train on")
    elif data.gt_size is None:
        yield Problem(("datasets", "train", "gt_size"), "missing; side of a training patch in HR pixels")
    if train.fp_iter and options.path.pretrain_network_g:
        yield Problem(("train", "fp_iter"), "a full-precision stage and path.pretrain_network_g exclude each other")
    if train.fp_iter and options.quant is None and options.depth.dqa is None:
        yield Problem(("train", "fp_iter"), "there is nothing to quantize after the full-precision stage; use total_iter alone")
    if train.warmup_iter >= train.total_iter:
        yield Problem(("train", "warmup_iter"), f"found {train.warmup_iter}, expected less than total_iter {train.total_iter}")
    if train.nan_policy == "skip" and train.nan_check_freq != 1:
        yield Problem(
            ("train", "nan_check_freq"),
            f"found {train.nan_check_freq}, but nan_policy: skip has to look before every step (expected 1)",
        )
    if train.activations_first:
        yield from _activations_first_problems(options.quant)
    yield from _distill_problems(train, options)
    yield from _schedule_problems(train.scheduler, train.total_iter)


def _distill_problems(train: Train, options: Options) -> Iterator[Problem]:
    own = bool(train.fp_iter or options.path.pretrain_network_g)
    for number, term in enumerate(train.distill):
        here = ("train", "distill", number)
        if term.teacher is None and not own:
            yield Problem(
                (*here, "teacher"),
                "missing; this run has neither a full-precision stage nor path.pretrain_network_g to learn from",
            )
        if any((term.type, term.features) == (other.type, other.features) for other in train.distill[:number]):
            yield Problem(here, f"{term.type} of {term.features} is there already; give one of them the sum of the weights")
        if isinstance(options.network_g, BasicSRNetwork):
            yield Problem(here, f"the blocks of {options.network_g.type} are not known, expected SRResNet, SwinIR or Mixer")


def _activations_first_problems(quant: Quant | None) -> Iterator[Problem]:
    here = ("train", "activations_first")
    if quant is None:
        yield Problem(here, "there is no `quant` section, hence no activations to quantize first")
    elif quant.w_bits == FULL_PRECISION:
        yield Problem(here, f"weights stay in full precision (quant.w_bits {FULL_PRECISION}): nothing follows the activations")
    elif quant.a_bits == FULL_PRECISION:
        yield Problem(
            here, f"activations stay in full precision (quant.a_bits {FULL_PRECISION}): there is nothing to begin with"
        )


def _schedule_problems(schedule: Scheduler, total: int) -> Iterator[Problem]:
    here = ("train", "scheduler")
    if schedule.type.startswith("MultiStep"):
        if not schedule.milestones:
            yield Problem((*here, "milestones"), f"missing; {schedule.type} lowers the learning rate there")
        if any(a >= b for a, b in pairwise(schedule.milestones)):
            yield Problem((*here, "milestones"), f"found {list(schedule.milestones)}, expected rising iterations")
    if schedule.type == "MultiStepRestartLR" and len(schedule.restarts) != len(schedule.restart_weights):
        yield Problem(
            (*here, "restart_weights"), f"found {len(schedule.restart_weights)} for {len(schedule.restarts)} restarts"
        )
    if schedule.type.startswith("Cosine") and schedule.periods:
        if len(schedule.periods) != len(schedule.restart_weights):
            yield Problem(
                (*here, "restart_weights"), f"found {len(schedule.restart_weights)} for {len(schedule.periods)} periods"
            )
        if sum(schedule.periods) < total:
            yield Problem((*here, "periods"), f"end at iteration {sum(schedule.periods)}, before total_iter {total}")


# --- validation ----------------------------------------------------------------------------------------------
def _metric_problems(options: Options) -> Iterator[Problem]:
    """PSNR and SSIM come from one protocol, so their settings must not differ."""
    metrics = [
        (name, {"crop_border": options.scale if m.crop_border is None else m.crop_border, "test_y_channel": m.test_y_channel})
        for name, m in (options.val.metrics or {}).items()
    ]
    for name, settings in metrics[1:]:
        first_name, first = metrics[0]
        for key, found in settings.items():
            if found != first[key]:
                message = f"found {found}, but {first_name} has {first[key]}; one protocol measures both"
                yield Problem(("val", "metrics", name, key), message)

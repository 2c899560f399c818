"""Every ready-made option file loads, is named after its path, and is an experiment of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsr.options import Options, from_json, load, options_hash
from qsr.options.schema import SRResNet, SwinIR

REPOSITORY = Path(__file__).resolve().parents[2]
READY = [*sorted((REPOSITORY / "options").glob("*.yml")), *sorted((REPOSITORY / "options" / "small").glob("*.yml"))]
BITS = ("w8a8", "w4a4", "w2a2")
FAMILIES = ("quantsr", "quantsr_t", "lsq", "lsq_plus", "pams", "cadyq")
PROMISED = {
    "quantsr_x4_w2a2",
    "demo",
    *(f"{family}_x{scale}" for family in ("fp", "fp_t") for scale in (2, 4)),
    *(f"{family}_x{scale}_{bits}" for family in FAMILIES for scale in (2, 4) for bits in BITS),
}


def options(name: str) -> Options:
    return load(REPOSITORY / "options" / f"{name}.yml").options


def test_what_was_promised_is_there() -> None:
    assert {file.stem for file in READY} >= PROMISED


@pytest.mark.parametrize("file", READY, ids=lambda file: file.stem)
def test_file_loads_under_its_own_name(file: Path) -> None:
    resolved = load(file)
    path = file.relative_to(REPOSITORY / "options").with_suffix("")
    assert resolved.options.name == "_".join(path.parts)
    assert resolved.ignored == ()
    assert resolved.options.train is not None
    assert from_json(resolved.options.to_json()) == resolved.options
    assert len(file.read_text().splitlines()) <= 25


@pytest.mark.parametrize("file", [file for file in READY if "_x" in file.stem], ids=lambda file: file.stem)
def test_the_name_tells_scale_and_bits(file: Path) -> None:
    found = load(file).options
    assert f"_x{found.scale}" in file.stem
    if found.quant:
        assert file.stem.endswith(f"_w{found.quant.w_bits}a{found.quant.a_bits}")
    else:
        assert "_w" not in file.stem


def test_no_two_files_are_the_same_experiment() -> None:
    hashes = {options_hash(load(file).options): file for file in READY}
    assert len(hashes) == len(READY)


def test_quantsr_c_is_the_papers() -> None:
    found = options("quantsr_x4_w2a2")
    assert isinstance(found.network_g, SRResNet)
    assert (found.network_g.resolved_layout, found.network_g.num_feat) == ("edsr", 64)
    assert found.depth.dqa is not None
    assert found.depth.dqa.depths == (32, 16, 8)
    assert found.quant is not None
    assert (found.quant.method, found.quant.w_bits, found.quant.a_bits) == ("rlq", 2, 2)
    assert found.train is not None
    assert (found.train.total_iter, found.train.scheduler.milestones) == (300_000, (200_000,))
    assert (found.datasets["train"].gt_size, found.datasets["train"].batch_size_per_gpu) == (4 * 48, 16)


def test_quantsr_t_is_swinir_s_in_three_depths() -> None:
    found = options("quantsr_t_x2_w4a4")
    assert isinstance(found.network_g, SwinIR)
    assert (found.network_g.embed_dim, found.network_g.depths) == (60, (6, 6, 6, 6))
    assert found.depth.dqa is not None
    assert found.depth.dqa.depths == (8, 4, 2)
    assert found.datasets["train"].gt_size == 2 * 64


def test_lsq_is_the_plain_network() -> None:
    found = options("lsq_x2_w4a4")
    assert found.depth.dqa is None
    assert found.network_g == options("fp_x2").network_g


@pytest.mark.parametrize("name", ["rlq_x2_w4a4", "lsq_x2_w2a2", "dqa_x2_w4a4", "rlq_x4_w2a2"])
def test_small_ones_start_from_the_small_full_precision_network(name: str) -> None:
    found = options(f"small/{name}")
    start = options(f"small/fp_x{found.scale}")
    assert found.path.pretrain_network_g == f"experiments/{start.name}"
    assert found.network_g == start.network_g


def test_demo_fits_a_cpu() -> None:
    found = options("demo")
    assert found.train is not None
    assert found.train.fp_iter + found.train.total_iter <= 3000
    assert found.path.pretrain_network_g is None

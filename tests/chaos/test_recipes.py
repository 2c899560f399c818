"""Schedules, distillation, balanced starts and activations first, killed and resumed: the same bits, on one rank and on two."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from train_drill import assert_same, outcome, run, run_ranks, tiny_options

from qsr.archs.modelfile import load_model
from qsr.data.benchmark import open_folders
from qsr.evaluate.benchmark import evaluate_set
from qsr.evaluate.protocol import default
from qsr.evaluate.upscale import Upscaler

ONE_BIT: dict[str, Any] = {
    "quant": {"w_bits": 1, "a_bits": 1, "start": "balanced"},
    "network_g": {"block": "unit"},
    "depth": None,
    "train": {"activations_first": 0.4, "distill": [{"weight": 0.1}]},
}
RECIPES: dict[str, dict[str, Any]] = {
    # clips and surrogates follow the progress of training; the others carry statistics along
    "recu": {**ONE_BIT, "quant": {**ONE_BIT["quant"], "method": "recu"}},
    "cadyq": {
        "quant": {"method": "cadyq", "w_bits": 4, "a_bits": 4},
        "train": {"distill": [{"type": "at", "features": "body", "weight": 10.0}, {"type": "at", "weight": 1.0}]},
    },
}
TERMS = {
    "recu": {"l_pix", "l_dbt"},
    "cadyq": {f"{name}_{n}" for n in (4, 2, 1) for name in ("l_pix", "l_bits", "l_at_body", "l_at_blocks")},
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.drill("T1")
@pytest.mark.parametrize("name", RECIPES)
def test_killed_twice_it_ends_with_the_same_bits(name: str, pictures: Path, tmp_path: Path) -> None:
    left_alone = tiny_options(pictures, tmp_path / "alone", **RECIPES[name])
    assert run(left_alone) == 0
    options = tiny_options(pictures, tmp_path, **RECIPES[name])
    # iterations 7 to 10 quantize activations only; the checkpoint of 8 lies inside
    for how in ({"die_at": 9}, {"die_at": 14}):
        assert run(options, auto_resume=True, **how) == -signal.SIGKILL
    assert run(options, auto_resume=True) == 0
    assert_same(outcome(tmp_path / "tiny"), outcome(tmp_path / "alone" / "tiny"))
    lines = (tmp_path / "tiny" / "metrics.jsonl").read_text().splitlines()
    rows = {row["iter"]: row for row in map(json.loads, lines) if "lr" in row}
    assert TERMS[name] <= set(rows[16])
    assert not any(key.startswith(("l_dbt", "l_at", "l_bits")) for key in rows[6]), "full precision has no teacher"


def test_the_model_of_the_first_phase_gives_its_own_numbers(pictures: Path, tmp_path: Path) -> None:
    """Whoever loads the file that activations-only training leaves measures what was validated."""
    options = tiny_options(pictures, tmp_path, **RECIPES["recu"])
    assert run(options, signal_at=12, signals=[signal.SIGTERM]) == 5
    network, info = load_model(tmp_path / "tiny" / "models" / "net_g_activations_only.safetensors")
    assert info.options["quant"]["w_bits"] == 32
    held_out = open_folders(pictures / "val", scale=2, name="held-out")
    assert info.metrics["results"] == [evaluate_set(Upscaler(network), held_out, default(2)).to_json()]


@pytest.mark.drill("T4")
def test_two_ranks_stopped_and_resumed_give_the_same_bits(pictures: Path, tmp_path: Path) -> None:
    """The statistics of FRB's window are those of all ranks: a resumed rank 1 has rank 0's, and must not have had others."""
    recipe = {**ONE_BIT, "quant": {**ONE_BIT["quant"], "method": "srb"}}
    assert run_ranks(tiny_options(pictures, tmp_path / "alone", **recipe), 2, free_port()) == [0, 0]
    options = tiny_options(pictures, tmp_path, **recipe)
    assert run_ranks(options, 2, free_port(), rank1={"signal_at": 12, "signals": [signal.SIGTERM]}) == [5, 5]
    assert run_ranks(options, 2, free_port(), auto_resume=True) == [0, 0]
    assert_same(outcome(tmp_path / "tiny"), outcome(tmp_path / "alone" / "tiny"))

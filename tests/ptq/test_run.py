from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qsr import archs
from qsr.archs.convert import load_start
from qsr.archs.modelfile import load_model
from qsr.errors import OptionsError
from qsr.export.command import Packing, export_packed
from qsr.options import from_json
from qsr.ptq.run import Ptq, model_path, ptq
from qsr.ptq.source import Wanted
from qsr.quant import is_calibrated

SWINIR = {"type": "SwinIR", "depths": [2, 2], "num_heads": [2, 2], "embed_dim": 8}
QUICK = {"patches": 4, "side": 8, "batch": 2, "iterations": 3, "rounding_iterations": 3}


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse", "2dquant"])
def test_the_result_is_an_ordinary_model_file(full_precision, pictures: Path, tmp_path: Path, method: str) -> None:
    outcome = ptq(full_precision(), pictures, Wanted(4, 4), Ptq(method, **QUICK), tmp_path / "exp")
    assert outcome.path == tmp_path / "exp" / "models" / "net_g_latest.safetensors"
    network, info = load_model(tmp_path / "exp")
    assert is_calibrated(network)
    assert from_json(info.options).name == f"fp_ptq_{method}_w4a4"
    about = info.extra["ptq"]
    assert about["method"] == method
    assert about["minutes"] >= 0
    assert about["start"] == "net_g_latest.safetensors"
    assert about["quantized"]["error"] == outcome.after.error > 0 == outcome.before.error
    packed = export_packed(outcome.path, tmp_path / "net.qsr", Packing(verify=pictures / "p0.png"))
    assert packed.verified.passed


def test_more_bits_are_nearer(full_precision, pictures: Path, tmp_path: Path) -> None:
    errors = [
        ptq(full_precision(), pictures, Wanted(bits, bits), Ptq("mse", **QUICK), tmp_path / f"{bits}.safetensors").after.error
        for bits in (2, 4, 8)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_transformers_with_an_offset_and_rounding(full_precision, pictures: Path, tmp_path: Path) -> None:
    told: list[str] = []
    wanted, how = Wanted(4, 4, quantizer="lsq_plus"), Ptq("2dquant", rounding=True, **QUICK)
    outcome = ptq(full_precision(SWINIR), pictures, wanted, how, tmp_path / "t.safetensors", notify=told.append)
    plain = ptq(full_precision(SWINIR), pictures, wanted, Ptq("minmax", **QUICK), tmp_path / "plain.safetensors")
    assert outcome.before == plain.before
    assert [line.split()[0] for line in told] == ["step", "bounds", "rounding", "rounding"]
    network, _ = load_model(outcome.path)
    quantizer = network.layers[0].residual_group.blocks[0].mlp.fc2.act_quant  # of GELU's output, which reaches below zero
    lowest, highest = (float(code * quantizer.step + quantizer.shift) for code in (-8, 7))
    assert lowest < 0 < highest


def test_attention_products_get_steps_too(full_precision, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "o.yml").write_text(
        "name: t\nscale: 2\nnetwork_g: {type: SwinIR, depths: [2, 2], num_heads: [2, 2], embed_dim: 8}\n"
        "quant: {method: lsq, w_bits: 4, a_bits: 4, quant_matmul: true}\n"
    )
    out = tmp_path / "t.safetensors"
    ptq(full_precision(SWINIR), pictures, Wanted(opt=tmp_path / "o.yml"), Ptq("mse", **QUICK), out)
    network, _ = load_model(out)
    attention = network.layers[1].residual_group.blocks[0].attn.attn_quant
    assert bool(attention.initialised)
    assert not bool(attention.signed)


def test_the_same_seed_gives_the_same_file(full_precision, pictures: Path, tmp_path: Path) -> None:
    networks = []
    for name in ("a", "b"):
        how = Ptq("2dquant", rounding=True, **QUICK)
        networks.append(
            load_model(ptq(full_precision(), pictures, Wanted(2, 2), how, tmp_path / f"{name}.safetensors").path)[0]
        )
    states = [network.state_dict() for network in networks]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_training_goes_on_from_it(full_precision, pictures: Path, tmp_path: Path) -> None:
    outcome = ptq(full_precision(), pictures, Wanted(4, 4), Ptq("mse", **QUICK), tmp_path / "q.safetensors")
    network = archs.build(outcome.options)
    archs.quantize(network, outcome.options)
    load_start(network, outcome.path)
    assert is_calibrated(network)
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(network.eval()(x), load_model(outcome.path)[0](x))


def test_names_and_places(full_precision, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="minmax, percentile, mse, 2dquant"):
        ptq(full_precision(), pictures, Wanted(4, 4), Ptq("maximum"))  # type: ignore[arg-type]
    outcome = ptq(full_precision(), pictures, Wanted(4, 4), Ptq("minmax", **QUICK), tmp_path / "q.safetensors")
    assert model_path(None, outcome.options) == Path("experiments/fp_ptq_minmax_w4a4/models/net_g_latest.safetensors")

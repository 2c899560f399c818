from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qsr import archs
from qsr.archs.convert import write_basicsr
from qsr.archs.modelfile import ModelInfo, load_model, save_model
from qsr.errors import OptionsError
from qsr.options import from_dict
from qsr.ptq.source import Wanted, open_network, quantized_options, read_rules

OPTION_FILE = """
name: fp
scale: 2
network_g: {type: SRResNet, num_feat: 6, num_block: 2, img_range: 1.0}
quant: {method: rlq, w_bits: 3, a_bits: 4, skip: [conv_after_body]}
"""
RULES = "quant:\n  rules:\n  - {match: body.0.conv1, w_bits: 8, a_bits: 6}\n"


def test_bits_alone_give_lsq_per_channel(full_precision) -> None:
    quant = quantized_options(full_precision(), Wanted(4, 3)).quant
    assert (quant.method, quant.w_granularity, quant.w_bits, quant.a_bits) == ("lsq", "channel", 4, 3)
    assert quantized_options(full_precision(), Wanted(4, 3, quantizer="lsq_plus")).quant.method == "lsq_plus"


def test_an_option_file_counts_and_bits_override_it(full_precision, tmp_path: Path) -> None:
    (tmp_path / "o.yml").write_text(OPTION_FILE)
    quant = quantized_options(full_precision(), Wanted(opt=tmp_path / "o.yml", a_bits=8, settings=("quant.k=1",))).quant
    assert (quant.method, quant.w_bits, quant.a_bits, quant.skip, quant.k) == ("rlq", 3, 8, ("conv_after_body",), 1.0)


def test_rules_decide_by_layer(full_precision, tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text(RULES)
    options = quantized_options(full_precision(), Wanted(4, 4, rules=tmp_path / "r.yml"))
    _, report = open_network(full_precision(), options)
    bits = {row.module: (row.w_bits, row.a_bits) for row in report.quantized}
    assert bits["body.0.conv1"] == (8, 6)
    assert bits["body.0.conv2"] == (4, 4)
    (tmp_path / "r.yml").write_text("name: x\nquant: {rules: []}\n")
    with pytest.raises(OptionsError, match="alone"):
        read_rules(tmp_path / "r.yml")


def test_the_network_has_the_weights_of_the_file(full_precision) -> None:
    options = quantized_options(full_precision(), Wanted(4, 4))
    network, _ = open_network(full_precision(), options)
    base, _ = load_model(full_precision())
    for name, value in base.state_dict().items():
        assert torch.equal(network.state_dict()[name], value)


def test_a_basicsr_checkpoint_needs_an_option_file(full_precision, tmp_path: Path) -> None:
    base, _ = load_model(full_precision())
    write_basicsr(tmp_path / "net.pth", base)
    with pytest.raises(OptionsError, match="does not say what network"):
        quantized_options(tmp_path / "net.pth", Wanted(4, 4))
    (tmp_path / "o.yml").write_text(OPTION_FILE)
    options = quantized_options(tmp_path / "net.pth", Wanted(opt=tmp_path / "o.yml"))
    network, _ = open_network(tmp_path / "net.pth", options)
    assert torch.equal(network.conv_first.weight, base.conv_first.weight)


def test_what_cannot_be_is_refused(full_precision, tmp_path: Path) -> None:
    section = {"name": "q", "scale": 2, "network_g": {"type": "SRResNet", "num_feat": 4, "num_block": 2}}
    dqa = from_dict({**section, "depth": {"dqa": {"depths": [2, 1]}}})
    save_model(tmp_path / "dqa.safetensors", archs.build(dqa), ModelInfo(dqa.to_json()))
    low = from_dict({**section, "quant": {"method": "lsq", "w_bits": 4, "a_bits": 4}})
    save_model(tmp_path / "low.safetensors", {}, ModelInfo(low.to_json()))
    for path, wanted, message in (
        (full_precision(), Wanted(w_bits=4), "missing: a_bits"),
        (full_precision(), Wanted(99, 4), "quant.w_bits"),
        (full_precision(), Wanted(16, 4), "lsq is defined for 2 to 8"),
        (tmp_path / "dqa.safetensors", Wanted(4, 4), "several depths"),
        (tmp_path / "low.safetensors", Wanted(4, 4), "quantized already"),
    ):
        with pytest.raises(OptionsError, match=message):
            quantized_options(path, wanted)

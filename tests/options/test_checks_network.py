"""Contradictions inside the network section, and with `scale` and `depth.dqa`."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsr.errors import OptionsError
from qsr.options import load

DQA = "depth.dqa.depths=[8, 4, 2]"

CONTRADICTIONS = [
    (["network_g.upscale=4"], "network_g.upscale", "found 4, but scale is 2"),
    (["network_g={type: SwinIR, upscale: 3}"], "network_g.upscale", "found 3, but scale is 2"),
    (["network_g={type: 'basicsr:RRDBNet', upscale: 4}"], "network_g.upscale", "found 4, but scale is 2"),
    (["network_g.type=EDSR", "network_g.layout=msr"], "network_g.layout", "type EDSR is the edsr layout"),
    (["network_g.type=MSRResNet", "network_g.layout=edsr"], "network_g.layout", "type MSRResNet is the msr layout"),
    (["network_g.layout=msr", "network_g.img_range=1"], "network_g.img_range", "msr layout"),
    (["network_g.input_gain=130"], "network_g.input_gain", "edsr layout"),
    (["network_g.num_in_ch=1"], "network_g.num_in_ch", "expected 3"),
    (["network_g={type: SwinIR, in_chans: 1}"], "network_g.in_chans", "expected 3"),
    (["network_g={type: SwinIR, depths: [6, 6]}"], "network_g.num_heads", "found 4 entries for 2 RSTBs"),
    (["network_g={type: SwinIR, embed_dim: 64}"], "network_g.embed_dim", "multiple of 6 heads"),
    (["depth.dqa.depths=[8, 8]"], "depth.dqa.depths", "falling"),
    (["depth.dqa.depths=[4, 8]"], "depth.dqa.depths", "falling"),
    (["depth.dqa.depths=[8]"], "depth.dqa.depths", "two or more"),
    ([DQA, "depth.dqa.weights=[1, 1]"], "depth.dqa.weights", "found 2 for 3 depths"),
    ([DQA, "network_g={type: 'basicsr:RRDBNet'}"], "depth.dqa", "no depth to vary"),
    ([DQA, "network_g={type: Mixer}"], "depth.dqa", "Mixer has no depth to vary"),
    (["network_g={type: Mixer, upscale: 3}"], "network_g.upscale", "found 3, but scale is 2"),
    (["network_g={type: Mixer, num_feat: 2049}"], "network_g.expansion", "makes 4098 channels of 2049, expected at most 4096"),
    ([DQA, "network_g={type: SwinIR, depths: [6, 4], num_heads: [6, 6]}"], "network_g.depths", "differs between RSTBs"),
]


@pytest.mark.parametrize(("overrides", "key", "part"), CONTRADICTIONS)
def test_contradiction(valid: Path, overrides: list[str], key: str, part: str) -> None:
    with pytest.raises(OptionsError) as caught:
        load(valid, overrides)
    (line,) = caught.value.problems
    assert line.partition("  ")[2].startswith(f"{key}: ")
    assert part in line


@pytest.mark.parametrize(
    "overrides",
    [
        ["network_g.type=EDSR", "network_g.layout=edsr"],
        ["network_g.layout=msr"],
        ["network_g.layout=msr", "network_g.input_gain=130"],
        ["network_g={type: 'basicsr:RRDBNet', num_block: 3, upscale: 2}"],
        [DQA, "network_g={type: SwinIR}"],
        ["network_g={type: Mixer, block: unit, expansion: 4}"],
        [DQA, "depth.dqa.weights=[1, 2, 3]"],
    ],
)
def test_accepted(valid: Path, overrides: list[str]) -> None:
    assert load(valid, overrides).options.scale == 2

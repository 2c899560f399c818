"""quantize_, calibrate and parameter_groups on plain torch networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import qsr
from qsr.errors import OptionsError
from qsr.quant import QConv2d, QLinear, is_calibrated, parameter_groups, quantizers
from qsr.spec import QuantRule, QuantSpec

W, A = QuantSpec("rlq", 4), QuantSpec("rlq", 2)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 4, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
        self.norm = nn.LayerNorm(4)
        self.fc = nn.Linear(4, 4)
        self.shortcut = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.head(x)
        features = self.shortcut * features + self.body(features)
        return self.fc(self.norm(features.permute(0, 2, 3, 1)))


def test_replaces_exactly_what_the_rules_name_and_reports_the_rest() -> None:
    network = Net()
    report = qsr.quantize_(network, [QuantRule("body.*", W, A), QuantRule("fc", W), QuantRule("head", reason="first layer")])
    assert {row.module: (row.w_bits, row.a_bits, row.act_at, row.reason) for row in report.rows} == {
        "": (32, 32, "", "Net has no quantized form"),
        "head": (32, 32, "", "first layer"),
        "body.0": (4, 2, "input, before zero padding", ""),
        "body.2": (4, 2, "input, before zero padding", ""),
        "norm": (32, 32, "", "LayerNorm has no quantized form"),
        "fc": (4, 32, "", "activation kept by rule"),
    }
    kinds = {name: type(module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    assert kinds == {"head": nn.Conv2d, "body.0": QConv2d, "body.2": QConv2d, "fc": QLinear}
    assert sum(row.params for row in report.rows) == sum(p.numel() for p in Net().parameters())


def test_the_last_rule_wins_and_idle_ones_are_named() -> None:
    rules = [QuantRule("*", W, A), QuantRule("body.*"), QuantRule("body.0", QuantSpec("lsq", 8)), QuantRule("tail", W)]
    report = qsr.quantize_(Net(), rules)
    bits = {row.module: row.w_bits for row in report.rows}
    assert (bits["head"], bits["body.0"], bits["body.2"]) == (4, 8, 32)
    assert report.unused == ("tail",)


def test_a_float_state_dict_still_fits() -> None:
    network, state = Net(), Net().state_dict()
    qsr.quantize_(network, [QuantRule("*", W, A)])
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected
    assert all("_quant." in name for name in missing)


def test_a_shared_layer_stays_shared() -> None:
    conv = nn.Conv2d(2, 2, 1)
    network = nn.ModuleDict({"a": conv, "b": nn.Sequential(conv)})
    report = qsr.quantize_(network, [QuantRule("*", W, A)])
    assert network["a"] is network["b"][0]
    assert isinstance(network["a"], QConv2d)
    assert len(report.rows) == 1


@pytest.mark.parametrize(
    ("network", "rules", "message"),
    [
        (nn.Conv2d(1, 1, 1), [QuantRule("*", W)], "wrap it in nn.Sequential"),
        (Net(), [QuantRule("boddy.*", W)], "quantize no layer.*head, body.0"),
        (Net(), [QuantRule("body.*", QuantSpec("rlqq", 4))], "layer body.0 .rule 'body.*'.: no quantizer is called 'rlqq'"),
        (Net(), [QuantRule("body.*", QuantSpec("rlq", 1))], "layer body.0.*found 1 bits"),
    ],
)
def test_mistakes_are_named_and_leave_the_network_alone(network: nn.Module, rules: list[QuantRule], message: str) -> None:
    before = [type(module) for module in network.modules()]
    with pytest.raises(OptionsError) as fault:
        qsr.quantize_(network, rules)
    fault.match(message)
    assert [type(module) for module in network.modules()] == before


def test_quantizing_twice_is_refused() -> None:
    network = Net()
    qsr.quantize_(network, [QuantRule("body.*", W, A)])
    with pytest.raises(OptionsError, match=r"layer body\.0: already quantized"):
        qsr.quantize_(network, [QuantRule("*", W, A)])


def test_layers_whose_weight_is_used_behind_their_back_are_kept() -> None:
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(lambda module, inputs, output: output)
    network = nn.ModuleDict(
        {
            "normed": nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
            "hooked": hooked,
            "encoder": nn.TransformerEncoderLayer(4, 2, 8),
            "plain": nn.Linear(2, 2),
        }
    )
    reasons = {row.module: row.reason for row in qsr.quantize_(network, [QuantRule("*", W, A)]).rows}
    assert reasons["normed"] == "ParametrizedLinear has no quantized form"
    assert reasons["hooked"] == "has hooks or a computed weight"
    assert reasons["encoder.linear1"] == "TransformerEncoderLayer reads its weight directly"
    assert reasons["encoder.self_attn.out_proj"] == "NonDynamicallyQuantizableLinear has no quantized form"
    assert reasons["plain"] == ""


def test_calibrate_initialises_everything_and_restores_the_mode() -> None:
    network = Net()
    network.body.eval()
    qsr.quantize_(network, [QuantRule("*", W, A)])
    assert not is_calibrated(network)
    assert qsr.calibrate(network, (torch.rand(2, 3, 6, 6) for _ in range(9)), n=2) == ()
    assert is_calibrated(network)
    assert network.training
    assert not network.body.training
    signed = {name: bool(q.signed) for name, q in quantizers(network) if q.role == "act"}
    assert signed == {"head.act_quant": False, "body.0.act_quant": True, "body.2.act_quant": False, "fc.act_quant": True}
    assert all(p.grad is None for p in network.parameters())


def test_calibrate_takes_n_batches_and_keeps_what_is_initialised() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    qsr.quantize_(network, [QuantRule("*", W, QuantSpec("lsq", 4, params=(("init", "max"),)))])
    qsr.calibrate(network, [torch.full((1, 2), 15.0), torch.full((1, 2), 150.0)], n=1)
    assert network[0].act_quant.step.item() == 1.0
    qsr.calibrate(network, [torch.full((1, 2), 150.0)])
    assert network[0].act_quant.step.item() == 1.0


def test_calibrate_names_what_no_batch_reached() -> None:
    network = Net()
    network.idle = nn.Conv2d(1, 1, 1)
    qsr.quantize_(network, [QuantRule("*", W, A)])
    assert qsr.calibrate(network, [torch.rand(1, 3, 6, 6)]) == ("idle.act_quant",)


def test_a_failing_batch_leaves_no_quantizer_observing() -> None:
    network = Net()
    qsr.quantize_(network, [QuantRule("*", W, A)])
    with pytest.raises(RuntimeError):
        qsr.calibrate(network, [torch.rand(1, 3, 6, 6), torch.rand(1, 7, 6, 6)])
    step = network.head.act_quant.step.item()
    network(100 * torch.rand(1, 3, 6, 6))
    assert network.head.act_quant.step.item() == step


def test_parameter_groups_hold_every_parameter_once() -> None:
    network = Net()
    qsr.quantize_(network, [QuantRule("*", W, A)])
    groups = parameter_groups(network)
    assert {key: len(group) for key, group in groups.items()} == {"weights": 10, "step": 8, "shift": 4, "shortcut": 1}
    assert all(name.endswith(("weight_quant.step", "act_quant.step")) for name, _ in groups["step"])
    assert groups["shortcut"][0][0] == "shortcut"
    assert sorted(name for group in groups.values() for name, _ in group) == sorted(dict(network.named_parameters()))

"""The balanced start: the asked-for ratio at every sum, for methods of every kind, and what is left alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from qsr import archs
from qsr.archs.units import Join
from qsr.options import Options
from qsr.quant import calibrate, is_calibrated

ONE_BIT = {"w_bits": 1, "a_bits": 1, "start": "balanced"}
MSR = {"type": "MSRResNet", "num_feat": 8, "num_block": 3}
SWINIR = {"type": "SwinIR", "depths": [2, 2], "num_heads": [2, 2], "embed_dim": 8, "window_size": 4, "linear_skip": True}


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def make(make_options) -> Callable[..., tuple[nn.Module, Options]]:
    """A network quantized to one bit from a full-precision base: make(method, network, **quant)."""

    def make(method: str = "srb", network=MSR, **quant) -> tuple[nn.Module, Options]:
        options = make_options(network, quant=ONE_BIT | {"method": method} | quant)
        built = archs.build(options)
        archs.start_from(built, archs.build_base(options))
        archs.quantize(built, options)
        return built, options

    return make


def ratios(network: nn.Module, pictures: Tensor) -> list[float]:
    """std(branch) / std(stream) at every sum with a gain, in order."""
    found: list[float] = []

    def joined(join: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(float(join.branch(*inputs[1:]).std() / inputs[0].std()))

    joins = [module for module in network.modules() if isinstance(module, Join) and module.gain is not None]
    hooks = [join.register_forward_pre_hook(joined) for join in joins]
    with torch.no_grad():
        network.eval()(pictures)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("method", ["srb", "bnn", "bireal", "xnorpp", "irnet"])
@pytest.mark.parametrize("block", ["residual", "unit", "e2fif"])
def test_every_branch_gets_the_ratio(make, pictures: Tensor, method: str, block: str) -> None:
    network, _ = make(method, MSR | {"block": block, "activation": "lrelu"})
    archs.balance(network, pictures, ratio=0.1)
    calibrate(network, [pictures])
    found = ratios(network, pictures)
    assert len(found) == (3 if block == "residual" else 6)
    assert found == pytest.approx([0.1] * len(found), rel=0.02)
    assert is_calibrated(network)


@pytest.mark.parametrize("method", ["srb", "bnn"])
def test_mixers(make, pictures: Tensor, method: str) -> None:
    """The sum with the depthwise branch has no gain: nothing in it is quantized."""
    network, _ = make(method, {"type": "Mixer", "num_feat": 8, "num_block": 3, "block": "unit"})
    archs.balance(network, pictures, ratio=0.1)
    calibrate(network, [pictures])
    assert ratios(network, pictures) == pytest.approx([0.1] * 6, rel=0.02)


@pytest.mark.parametrize("method", ["srb", "bnn"])
def test_transformers(make, pictures: Tensor, method: str) -> None:
    """Skips around projections, attention, MLP and RSTB: the inner and the outer sum of a branch both."""
    network, _ = make(method, SWINIR)
    archs.balance(network, pictures, ratio=0.2)
    calibrate(network, [pictures])
    assert ratios(network, pictures) == pytest.approx([0.2] * (2 * (2 * 3 + 1)), rel=0.02)


@pytest.mark.parametrize("method", ["srb", "bnn", "xnorpp"])
def test_weights_keep_their_size_whatever_the_method(make, pictures: Tensor, method: str) -> None:
    network, _ = make(method, MSR | {"block": "unit"})
    weights = {name: value.clone() for name, value in network.named_parameters() if name.endswith("weight")}
    archs.balance(network, pictures)
    for name, value in weights.items():
        torch.testing.assert_close(network.get_parameter(name), value)
    assert network.body[0].join1.gain < 0.9


def test_head_tail_and_blocks_in_full_precision_are_left(make, pictures: Tensor) -> None:
    network, _ = make("bnn", MSR | {"block": "unit"}, skip=["body.1.*"])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    archs.balance(network, pictures)
    for name, value in network.state_dict().items():
        if not name.startswith(("body.0", "body.2")):
            assert torch.equal(value, before[name]), name
    assert network.body[1].join1.gain == 1


def test_dead_branch_keeps_its_gain(make, pictures: Tensor) -> None:
    network, _ = make("srb", MSR | {"block": "unit"})
    with torch.no_grad():
        network.body[0].conv1.weight.zero_()
    archs.balance(network, pictures)
    assert network.body[0].join1.gain == 1
    assert torch.isfinite(network(pictures)).all()


def test_without_gains_nothing_happens(make, pictures: Tensor) -> None:
    network, _ = make("srb", MSR | {"block": "unit"}, start="as_is")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    archs.balance(network, pictures)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_mode_and_norms_are_restored(make, pictures: Tensor) -> None:
    network, _ = make("bireal", MSR | {"block": "e2fif"})
    network.train()
    archs.balance(network, pictures)
    assert all(module.training for module in network.modules())
    assert network.body[0].norm1.momentum == 0.1
    assert not network.body[0].norm1._forward_pre_hooks


def fit(network: nn.Module, lr: Tensor, hr: Tensor, rate: float) -> float:
    """Squared error after fifty steps."""
    optimiser = torch.optim.Adam(network.train().parameters(), rate)
    for _ in range(50):
        optimiser.zero_grad()
        nn.functional.mse_loss(network(lr), hr).backward()
        optimiser.step()
    with torch.no_grad():
        return float(nn.functional.mse_loss(network.eval()(lr), hr))


def test_the_start_decides_what_is_learned(make_options) -> None:
    """From one full-precision network: plain signs lose what it knew, balanced ones go on from there."""
    noise = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    hr = (nn.functional.interpolate(noise, size=(24, 24), mode="bicubic") > 0.5).float()
    lr = nn.functional.avg_pool2d(hr, 2)
    bicubic = float(nn.functional.mse_loss(nn.functional.interpolate(lr, scale_factor=2, mode="bicubic"), hr))
    section = MSR | {"block": "unit", "num_block": 2}
    base = archs.build_base(make_options(section, quant=ONE_BIT | {"method": "bnn"}))
    fit(base, lr, hr, 5e-3)
    errors = {}
    for start in ("balanced", "as_is"):
        options = make_options(section, quant=ONE_BIT | {"method": "bnn", "start": start})
        network = archs.build(options)
        archs.start_from(network, base)
        archs.quantize(network, options)
        archs.balance(network, lr)
        errors[start] = fit(network, lr, hr, 2e-3)
    assert errors["balanced"] < 0.9 * bicubic < bicubic < errors["as_is"]

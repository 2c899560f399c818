"""BAM: a chain of layers, each of which binarizes what is left over."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qsr.quant import calibrate, parameter_groups, quantize_
from qsr.quant.bam import BAM
from qsr.quant.modules import QConv2d, quantizers
from qsr.spec import METHODS, QuantRule, QuantSpec

WEIGHT, ACT = QuantSpec("bam", 1, "channel"), QuantSpec("bam", 1)
DRAW = torch.Generator().manual_seed(16)


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=DRAW, dtype=torch.float64)


def chain_of(length: int, channels: int = 3) -> list[BAM]:
    """Linked activation quantizers with lambdas and cs of their own, in float64."""
    found = [BAM(ACT, "act", channels, 1) for _ in range(length)]
    BAM.link(found, nn.Module())
    for quantizer in found:
        quantizer.double().initialised.fill_(True)
        with torch.no_grad():
            for parameter in quantizer.parameters():
                parameter.copy_(draw(channels).abs() * 0.5 + 0.1)
    return found


class Network(nn.Module):
    """Three quantized convolutions of 4 channels, one of 6, and skips."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 4, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.wide = nn.Conv2d(4, 6, 1)
        self.last = nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor, skipped: tuple[int, ...] = ()) -> Tensor:
        x = self.head(x)
        for number, conv in enumerate(self.body):
            if number not in skipped:
                x = x + 0.3 * conv(x)
        return self.last(self.wide(x))


def network(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    made = Network()
    quantize_(made, [QuantRule("*", WEIGHT, ACT), QuantRule("head")])
    calibrate(made, [torch.rand(2, 3, 8, 8)])
    with torch.no_grad():
        for _, quantizer in quantizers(made):
            if quantizer.c is not None:
                quantizer.c.uniform_(0.2, 0.9)
    return made.eval()


def test_gradients_of_three_layers() -> None:
    layers = chain_of(3)
    a, g = ([draw(2, 3, 4, 5) for _ in range(3)] for _ in range(2))
    leaves = [x.clone().requires_grad_() for x in a]
    outs = [layer(leaf) for layer, leaf in zip(layers, leaves, strict=True)]
    torch.autograd.backward(outs, g)

    lam = [layer.step.detach().view(3, 1, 1) for layer in layers]
    c = [torch.zeros(3, 1, 1), *(layer.c.detach().view(3, 1, 1) for layer in layers[1:])]
    total, reached, z, h = torch.zeros_like(a[0]), [], [], []
    for x, scale, share in zip(a, lam, c, strict=True):
        reached.append(total)
        z.append(x - share * total)
        h.append(scale * torch.where(z[-1] >= 0, 1.0, -1.0))
        total = total + h[-1]
    into_total = torch.zeros_like(a[0])
    for place in (2, 1, 0):
        dh = g[place] + into_total
        dz = dh * lam[place] * (2 - 2 * z[place].abs()).clamp_min(0)
        close(leaves[place].grad, dz)
        close(layers[place].step.grad, (dh * h[place] / lam[place]).sum((0, 2, 3)))
        close(outs[place].detach(), h[place])
        if place:
            close(layers[place].c.grad, -(dz * reached[place]).sum((0, 2, 3)))
        into_total = into_total - c[place] * dz


def close(found: Tensor, expected: Tensor) -> None:
    assert np.abs(found.numpy() - expected.numpy()).max() < 1e-12


def test_gradients_of_weights() -> None:
    w, g = draw(4, 3, 3, 3), draw(4, 3, 3, 3)
    leaf = w.clone().requires_grad_()
    out = BAM(WEIGHT, "weight", 4, 0)(leaf)
    out.backward(g)
    assert torch.allclose(out.detach(), torch.copysign(w.abs().mean((1, 2, 3), keepdim=True).expand_as(w), w), rtol=1e-14)
    assert torch.equal(leaf.grad, torch.where(w.abs() <= 1, g, 0.0))


@pytest.mark.parametrize(("scale", "axes"), [("channel", (0, 2, 3)), ("tensor", (0, 1, 2, 3))])
def test_lambda_starts_at_the_mean_size_over_all_batches(scale: str, axes: tuple[int, ...]) -> None:
    quantizer = BAM(QuantSpec("bam", 1, params=(("scale", scale),)), "act", 3, 1)
    batches = [torch.randn(2, 3, 4, 4), 5 * torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)]
    for _ in range(2):  # a second calibration forgets the first
        quantizer.begin_calibration()
        for batch in batches:
            quantizer(batch)
        quantizer.end_calibration()
    assert torch.allclose(quantizer.step, torch.cat(batches).abs().mean(axes))
    assert quantizer.encode(batches[0]).scale.numel() == len(quantizer.step)


def test_convolutions_of_one_width_form_a_chain() -> None:
    made = network()
    acts = {name: q for name, q in quantizers(made) if q.role == "act"}
    body = [acts[f"body.{number}.act_quant"] for number in range(3)] + [acts["wide.act_quant"]]
    assert len({id(q.chain) for q in body}) == 1
    assert [q.place for q in body] == [0, 1, 2, 3]
    assert acts["last.act_quant"].chain is not body[0].chain
    # the first of a chain would never use c, and a parameter without gradient stops data-parallel training
    assert [q.c is not None for q in acts.values()] == [False, True, True, True, False]
    groups = parameter_groups(made)
    assert sum(name.endswith(".c") for name, _ in groups["weights"]) == 3
    assert len(groups["step"]) == 5


def test_linear_layers_stand_alone() -> None:
    made = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    quantize_(made, [QuantRule("*", WEIGHT, ACT)])
    assert all(q.chain is None for _, q in quantizers(made))


def test_bits_do_accumulate() -> None:
    made, x = network(), torch.rand(1, 3, 6, 6)
    with_chain = made(x)
    with torch.no_grad():
        for _, quantizer in quantizers(made):
            if quantizer.c is not None:
                quantizer.c.zero_()
    assert not torch.equal(with_chain, made(x))


def test_a_forward_pass_knows_nothing_of_the_one_before() -> None:
    made, x = network(), torch.rand(1, 3, 8, 8)
    first = made(x)
    made(torch.rand(2, 3, 5, 9))
    made(torch.rand(1, 3, 8, 8), skipped=(2,))
    assert torch.equal(made(x), first)
    assert torch.equal(copy.deepcopy(made)(x), first)


@pytest.mark.parametrize("skipped", [(0,), (1,), (0, 1), (2,), (0, 1, 2)])
def test_layers_may_be_left_out(skipped: tuple[int, ...]) -> None:
    """As if the others were the network; what a skipped layer said in an earlier pass is not heard."""
    made, x = network(), torch.rand(1, 3, 8, 8)
    expected = copy.deepcopy(made)(x, skipped)
    made(torch.rand(1, 3, 8, 8))
    assert torch.equal(made(x, skipped), expected)


def test_a_stopped_pass_leaves_no_trace() -> None:
    made, x = network(), torch.rand(1, 3, 8, 8)
    first = made(x)
    made.body[1](made.body[0](made.head(torch.rand(1, 3, 8, 8))))
    assert torch.equal(made(x), first)


def test_codes_are_those_of_the_pass() -> None:
    made, checked = network(), []

    def check(quantizer: BAM, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        checked.append(torch.equal(output, quantizer.encode(inputs[0]).decode()))

    for _, quantizer in quantizers(made):
        quantizer.register_forward_hook(check)
    for size in ((8, 8), (5, 9)):
        made(torch.rand(2, 3, *size))
    assert checked == [True] * 20


def test_the_next_layer_can_be_encoded_before_it_runs() -> None:
    first, second, _ = chain_of(3)
    first(draw(1, 3, 2, 2))
    x = draw(1, 3, 2, 2)
    before = second.encode(x)
    assert torch.equal(before.decode(), second(x).detach())


def test_at_another_size_the_chain_begins_anew() -> None:
    first, second, _ = chain_of(3)
    x = draw(1, 3, 4, 4)
    alone = second(x)
    first(draw(1, 3, 2, 2))
    assert torch.equal(second(x), alone)


def test_state_and_copies_round_trip() -> None:
    made, x = network(), torch.rand(1, 3, 8, 8)
    made.train()(x).sum().backward()  # leaves tensors with a graph behind, if anything does
    twin = network(seed=1)
    twin.load_state_dict(made.state_dict(), strict=True)
    expected = made.eval()(x)
    assert torch.equal(twin(x), expected)
    written = io.BytesIO()
    torch.save(made, written)
    written.seek(0)
    assert torch.equal(torch.load(written, weights_only=False)(x), expected)


def test_a_copy_has_a_chain_of_its_own() -> None:
    made, x = network(), torch.rand(1, 3, 8, 8)
    twin, expected = copy.deepcopy(made), made(x)
    features = made.head(x)
    other = twin.head(torch.rand(1, 3, 8, 8))
    for mine, theirs in zip(made.body, twin.body, strict=True):  # in turns
        features = features + 0.3 * mine(features)
        other = other + 0.3 * theirs(other)
    assert torch.equal(made.last(made.wide(features)), expected)


def test_no_graph_outlives_the_pass() -> None:
    made = network().train()
    made(torch.rand(1, 3, 8, 8))
    for _, quantizer in quantizers(made):
        if quantizer.role == "act":
            assert quantizer.chain._total is None
            assert quantizer.chain._reached is None or not quantizer.chain._reached.requires_grad


def test_training_reaches_every_parameter() -> None:
    made = network().train()
    made(torch.rand(2, 3, 8, 8)).square().sum().backward()
    assert [name for name, p in made.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_single_layer_needs_no_chain() -> None:
    layer = QConv2d.from_float(nn.Conv2d(2, 3, 3), WEIGHT, ACT).train()
    assert layer(torch.rand(1, 2, 5, 5)).shape == (1, 3, 3, 3)


def test_tables_say_that_it_is_approximate() -> None:
    assert METHODS["bam"].approximate

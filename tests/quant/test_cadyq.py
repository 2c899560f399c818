"""CADyQ: which bits a picture gets, what flows back from that, what it costs, and what is measured."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from qsr.errors import OptionsError
from qsr.quant.apply import calibrate, parameter_groups, quantize_
from qsr.quant.base import create
from qsr.quant.cadyq import BIT_WEIGHT, CADyQ, average_bits, candidates, image_gradients, reset_average_bits
from qsr.quant.modules import quantizers
from qsr.spec import QuantRule, QuantSpec, Scalar

SPACE = (2, 4, 6)
TOPS = (1, 7, 31)


def make(bits: int = 4, role: str = "act", **params: Scalar) -> CADyQ:
    return create(QuantSpec("cadyq", bits, params=tuple(params.items())), role, 3, 0 if role == "weight" else 1)


def features(seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Four pictures, each twice as strong as the one before."""
    x = torch.randn(4, 3, 5, 4, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return x * torch.tensor([0.25, 0.5, 1.0, 2.0], dtype=dtype).view(4, 1, 1, 1)


def by_strength(dtype: torch.dtype = torch.float32) -> CADyQ:
    """Chooses 2, 4, 6 and 6 bits for the pictures of `features`, by the spread of their channels alone."""
    quantizer = make()
    quantizer(features())
    with torch.no_grad():
        quantizer.step.copy_(torch.tensor([0.75, 1.25, 1.75]))
        quantizer.select_weight.copy_(torch.tensor([-0.5, 0.0, 0.5])[:, None].expand(3, 5))
        quantizer.select_bias.copy_(torch.tensor([0.75, 0.25, -0.75]))
    return quantizer.to(dtype)


def mixture(quantizer: CADyQ, x: Tensor) -> tuple[Tensor, Tensor]:
    """(p, sum_k p_k Q_k(x)) by autograd from the equations, every Q_k with PAMS's straight-through rules."""
    spread = x.detach().std((2, 3), correction=0)
    p = (
        torch.cat((torch.zeros(len(x), 2, dtype=x.dtype), spread), 1) @ quantizer.select_weight.T + quantizer.select_bias
    ).softmax(1)
    total = torch.zeros_like(x)
    for k, q in enumerate(TOPS):
        alpha = quantizer.step[k]
        clipped = torch.where(x.abs() < alpha, x, alpha * x.sign())
        u = clipped * q / alpha
        rounded = u + (u.round() - u).detach()
        total = total + p[:, k].view(-1, 1, 1, 1) * rounded * alpha / q
    return p, total


# --- choice ----------------------------------------------------------------------------------------------------
def test_each_picture_of_a_batch_has_its_own_bits() -> None:
    quantizer, x = by_strength(), features()
    choice = mixture(quantizer, x)[0].argmax(1).tolist()
    assert choice == [0, 1, 2, 2]
    codes = quantizer.encode(x)
    for picture, k in enumerate(choice):
        alpha, q = quantizer.step[k].item(), TOPS[k]
        expected = (x[picture].clamp(-alpha, alpha) * q / alpha).round()
        assert torch.equal(codes.q[picture].float(), expected)
        assert codes.scale[picture].item() == pytest.approx(alpha / q)
    assert codes.scale.shape == (4, 1, 1, 1)
    assert codes.bits == 6
    assert torch.equal(quantizer(x), codes.decode())
    for picture in range(4):  # and it does not depend on the company
        assert torch.equal(quantizer(x[picture : picture + 1])[0], quantizer(x)[picture])


def test_everything_starts_at_the_highest_bits() -> None:
    quantizer = make()
    quantizer(features())
    assert quantizer.select_weight.eq(1).all()
    assert quantizer.select_bias.tolist() == [0, 0, 1]
    assert quantizer.step.tolist() == pytest.approx([features().abs().amax((1, 2, 3)).mean().item()] * 3)
    assert quantizer.mean_bits() == 6


@pytest.mark.parametrize(
    ("bits", "space", "expected"),
    [
        (2, "auto", (2, 4)),
        (3, "auto", (3, 5)),
        (4, "auto", (2, 4, 6)),
        (7, "auto", (5, 7)),
        (8, "auto", (4, 6, 8)),
        (4, "2+3+4+8", (2, 3, 4, 8)),
    ],
)
def test_candidates(bits: int, space: str, expected: tuple[int, ...]) -> None:
    assert candidates(bits, space) == expected
    assert make(bits, space=space).space == expected


@pytest.mark.parametrize(
    ("name", "value"), [("space", "4"), ("space", "6+4"), ("space", "1+4"), ("space", 4), ("bit_weight", -1.0)]
)
def test_bad_settings_are_refused(name: str, value: Scalar) -> None:
    with pytest.raises(OptionsError, match=rf"cadyq: found {name} = .*expected"):
        make(4, **{name: value})


# --- gradients -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_those_of_the_mixture(dtype: torch.dtype) -> None:
    quantizer, exact = by_strength(dtype), by_strength(torch.float64)
    x = features(1, torch.float64)
    g = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = x.clone().requires_grad_()
    mixture(exact, expected)[1].backward(g)

    leaf = x.to(dtype).requires_grad_()
    quantizer(leaf).backward(g.to(dtype))
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-11, "atol": 1e-12}
    torch.testing.assert_close(leaf.grad, expected.grad.to(dtype), **close)
    for name, parameter in exact.named_parameters():
        assert parameter.grad.any(), name
        torch.testing.assert_close(quantizer.get_parameter(name).grad, parameter.grad.to(dtype), **close, msg=name)


def test_weights_are_pams_weights() -> None:
    weight = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(3))
    pams = create(QuantSpec("pams", 4), "weight", 3, 0)
    assert torch.equal(make(4, "weight")(weight), pams(weight))
    assert make(4, "weight").penalty() is None
    assert make(4, "weight").mean_bits() is None


# --- bits ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("progress", "growth"), [(0.0, 1.0), (0.5, 2.5), (1.0, 4.0)])
def test_penalty_by_hand(progress: float, growth: float) -> None:
    quantizer, x = by_strength(), features()
    quantizer.set_progress(progress)
    quantizer(x)
    p = mixture(quantizer, x)[0].detach()
    soft = p @ torch.tensor(SPACE, dtype=torch.float32)
    hard = torch.tensor([SPACE[k] for k in p.argmax(1)], dtype=torch.float32)
    penalty = quantizer.penalty()
    assert penalty.item() == pytest.approx(growth * BIT_WEIGHT * (hard / soft).mean().item(), rel=1e-6)

    penalty.backward()
    scores = torch.log(p).requires_grad_()  # d(soft)/d(score) / soft, over the pictures' mean: with respect to the bias
    ((scores.softmax(1) @ torch.tensor(SPACE, dtype=torch.float32)) / soft).mean().backward()
    torch.testing.assert_close(quantizer.select_bias.grad, growth * BIT_WEIGHT * scores.grad.sum(0), rtol=1e-4, atol=1e-12)
    assert quantizer.select_bias.grad[-1] > 0  # descent lowers the highest bits


def test_penalty_is_of_the_last_training_forward() -> None:
    quantizer = make(bit_weight=1.0)
    assert quantizer.penalty() is None
    quantizer(features())
    first = quantizer.penalty().item()
    quantizer.eval()(3 * features())
    assert quantizer.penalty().item() == first


class Small(nn.Module):
    """Two quantized convolutions behind a full-precision one."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(self.head(x)).relu())


def network() -> Small:
    torch.manual_seed(0)
    built = Small()
    spec = QuantSpec("cadyq", 4)
    quantize_(built, [QuantRule("a", spec, spec), QuantRule("b", spec, spec)])
    calibrate(built, [pictures()])
    return built


def pictures() -> Tensor:
    """A flat one, one with soft stripes, one with hard stripes."""
    flat = torch.full((3, 8, 8), 0.5)
    stripes = torch.tensor([0.0, 1.0]).repeat(4).expand(3, 8, 8)
    return torch.stack((flat, 0.5 + 0.1 * (stripes - 0.5), stripes))


def choose_by_gradient(net: nn.Module) -> None:
    """2 bits for the flat picture, 4 for the soft and 6 for the hard one in layer a; always 2 in layer b."""
    gradients = image_gradients(pictures()).sum(1)
    low, high = (float(gradients[i] + gradients[i + 1]) / 2 for i in (0, 1))
    with torch.no_grad():
        chosen = net.a.act_quant
        chosen.select_weight.zero_()
        chosen.select_weight[1, :2], chosen.select_weight[2, :2] = 1.0, 2.0
        chosen.select_bias.copy_(torch.tensor([0.0, -low, -low - high]))
        net.b.act_quant.select_weight.zero_()
        net.b.act_quant.select_bias.copy_(torch.tensor([1.0, 0.0, 0.0]))


def test_average_bits_are_exact_and_per_picture() -> None:
    net = network().eval()
    assert average_bits(net) is None  # calibration does not count
    choose_by_gradient(net)
    net(pictures())
    assert average_bits(net) == ((2 + 4 + 6) / 3 + 2) / 2
    net(pictures()[2:])
    assert average_bits(net) == ((2 + 4 + 6 + 6) / 4 + 2) / 2
    reset_average_bits(net)
    net(pictures()[:1])
    assert average_bits(net) == 2
    assert average_bits(nn.Conv2d(1, 1, 1)) is None


def test_selectors_see_the_picture_of_their_own_network() -> None:
    net = network().eval()
    choose_by_gradient(net)
    twin = copy.deepcopy(net)
    reset_average_bits(twin)
    twin(pictures()[:1])
    net(pictures()[2:])  # must not reach the copy
    assert net.a.act_quant.encode(torch.ones(1, 4, 8, 8)).scale.item() == pytest.approx(net.a.act_quant.step[2].item() / 31)
    assert twin.a.act_quant.encode(torch.ones(1, 4, 8, 8)).scale.item() == pytest.approx(twin.a.act_quant.step[0].item() / 1)
    assert average_bits(twin) == 2


def test_image_gradients_by_hand() -> None:
    flat, ramp = torch.full((3, 6, 6), 0.3), (torch.arange(6.0) / 10).expand(3, 6, 6)
    found = image_gradients(torch.stack((flat, ramp, ramp.transpose(1, 2))))
    # a slope of 0.1 answers (1 + 2 + 1) * 2 * 0.1 / 8; half as much in the first and the last column
    expected = 1e3 * 0.1 * (4 + 2 * 0.5) / 6
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0], [expected, 0.0], [0.0, expected]]), rtol=1e-5, atol=1e-3)


def test_windows_of_a_picture_share_its_gradients() -> None:
    quantizer = make()
    quantizer._source.watch(quantizer, (pictures(),))
    rows = quantizer._source.rows(torch.zeros(6, 3, 2, 2))
    assert torch.equal(rows, image_gradients(pictures()).repeat_interleave(2, 0))
    assert not quantizer._source.rows(torch.zeros(4, 3, 2, 2)).any()  # not this picture's


# --- life in a training run ------------------------------------------------------------------------------------
def test_a_network_can_be_copied_between_forward_and_backward() -> None:
    net = network().train()
    out = net(pictures())
    twin, sent = copy.deepcopy(net), pickle.loads(pickle.dumps(net))
    (out.sum() + net.a.act_quant.penalty()).backward()
    assert net.a.act_quant.select_bias.grad.any()
    for other in (twin, sent):
        assert torch.equal(other.eval()(pictures()), net.eval()(pictures()))
        assert other.a.act_quant.penalty() is None


def test_state_survives_a_strict_round_trip_through_another_network() -> None:
    net, other = network().eval(), network().eval()
    choose_by_gradient(net)
    assert set(net.a.act_quant.state_dict()) == {"step", "select_weight", "select_bias", "initialised", "signed"}
    other.load_state_dict(net.state_dict(), strict=True)
    assert torch.equal(other(pictures()), net(pictures()))


def test_the_selector_learns_with_the_weights_and_alpha_with_the_steps() -> None:
    groups = {kind: [name for name, _ in named] for kind, named in parameter_groups(network()).items()}
    assert groups["step"] == ["a.act_quant.step", "b.act_quant.step"]
    assert {"a.act_quant.select_weight", "b.act_quant.select_bias"} <= set(groups["weights"])


def test_bits_fall_when_only_the_penalty_speaks() -> None:
    net = network().train()
    moved = [p for _, q in quantizers(net) for name, p in q.named_parameters() if name.startswith("select")]
    optimiser = torch.optim.Adam(moved, lr=0.2)
    for _ in range(12):
        optimiser.zero_grad()
        net(pictures())
        (net.a.act_quant.penalty() + net.b.act_quant.penalty()).backward()
        optimiser.step()
    reset_average_bits(net)
    net.eval()(pictures())
    assert average_bits(net) == 2


def test_autocast_does_not_reach_the_selector() -> None:
    net = network().eval()
    choose_by_gradient(net)
    net(pictures())
    plain = net.a.act_quant._source.gradients
    with torch.autocast("cpu", torch.bfloat16):
        net(pictures())
        assert torch.equal(net.a.act_quant._source.gradients, plain)
        share = net.a.act_quant._select(torch.rand(3, 4, 8, 8))[0]
    assert share.dtype == torch.float32


def test_linear_inputs_and_single_vectors() -> None:
    for shape in ((2, 5, 3), (2, 3), (3,)):
        quantizer = create(QuantSpec("cadyq", 4), "act", 3, -1)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(6))
        assert torch.equal(quantizer(x), quantizer.encode(x).decode())
        assert quantizer(x).shape == x.shape

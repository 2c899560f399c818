"""LSQ+ is LSQ around a learned offset: gradients from its equations in float64, its starts, its codes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from qsr.quant.apply import calibrate, parameter_groups, quantize_
from qsr.quant.base import create
from qsr.quant.lsq_plus import LSQPlus
from qsr.quant.modules import QConv2d
from qsr.spec import QuantRule, QuantSpec


def make(bits: int = 4, role: str = "act", granularity: str = "tensor", **params: bool | str) -> LSQPlus:
    spec = QuantSpec("lsq_plus", bits, granularity, tuple(params.items()))
    return create(spec, role, 3, 0 if role == "weight" else 1)


def features(seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """As after SiLU or GELU: a short negative side, where LSQ's levels fit badly."""
    x = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return torch.nn.functional.silu(2 * x)


def ready(step: float, offset: float, bits: int = 3) -> LSQPlus:
    quantizer = make(bits)
    quantizer(features())
    with torch.no_grad():
        quantizer.step.fill_(step)
        quantizer.shift.fill_(offset)
    return quantizer


def reference(x: Tensor, g: Tensor, v: float, o: float, levels: tuple[int, int]) -> tuple[Tensor, Tensor, float, float]:
    """(x_hat, dL/dx, dL/dv, dL/do) of the module's equations, element by element; the step's gradient without its scale."""
    low, high = levels
    x_hat, grad_x, grad_v, grad_o = torch.empty_like(x), torch.empty_like(x), 0.0, 0.0
    for place in range(x.numel()):
        u, gradient = float((x.view(-1)[place] - o) / v), float(g.view(-1)[place])
        inside = low <= u <= high
        code = round(min(max(u, low), high))
        x_hat.view(-1)[place] = code * v + o
        grad_x.view(-1)[place] = gradient if inside else 0.0
        grad_v += gradient * (code - u if inside else code)
        grad_o += 0.0 if inside else gradient
    return x_hat, grad_x, grad_v, grad_o


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_those_of_the_equations(dtype: torch.dtype, layout: torch.memory_format) -> None:
    quantizer = ready(27 / 128, -47 / 128).to(dtype)
    assert quantizer.signed
    x = features(1, torch.float64)
    g = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x_hat, grad_x, grad_v, grad_o = reference(x, g, 27 / 128, -47 / 128, (-4, 3))
    assert (grad_x == 0).any()  # something is clipped

    leaf = x.to(dtype).contiguous(memory_format=layout).requires_grad_()
    out = quantizer(leaf)
    out.backward(g.to(dtype))
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    scale = 1 / (x[0].numel() * 3) ** 0.5
    torch.testing.assert_close(out, x_hat.to(dtype), **close)
    torch.testing.assert_close(leaf.grad, grad_x.to(dtype), **close)
    torch.testing.assert_close(quantizer.step.grad, torch.tensor(grad_v * scale, dtype=dtype), **close)
    torch.testing.assert_close(quantizer.shift.grad, torch.tensor(grad_o, dtype=dtype), **close)


@pytest.mark.parametrize("narrow", [False, True])
def test_the_levels_start_at_the_smallest_value_and_end_at_the_largest(narrow: bool) -> None:
    quantizer, x = make(3, symmetric_narrow=narrow), features()
    x_hat = quantizer(x)
    spread = x.max() - x.min()
    assert quantizer.step.item() == pytest.approx(spread.item() / (6 if narrow else 7))
    codes = quantizer.encode(x)
    assert codes.offset.item() == pytest.approx(x.min().item() - codes.qmin * quantizer.step.item())
    assert (codes.q.min(), codes.q.max()) == (codes.qmin, codes.qmax)
    torch.testing.assert_close(x_hat.max(), x.max())
    torch.testing.assert_close(x_hat.min(), x.min())


def test_positive_features_start_at_their_smallest_value() -> None:
    quantizer = make(2)
    quantizer(torch.tensor([[[[1.0]], [[2.0]], [[4.0]]]]))
    assert not quantizer.signed
    assert (quantizer.step.item(), quantizer.shift.item()) == (1.0, 1.0)


def test_a_constant_tensor_is_exact() -> None:
    quantizer = make(4)
    x = torch.full((1, 3, 2, 2), -0.75)
    assert torch.equal(quantizer(x), x)


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_weights_start_from_mean_and_deviation_and_have_no_offset(granularity: str) -> None:
    weight = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(3)) + 0.2
    quantizer = make(4, "weight", granularity)
    quantizer(weight)
    groups = weight.view(1, -1) if granularity == "tensor" else weight.view(3, -1)
    expected = [
        max(abs(float(r.mean() - 3 * r.std(correction=0))), abs(float(r.mean() + 3 * r.std(correction=0)))) / 8 for r in groups
    ]
    assert quantizer.step.flatten().tolist() == pytest.approx(expected)
    assert quantizer.shift is None
    assert quantizer.encode(weight).offset is None


def test_calibration_covers_every_batch() -> None:
    quantizer = make(8).eval()
    quantizer.begin_calibration()
    quantizer(torch.full((1, 3, 1, 1), 2.0))
    quantizer(torch.full((1, 3, 1, 1), -1.0))
    quantizer.end_calibration()
    assert quantizer.step.item() == pytest.approx(3 / 255)
    assert quantizer.encode(torch.full((1, 3, 1, 1), -1.0)).decode().unique().item() == pytest.approx(-1.0, abs=1e-6)


def test_calibrating_a_network_leaves_its_biases() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.SiLU(), torch.nn.Conv2d(4, 4, 3))
    before = network[2].bias.clone()
    full = network(features())
    quantize_(network, [QuantRule("2", QuantSpec("lsq_plus", 8), QuantSpec("lsq_plus", 8))])
    calibrate(network, [features()])
    assert network[2].act_quant.shift.item() > 0.1  # unlike RLQ's, taken off again where it was added
    assert torch.equal(network[2].bias, before)
    torch.testing.assert_close(network(features()), full, rtol=0, atol=0.02)


def test_zero_padding_stays_zero_where_zero_is_no_level() -> None:
    quantizer = ready(0.5, 0.3)
    assert quantizer(torch.zeros(1, 3, 1, 1)).abs().min() > 0.1
    spec = QuantSpec("lsq_plus", 3)
    layer = QConv2d.from_float(torch.nn.Conv2d(3, 1, 3, padding=1, bias=False), None, spec)
    layer.act_quant = quantizer
    with torch.no_grad():
        layer.weight.fill_(1.0)
    x = torch.full((1, 3, 4, 4), 0.8)
    out = layer(x)
    assert out[0, 0, 0, 0].item() == pytest.approx(4 * 3 * 0.8)  # four of nine positions lie inside the picture
    assert out[0, 0, 1, 1].item() == pytest.approx(9 * 3 * 0.8)


def test_the_offset_learns_with_the_shifts() -> None:
    network = torch.nn.Sequential(
        QConv2d.from_float(torch.nn.Conv2d(3, 2, 1), QuantSpec("lsq_plus", 4), QuantSpec("lsq_plus", 4))
    )
    groups = {kind: [name for name, _ in named] for kind, named in parameter_groups(network).items()}
    assert groups["shift"] == ["0.act_quant.shift"]
    assert groups["step"] == ["0.weight_quant.step", "0.act_quant.step"]


def test_one_vector_without_a_batch() -> None:
    quantizer = ready(0.25, 0.1)
    x = torch.tensor([0.3, -0.2, 0.9])
    assert torch.equal(quantizer(x), quantizer.encode(x).decode())

"""ReCU: clipped, normalised weights with a learned scale; activations whose window follows their spread."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qsr.quant import parameter_groups
from qsr.quant.modules import QConv2d
from qsr.quant.recu import ReCU, tau
from qsr.spec import QuantSpec

DRAW = torch.Generator().manual_seed(12)
W, G = (torch.randn(3, 2, 3, 3, generator=DRAW, dtype=torch.float64) for _ in range(2))
LENGTH = 2 * math.sqrt(2)


def weights(granularity: str = "channel") -> ReCU:
    quantizer = ReCU(QuantSpec("recu", 1, granularity), "weight", 3, 0).double().train()
    quantizer(W)
    return quantizer


def through_deviation(upstream: np.ndarray, x: np.ndarray, centre: bool) -> np.ndarray:
    """dL/dx from dL/dx' with x' = x / sqrt(var + 1e-5), its numerator centred or not; one row, by hand."""
    centred, n = x - x.mean(), x.size
    deviation = math.sqrt((centred**2).sum() / (n - 1) + 1e-5)
    numerator = centred if centre else x
    inner = upstream / deviation - centred * (upstream * numerator).sum() / (deviation**3 * (n - 1))
    return inner - upstream.mean() / deviation if centre else inner


def test_golden_values_of_the_schedule() -> None:
    assert tau(0.0) == pytest.approx(0.85, abs=1e-15)
    assert tau(1.0) == pytest.approx(0.99, abs=1e-15)
    a = (0.99 - 0.85) / (math.e - 1)
    assert [tau(p) for p in (0.2, 0.5)] == [pytest.approx(a * math.exp(p) + 0.85 - a) for p in (0.2, 0.5)]


@pytest.mark.parametrize("progress", [0.0, 0.6, 1.0])
def test_gradients_of_weights(progress: float) -> None:
    quantizer = weights()
    quantizer.set_progress(progress)
    quantizer.step.data = torch.tensor([0.5, -2.0, 1.0], dtype=torch.float64)
    w = (3 * W**3).requires_grad_()  # heavy tails, so that some are clipped
    quantizer(w).backward(G)
    rows, upstream, alphas = w.detach().flatten(1).numpy(), G.flatten(1).numpy(), (0.5, 2.0, 1.0)
    normal = [(r - r.mean()) * LENGTH / math.sqrt(r.var(ddof=1) + 1e-5) for r in rows]
    bound = -np.abs(np.stack(normal)).mean() * math.log(2 - 2 * tau(progress))
    clipped = 0
    for channel, alpha in enumerate(alphas):
        inside = np.abs(normal[channel]) <= bound
        clipped += (~inside).sum()
        expected = through_deviation(upstream[channel] * alpha * inside * LENGTH, rows[channel], centre=True)
        assert np.abs(w.grad[channel].flatten().numpy() - expected).max() < 1e-12
    signs = np.where(np.stack(normal) >= 0, 1, -1)
    expected_steps = (upstream * signs).sum(1) * np.array([1, -1, 1])
    assert np.abs(quantizer.step.grad.numpy() - expected_steps).max() < 1e-12
    assert clipped > 0 or progress == 1


@pytest.mark.parametrize("shape", [(2, 3, 4, 3), (4, 9), (2, 3, 5)])
def test_gradients_of_activations_while_training(shape: tuple[int, ...]) -> None:
    x, g = (torch.randn(shape, generator=DRAW, dtype=torch.float64) * size for size in (20, 1))
    leaf = x.clone().requires_grad_()
    ReCU(QuantSpec("recu", 1), "act", 3, 1).train()(leaf).backward(g)
    for row, upstream, found in zip(x.flatten(1).numpy(), g.flatten(1).numpy(), leaf.grad.flatten(1), strict=True):
        z = row / math.sqrt(row.var(ddof=1) + 1e-5)
        expected = through_deviation(upstream * np.maximum(0, 2 - 2 * np.abs(z)), row, centre=False)
        assert np.abs(found.numpy() - expected).max() < 1e-12
    assert leaf.grad.any(), "a window of 1 on features of size 20 would let almost nothing pass"


def test_the_deviation_of_a_picture_never_changes_a_sign() -> None:
    quantizer, x = ReCU(QuantSpec("recu", 1), "act", 2, 1), torch.randn(2, 2, 4, 4)
    assert torch.equal(quantizer.train()(x), quantizer.eval()(x))


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_alpha_starts_at_the_mean_size_and_stays_positive(granularity: str) -> None:
    quantizer = weights(granularity)
    size = W.abs().mean((1, 2, 3)) if granularity == "channel" else W.abs().mean()
    assert torch.allclose(quantizer.step, size)
    quantizer.step.data.neg_()
    assert torch.allclose(quantizer.encode(W).scale.flatten(), size.flatten())
    assert quantizer.unit() == pytest.approx(float(size.mean()))


def test_activations_need_no_data() -> None:
    quantizer = ReCU(QuantSpec("recu", 1), "act", 2, 1).eval()
    assert quantizer(torch.tensor([[-0.5, 0.0]])).tolist() == [[-1, 1]]


def test_alpha_is_a_step_for_the_optimiser() -> None:
    layer = QConv2d.from_float(torch.nn.Conv2d(2, 3, 3), QuantSpec("recu", 1, "channel"), QuantSpec("recu", 1))
    assert [name for name, _ in parameter_groups(layer)["step"]] == ["weight_quant.step"]

"""What holds for every method of the registry, in both roles, at every width it is defined for, on odd sizes.

A new line in `qsr.spec.METHODS` is tested here at once. What only one method promises is in the file of its name.
"""

from __future__ import annotations

import copy
import multiprocessing
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qsr.errors import OptionsError
from qsr.quant.base import Quantizer, Role, SignCodes, create, method_class
from qsr.quant.modules import QConv2d, QLinear
from qsr.spec import METHODS, QuantSpec, Scalar

DOCS = Path(__file__).resolve().parents[2] / "docs" / "quantizers.md"
CHANNELS = 5
SHAPES = {("weight", "conv"): (CHANNELS, 3, 3, 3), ("weight", "linear"): (CHANNELS, 7)}
SHAPES |= {("act", "conv"): (2, CHANNELS, 7, 3), ("act", "linear"): (2, 3, CHANNELS)}


@dataclass(frozen=True)
class Case:
    """One quantizer of one tensor; `kind` is the layer's."""

    method: str
    role: Role
    kind: str
    bits: int
    params: tuple[tuple[str, Scalar], ...] = ()
    granularity: Literal["tensor", "channel"] = "tensor"

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(self.method, self.bits, self.granularity, self.params)

    def fresh(self, seed: int = 1) -> Quantizer:
        torch.manual_seed(seed)  # some methods have small networks of their own
        channel_dim = 0 if self.role == "weight" else 1 if self.kind == "conv" else -1
        quantizer = create(self.spec, self.role, CHANNELS, channel_dim)
        if self.role == "weight":
            quantizer.bind(SHAPES[self.role, self.kind])
        return quantizer

    def tensor(self, seed: int = 0) -> Tensor:
        size = 0.2 if self.role == "weight" else 1.0
        return size * torch.randn(SHAPES[self.role, self.kind], generator=torch.Generator().manual_seed(seed))

    def ready(self, first: Tensor | None = None) -> Quantizer:
        """Initialised by a training forward, then in eval mode."""
        quantizer = self.fresh().train()
        quantizer(self.tensor() if first is None else first)
        return quantizer.eval()

    def __str__(self) -> str:
        own = "".join(f"-{name}={value}" for name, value in self.params)
        per = f"-{self.granularity}" if self.role == "weight" else ""
        return f"{self.method}-{self.role}-{self.kind}-{self.bits}{per}{own}"

    def variants(self) -> Iterator[Case]:
        """With every setting that has a list of values at each of them, and weights with the other granularity."""
        for name, values in method_class(self.method).settings_of(self.role).items():
            if isinstance(values, tuple):
                yield from (replace(self, params=((name, value),)) for value in values)
        if self.role == "weight":
            yield replace(self, granularity="channel" if self.granularity == "tensor" else "tensor")


def widths(method: str, role: str) -> range:
    low, high = METHODS[method].w_bits if role == "weight" else METHODS[method].a_bits
    return range(low, high + 1)


def cases(method: str, role: Role) -> Iterator[Case]:
    granularity = METHODS[method].w_granularity if role == "weight" else "tensor"
    for bits in widths(method, role):
        yield from (Case(method, role, kind, bits, granularity=granularity) for kind in ("conv", "linear"))


CASES = [case for method in METHODS for role in ("weight", "act") for case in cases(method, role)]
# where the width cannot matter, the narrowest of each method
NARROWEST = [case for case in CASES if case.bits == min(widths(case.method, case.role))]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
narrowest = pytest.mark.parametrize("case", NARROWEST, ids=str)
with_settings = pytest.mark.parametrize("case", CASES + [v for case in NARROWEST for v in case.variants()], ids=str)


@with_settings
def test_forward_is_decode_of_encode(case: Case) -> None:
    quantizer = case.ready()
    for seed in (0, 1):
        for dtype in (torch.float32, torch.float64):
            x = case.tensor(seed).to(dtype)
            decoded = quantizer.encode(x).decode()
            assert torch.equal(quantizer(x), decoded)
            assert decoded.dtype == dtype


@every_case
def test_codes_are_within_their_range(case: Case) -> None:
    quantizer, x = case.ready(), 3 * case.tensor(1)
    codes = quantizer.encode(x)
    if isinstance(codes, SignCodes):
        assert codes.q.dtype == torch.int8
        assert codes.q.shape == (quantizer.planes, *x.shape)
        assert torch.equal(codes.q.abs(), torch.ones_like(codes.q))
        assert (codes.scale >= 0).all()
    else:
        assert codes.q.dtype == torch.int32
        assert codes.q.shape == x.shape
        assert codes.qmin <= codes.q.min()
        assert codes.q.max() <= codes.qmax
        assert codes.qmax - codes.qmin < 2**codes.bits
        assert (codes.scale > 0).all()


@pytest.mark.parametrize("case", [case for case in CASES if case.bits == 1], ids=str)
def test_the_sign_of_zero_is_plus_one(case: Case) -> None:
    codes = case.ready().encode(torch.zeros_like(case.tensor()))
    assert isinstance(codes, SignCodes)
    assert (codes.q[0] == 1).all()


def dead(case: Case) -> Tensor:
    """The second channel is zero throughout; an output channel of a weight, an input channel of an activation."""
    x = case.tensor().clone()
    x.select(0 if case.role == "weight" else 1 if case.kind == "conv" else -1, 1).zero_()
    return x


@with_settings
def test_zeros_and_dead_channels_stay_finite(case: Case) -> None:
    for x in (torch.zeros_like(case.tensor()), dead(case)):
        quantizer = case.fresh().train()
        for _ in range(2):
            leaf = x.clone().requires_grad_()
            out = quantizer(leaf)
            out.square().sum().backward()
            assert torch.isfinite(out).all()
            assert torch.isfinite(leaf.grad).all()
        for name, value in (*quantizer.named_parameters(), *quantizer.named_buffers()):
            assert torch.isfinite(value).all(), name
            assert value.grad is None or torch.isfinite(value.grad).all(), name
        assert torch.isfinite(quantizer.eval()(x)).all()


@narrowest
def test_every_parameter_gets_a_gradient_in_its_own_shape(case: Case) -> None:
    quantizer = case.ready().train()
    leaf = case.tensor().requires_grad_()
    weights = torch.randn(leaf.shape, generator=torch.Generator().manual_seed(5))
    loss = (quantizer(leaf) * weights).sum()
    penalty = quantizer.penalty()
    (loss if penalty is None else loss + penalty).backward()
    assert leaf.grad.shape == leaf.shape
    assert leaf.grad.any()
    for name, parameter in quantizer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.shape == parameter.shape
        assert parameter.grad.any(), name


@narrowest
def test_the_dtype_is_kept(case: Case) -> None:
    quantizer = case.ready()
    exact = quantizer(case.tensor())
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        for mode in (True, False):
            assert quantizer.train(mode)(case.tensor().to(dtype)).dtype == dtype
    assert quantizer.eval()(case.tensor()).dtype == exact.dtype == torch.float32


@narrowest
def test_a_state_dict_gives_the_same_output(case: Case) -> None:
    used = case.ready()
    used.train()(case.tensor(1))
    rebuilt = case.fresh(seed=2).eval()
    rebuilt.load_state_dict(used.state_dict(), strict=True)
    assert torch.equal(rebuilt(case.tensor(2)), used.eval()(case.tensor(2)))


@narrowest
def test_a_resumed_quantizer_goes_on_exactly(case: Case) -> None:
    """Schedules are functions of the progress alone: what was set before the stop leaves no trace."""

    def step(quantizer: Quantizer) -> list[Tensor]:
        leaf = case.tensor(3).requires_grad_()
        out = quantizer(leaf)
        out.square().sum().backward()
        return [out.detach(), leaf.grad, *quantizer.state_dict().values()]

    going = case.ready().train()
    going.set_progress(0.2)
    going(case.tensor(1))
    resumed = case.fresh(seed=2).train()
    resumed.load_state_dict(going.state_dict(), strict=True)
    for quantizer in (going, resumed):
        quantizer.set_progress(0.7)
    assert all(torch.equal(a, b) for a, b in zip(step(going), step(resumed), strict=True))


@narrowest
def test_progress_does_not_touch_what_is_deployed(case: Case) -> None:
    quantizer, x = case.ready(), case.tensor(1)
    before = quantizer(x)
    for progress in (0.0, 0.3, 1.0):
        quantizer.set_progress(progress)
        assert torch.equal(quantizer(x), before)


@narrowest
def test_a_copy_stands_on_its_own(case: Case) -> None:
    quantizer = case.fresh().train()
    quantizer(case.tensor().requires_grad_()).sum().backward()
    twin = copy.deepcopy(quantizer).eval()
    before = twin(case.tensor(1))
    with torch.no_grad():
        for parameter in quantizer.parameters():
            parameter.add_(0.3)
    quantizer(4 * case.tensor(2))
    assert torch.equal(twin(case.tensor(1)), before)
    own = {tensor.data_ptr() for tensor in twin.state_dict().values()}
    assert own.isdisjoint(tensor.data_ptr() for tensor in quantizer.state_dict().values())


@narrowest
def test_eval_mode_changes_nothing(case: Case) -> None:
    quantizer = case.ready()
    before = copy.deepcopy(quantizer.state_dict())
    quantizer(5 * case.tensor(1))
    assert all(torch.equal(before[name], value) for name, value in quantizer.state_dict().items())


@narrowest
def test_an_unknown_setting_is_refused_in_one_line(case: Case) -> None:
    with pytest.raises(OptionsError, match=f"{case.method} has no setting 'no_such'") as caught:
        create(QuantSpec(case.method, case.bits, params=(("no_such", 1),)), case.role, CHANNELS, 0)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("method", METHODS)
def test_bits_outside_the_definition_are_refused(method: str) -> None:
    for role in ("weight", "act"):
        for bits in set(range(1, 9)) - set(widths(method, role)):
            with pytest.raises(OptionsError, match=rf"found {bits} bits"):
                create(QuantSpec(method, bits), role, CHANNELS, 0)


DOCUMENTED = re.findall(r"^\| \[`(\w+)`\]", DOCS.read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("method", DOCUMENTED)
def test_what_the_docs_say_of_a_method_is_so(method: str) -> None:
    lines = DOCS.read_text().splitlines()
    cells = next(line.split("|") for line in lines if line.startswith(f"| [`{method}`]"))
    assert f"### {method}" in [line.lower().split(":")[0] for line in lines]
    for text, (low, high) in zip(cells[3].split(","), (METHODS[method].w_bits, METHODS[method].a_bits), strict=True):
        assert text.split("(")[0].strip() == (f"{low}-{high}" if low < high else f"{low}")
    assert {f"`{name}`" for name in method_class(method).accepts} == set(cells[5].split()) - {"-"}


def test_the_methods_of_the_papers_are_documented() -> None:
    assert set(DOCUMENTED) >= {"rlq", "srb", "lsq", "dorefa", "pams", "cadyq", "bnn", "reactnet"}


def layer_of(method: str, plain: nn.Module) -> QConv2d | QLinear:
    weight, act = (next(cases(method, role)).spec for role in ("weight", "act"))
    torch.manual_seed(2)
    return (QConv2d if isinstance(plain, nn.Conv2d) else QLinear).from_float(plain, weight, act)


@pytest.mark.parametrize("method", METHODS)
def test_a_padded_position_is_neither_plus_nor_minus_one(method: str) -> None:
    layer = layer_of(method, nn.Conv2d(3, 4, 3, stride=2, padding=(1, 2)))
    x = torch.randn(2, 3, 7, 5)
    layer.train()(x)
    layer.eval()
    x_hat, w_hat = layer.act_quant.encode(x).decode(), layer.weight_quant.encode(layer.weight).decode()
    factor = layer.act_quant.output_scale(x, layer)
    padded = F.conv2d(F.pad(x_hat, (2, 2, 1, 1)), w_hat, stride=2) * (1 if factor is None else factor)
    assert torch.allclose(layer(x), padded + layer.bias.view(-1, 1, 1), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_linear_layers_take_any_leading_shape(method: str) -> None:
    layer = layer_of(method, nn.Linear(6, 3))
    layer.train()(torch.randn(4, 6))
    for shape in ((6,), (1, 6), (2, 4, 6), (2, 3, 4, 6)):
        assert layer.eval()(torch.randn(shape)).shape == (*shape[:-1], 3)


@pytest.mark.parametrize("method", METHODS)
def test_a_layer_is_pictures_one_by_one(method: str) -> None:
    """No method lets the pictures of a batch see each other once it is trained."""
    layer = layer_of(method, nn.Conv2d(3, 4, 3, padding=1))
    layer.train()(torch.randn(2, 3, 6, 5))
    x = torch.randn(2, 3, 6, 5)
    whole = layer.eval()(x)
    assert torch.allclose(whole, torch.cat([layer(x[:1]), layer(x[1:])]), atol=1e-5)
    assert torch.allclose(layer(x[0]), whole[0], atol=1e-5)


def rank_work(rank: int, meeting_point: str, results: Any) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting_point}", rank=rank, world_size=2)
    kept = {}
    for case in NARROWEST:
        quantizer = case.fresh().train()
        quantizer.begin_calibration()  # on the same pictures everywhere, as training does
        quantizer(case.tensor())
        quantizer.end_calibration()
        for step in (1, 2):  # weights are the same on every rank, activations are not
            quantizer(case.tensor(step if case.role == "weight" else 10 * rank + step) * (1 + rank * (case.role == "act")))
        kept |= {f"{case} {name}": buffer.tolist() for name, buffer in quantizer.named_buffers()}
    results.put((rank, kept))
    torch.distributed.destroy_process_group()


def test_statistics_are_the_same_on_every_rank(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    ranks = [context.Process(target=rank_work, args=(rank, str(tmp_path / "meet"), results)) for rank in range(2)]
    for process in ranks:
        process.start()
    (_, here), (_, there) = sorted((results.get(timeout=60) for _ in ranks), key=lambda found: found[0])
    for process in ranks:
        process.join(30)
        assert process.exitcode == 0
    assert len(here) >= 2 * len(NARROWEST)
    assert [name for name in here if here[name] != there[name]] == []

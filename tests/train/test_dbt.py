"""Distances of features against the paper's equations, gradients at zero, pairing of depths, and where a teacher comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from train_drill import tiny_options

from qsr import archs
from qsr.archs import convert, depth
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.errors import OptionsError
from qsr.options.schema import Distill, Options
from qsr.train import dbt, stages

FLAT = {"sample": (1, 2, 3), "batch": (0, 1, 2, 3)}


@pytest.fixture
def features() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(3, 4, 5, 6, generator=generator) for _ in range(2))
    return student, teacher


# --- distances -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scope", ["sample", "batch"])
def test_dbt_is_the_papers_distance(features: tuple[Tensor, Tensor], scope: str) -> None:
    def unit(x: Tensor) -> Tensor:
        return x**2 / torch.linalg.vector_norm(x**2, dim=FLAT[scope], keepdim=True)

    student, teacher = (x.double() for x in features)
    expected = torch.linalg.vector_norm(unit(teacher) - unit(student), dim=FLAT[scope]).mean()
    torch.testing.assert_close(dbt.dbt(*features, scope), expected.float())
    assert dbt.dbt(features[0], features[0], scope) < 2e-6
    torch.testing.assert_close(dbt.dbt(7 * features[0], features[1], scope), expected.float(), msg="a gain costs nothing")


@pytest.mark.parametrize("scope", ["sample", "batch"])
def test_attention_is_the_papers_distance(features: tuple[Tensor, Tensor], scope: str) -> None:
    def unit(x: Tensor) -> Tensor:
        flat = (x**2).mean(1).flatten(1 if scope == "sample" else 0)
        return flat / flat.norm(dim=-1, keepdim=True)

    student, teacher = (x.double() for x in features)
    expected = ((unit(student) - unit(teacher)) ** 2).mean()
    torch.testing.assert_close(dbt.attention(*features, scope), expected.float())
    assert dbt.attention(features[0], features[0][:, :1].expand(-1, 2, -1, -1), scope).ndim == 0, "widths may differ"


@pytest.mark.parametrize("distance", [dbt.dbt, dbt.attention])
@pytest.mark.parametrize("scope", ["sample", "batch"])
def test_gradients_are_finite_where_the_root_has_none(distance: Any, scope: str) -> None:
    teacher = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    for start, target in ((torch.zeros_like(teacher), teacher), (teacher.clone(), teacher), (teacher.clone(), 0 * teacher)):
        student = start.requires_grad_()
        distance(student, target, scope).backward()
        assert torch.isfinite(student.grad).all()
        student.grad = None


def test_half_precision_features_are_compared_in_float32(features: tuple[Tensor, Tensor]) -> None:
    large = (300 * features[0]).half(), (300 * features[1]).half()  # squares leave float16
    assert dbt.dbt(*large).dtype == torch.float32
    torch.testing.assert_close(dbt.dbt(*large), dbt.dbt(*features), rtol=1e-2, atol=0)


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"),
    [(4, 4, [1, 2, 3, 4]), (8, 4, [2, 4, 6, 8]), (2, 4, [1, 1, 2, 2]), (3, 2, [2, 3]), (1, 3, [1, 1, 1])],
)
def test_blocks_are_paired_by_their_share_of_the_depth(student: int, teacher: int, pairs: list[int]) -> None:
    blocks = [torch.tensor(number) for number in range(1, student + 1)]
    assert [int(block) for block in dbt.paired(blocks, teacher)] == pairs


def test_dbt_is_a_mean_over_blocks_and_at_a_sum(features: tuple[Tensor, Tensor]) -> None:
    student, teacher = features
    one = dbt.compare(Distill(), [student], [teacher])
    torch.testing.assert_close(dbt.compare(Distill(), [student, student], [teacher, teacher]), one)
    at = Distill(type="at")
    one = dbt.compare(at, [student], [teacher])
    torch.testing.assert_close(dbt.compare(at, [student, student], [teacher, teacher]), 2 * one)


def test_features_that_cannot_be_compared_are_refused(features: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(OptionsError, match=r"\(3, 4, 5, 6\) cannot be compared with the teacher's of \(3, 2, 5, 6\)"):
        dbt.compare(Distill(), [features[0]], [features[1][:, :2]])
    with pytest.raises(OptionsError, match="its teacher has no body output"):
        dbt.compare(Distill(features="body"), [features[0]], [])


def test_terms_of_one_type_have_names_of_their_own() -> None:
    body, blocks, other = Distill(type="at", features="body"), Distill(type="at"), Distill()
    assert dbt.term_names([other, blocks]) == ["l_dbt", "l_at"]
    assert dbt.term_names([body, blocks, other]) == ["l_at_body", "l_at_blocks", "l_dbt"]


# --- networks ------------------------------------------------------------------------------------------------
def options_with(pictures: Path, root: Path, *terms: dict[str, Any], **sections: Any) -> Options:
    """A run without a full-precision stage whose teacher is root/fp.safetensors."""
    start = {"experiments_root": str(root), "pretrain_network_g": str(root / "fp.safetensors")}
    return tiny_options(pictures, root, path=start, train={"fp_iter": 0, "distill": terms}, **sections)


@pytest.fixture
def start_file(pictures: Path, tmp_path: Path) -> nn.Module:
    """The full-precision network in tmp_path/fp.safetensors."""
    options = tiny_options(pictures, tmp_path, depth=None)
    torch.manual_seed(1)
    network = archs.build_base(options).eval()
    save_model(tmp_path / "fp.safetensors", network, ModelInfo(archs.base_options(options).to_json()))
    return network


def outputs_of(network: nn.Module, lq: Tensor) -> list[Tensor]:
    """Block by block, without hooks."""
    x = network.conv_first((lq - network.mean) * network.img_range)
    found = []
    for block in network.body:
        x = block(x)
        found.append(x)
    return found


def test_the_loss_adds_weighted_distances_to_the_teachers_blocks(pictures: Path, tmp_path: Path, start_file: nn.Module) -> None:
    term = {"weight": 0.1}
    (stage,) = stages.plan(options_with(pictures, tmp_path, term, depth=None))
    lq, gt = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 8, 8)
    network, _ = stage.begin(None, iter([lq] * 2), torch.device("cpu"))
    value, terms = stage.loss(network.train(), lq, gt, 1)
    with torch.no_grad():
        pairs = zip(outputs_of(network, lq), outputs_of(start_file, lq), strict=True)
        expected = 0.1 * torch.stack([dbt.dbt(ours, theirs) for ours, theirs in pairs]).mean()
    assert list(terms) == ["l_pix", "l_dbt"]
    torch.testing.assert_close(terms["l_dbt"], expected)
    torch.testing.assert_close(value.detach(), terms["l_pix"] + terms["l_dbt"])
    network.zero_grad()
    value.backward()
    assert network.conv_first.weight.grad is not None
    assert all(weight.grad is None for weight in start_file.parameters())


def test_every_depth_is_compared_and_the_teacher_runs_once(
    pictures: Path, tmp_path: Path, start_file: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    load = dbt.load_teacher

    def counting(*given: Any) -> nn.Module:
        network = load(*given)
        network.register_forward_hook(lambda *_: runs.append(1))
        return network

    monkeypatch.setattr(dbt, "load_teacher", counting)
    _, joint = stages.plan(options_with(pictures, tmp_path, {}, {"type": "at", "features": "body", "weight": 10.0}))
    lq, gt = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 8, 8)
    network, _ = joint.begin(None, iter([lq] * 2), torch.device("cpu"))
    depth.freeze_order(network)
    value, terms = joint.loss(network.train(), lq, gt, 5)
    assert sum(runs) == 1
    assert [name for name in terms if "dbt" in name] == ["l_dbt_4", "l_dbt_2", "l_dbt_1"]
    assert {"l_at_4", "l_at_2", "l_at_1"} < set(terms)
    torch.testing.assert_close(value.detach(), torch.stack(list(terms.values())).sum() / 3)
    joint.loss(network, lq.clone(), gt, 6)
    assert sum(runs) == 2, "another batch"


def test_nothing_is_recorded_outside_the_loss(start_file: nn.Module) -> None:
    watched = dbt.Watched(start_file)
    lq = torch.rand(1, 3, 4, 4)
    with watched.recording() as found:
        start_file(lq)
    start_file(lq)
    assert [len(found[kind]) for kind in ("blocks", "body")] == [len(start_file.body), 1]
    with watched.recording() as again:
        start_file(lq)
    assert len(again["blocks"]) == len(start_file.body)


def test_a_compiled_network_is_watched_as_well(pictures: Path, tmp_path: Path, start_file: nn.Module) -> None:
    (stage,) = stages.plan(options_with(pictures, tmp_path, {}, depth=None, quant=None))
    lq, gt = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 8, 8)
    network, _ = stage.begin(None, iter(()), torch.device("cpu"))
    with torch.no_grad():
        network.body[0].conv2.weight.mul_(3)
    expected, _ = stage.loss(network, lq, gt, 1)
    compiled = torch.compile(network, backend="eager")
    network.eval()(lq)
    for iteration in (1, 2):
        value, _ = stage.loss(compiled.train(), lq, gt, iteration)
        torch.testing.assert_close(value, expected)


def test_features_of_a_transformer_have_channels_first() -> None:
    network = archs.build(
        Options.model_validate(
            {"name": "t", "scale": 2, "network_g": {"type": "SwinIR", "embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2]}}
        )
    )
    watched = dbt.Watched(network)
    with torch.no_grad(), watched.recording() as found:
        network(torch.rand(1, 3, 8, 16))
    assert [tuple(block.shape) for block in found["blocks"]] == [(1, 12, 8, 16)] * 2


# --- the teacher ---------------------------------------------------------------------------------------------
def test_the_teacher_is_frozen_and_loading_it_draws_no_random_number(
    pictures: Path, tmp_path: Path, start_file: nn.Module
) -> None:
    before = torch.get_rng_state()
    teacher = dbt.load_teacher(options_with(pictures, tmp_path, {}))
    assert torch.equal(torch.get_rng_state(), before), "a resumed run loads it at another iteration"
    assert not teacher.training
    assert not any(weight.requires_grad for weight in teacher.parameters())
    assert torch.equal(teacher.conv_first.weight, start_file.conv_first.weight)


def test_where_the_teacher_comes_from(pictures: Path, tmp_path: Path, start_file: nn.Module) -> None:
    own = tiny_options(pictures, tmp_path, train={"distill": [{}]})
    assert dbt.teacher_file(own) == tmp_path / "tiny" / "models" / "net_g_full-precision.safetensors"
    assert dbt.teacher_file(options_with(pictures, tmp_path, {})) == tmp_path / "fp.safetensors"
    with pytest.raises(OptionsError, match="without a teacher"):
        dbt.teacher_file(tiny_options(pictures, tmp_path, depth=None, train={"fp_iter": 0}))
    convert.write_basicsr(tmp_path / "other.pth", start_file)
    foreign = dbt.load_teacher(tiny_options(pictures, tmp_path, depth=None), str(tmp_path / "other.pth"))
    assert torch.equal(foreign.conv_last.weight, start_file.conv_last.weight)

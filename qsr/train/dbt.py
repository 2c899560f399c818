"""Distillation from a full-precision teacher, for every method and every network whose blocks qsr knows.

dbt (FRB's distillation-guided binarization training, Qin et al., ICML 2024), F_i the output of block i:

    R(F) = F^2 / ||F^2||_2,     L = mean_i ||R(F_i^T) - R(F_i)||_2

at (attention maps, as PAMS (Li et al., ECCV 2020) and CADyQ (Hong et al., ECCV 2022) use them):

    A(F) = a / ||a||_2, a = mean_c F^2,     L = sum_i mean((A(F_i^T) - A(F_i))^2)

Norms run over each picture, averaged afterwards, or over the whole batch (`norm_scope`, the released code). Features of
zero give a finite gradient: 1e-12 is added under every root. Both forms ignore a positive gain, so a student may have
another scale of features than its teacher (input_gain) and pays nothing for it.

Where depths differ, teacher block i = 1..n_T is paired with student block ceil(i n_S / n_T).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from qsr import archs
from qsr.archs import convert
from qsr.archs.modelfile import load_model
from qsr.archs.swin_layers import RSTB
from qsr.errors import OptionsError
from qsr.options.schema import Distill, Options
from qsr.train.losses import Loss, Remembered, Terms

EPS = 1e-12
Features = dict[str, list[Tensor]]
"""`blocks` and `body` -> outputs (N, C, H, W) in the order of a forward pass; `body` has one or none."""


def distilled(one_pass: Loss, wanted: Sequence[Distill], options: Options) -> Loss:
    """`one_pass` plus weight * distance for each of `wanted`, as terms `l_dbt`, `l_at` (weighted).

    A teacher is loaded at the first step and runs once per batch, however often the batch is used. Raises OptionsError
    at that step where features cannot be compared.
    """
    students = Remembered(Watched)
    teachers = {term.teacher: Teacher(options, term.teacher) for term in wanted}
    named = dict(zip(term_names(wanted), wanted, strict=True))

    def loss(network: nn.Module, lq: Tensor, gt: Tensor, iteration: int) -> tuple[Tensor, Terms]:
        with students(network).recording() as ours:
            value, terms = one_pass(network, lq, gt, iteration)
        for name, term in named.items():
            theirs = teachers[term.teacher].features(lq)
            distance = term.weight * compare(term, ours[term.features], theirs[term.features])
            value, terms = value + distance, terms | {name: distance.detach()}
        return value, terms

    return loss


def term_names(wanted: Sequence[Distill]) -> list[str]:
    """`l_<type>`; where a type comes twice, `l_<type>_<features>`."""
    kinds = [term.type for term in wanted]
    return [f"l_{term.type}" + (f"_{term.features}" if kinds.count(term.type) > 1 else "") for term in wanted]


# --- distances -----------------------------------------------------------------------------------------------
def compare(term: Distill, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """The distance of the student's features to the teacher's, 0-dim float32, unweighted. OptionsError for other shapes."""
    if not ours or not theirs:
        whose = "the network" if not ours else "its teacher"
        raise OptionsError(f"{whose} has no {term.features} output that qsr knows", where="train.distill")
    distances = []
    first = 2 if term.type == "at" else 1  # attention maps have no channels to agree on
    for mine, its in zip(paired(ours, len(theirs)), theirs, strict=True):
        if mine.shape[first:] != its.shape[first:]:
            raise OptionsError(
                f"features of {tuple(mine.shape)} cannot be compared with the teacher's of {tuple(its.shape)}",
                where="train.distill",
                hint="the teacher must be as wide as the network",
            )
        distances.append((dbt if term.type == "dbt" else attention)(mine, its, term.norm_scope))
    together = torch.stack(distances)
    return together.mean() if term.type == "dbt" else together.sum()


def paired(ours: Sequence[Tensor], teacher_blocks: int) -> list[Tensor]:
    """For each block of the teacher the student's output that it is compared with."""
    return [ours[-(-number * len(ours) // teacher_blocks) - 1] for number in range(1, teacher_blocks + 1)]


def dbt(student: Tensor, teacher: Tensor, scope: str = "sample") -> Tensor:
    """||R(teacher) - R(student)||_2; (N, C, H, W) each -> 0-dim float32 in [0, sqrt(2)]."""
    gap = _unit(teacher.float().square(), scope) - _unit(student.float().square(), scope)
    return (gap.square().sum(_axes(gap, scope)) + EPS).sqrt().mean()


def attention(student: Tensor, teacher: Tensor, scope: str = "sample") -> Tensor:
    """mean((A(teacher) - A(student))^2); (N, C, H, W) each, C may differ -> 0-dim float32."""
    theirs, ours = (_unit(features.float().square().mean(1), scope) for features in (teacher, student))
    return (theirs - ours).square().mean()


def _unit(x: Tensor, scope: str) -> Tensor:
    """x over its Euclidean norm."""
    return x / (x.square().sum(_axes(x, scope), keepdim=True) + EPS).sqrt()


def _axes(x: Tensor, scope: str) -> tuple[int, ...]:
    return tuple(range(0 if scope == "batch" else 1, x.dim()))


# --- features ------------------------------------------------------------------------------------------------
class Watched:
    """A network whose block and body outputs can be recorded; of a depth-dynamic one, those of its active blocks.

    The hooks stay on the network and do nothing outside `recording`: a compiled network is compiled with them, and would
    not notice hooks that come and go.
    """

    def __init__(self, network: nn.Module) -> None:
        self._features: Features = {"blocks": [], "body": []}
        self._recording = False
        plain: nn.Module = getattr(network, "_orig_mod", network)  # what torch.compile has wrapped
        body = archs.body_output(plain)
        for _, block in archs.block_outputs(plain):
            self._watch(block, "blocks")
        if body is not None:
            self._watch(body, "body")

    @contextmanager
    def recording(self) -> Iterator[Features]:
        """Inside, the dictionary that it gives is filled by the network's forward passes."""
        found: Features = {}
        self._recording = True
        try:
            yield found
            found |= {kind: list(outputs) for kind, outputs in self._features.items()}
        finally:
            self._recording = False
            for outputs in self._features.values():
                outputs.clear()  # or they would keep the pass's graph alive until the next one

    def _watch(self, module: nn.Module, kind: str) -> None:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            if self._recording:
                # RSTBs have their channels last
                self._features[kind].append(output.permute(0, 3, 1, 2) if isinstance(module, RSTB) else output)

        module.register_forward_hook(hook)


# --- the teacher ---------------------------------------------------------------------------------------------
class Teacher:
    """A frozen network in evaluation mode; loaded when it is first asked, for its file may be this run's own first stage's."""

    def __init__(self, options: Options, chosen: str | None = None) -> None:
        self._options = options
        self._chosen = chosen
        self._network: nn.Module | None = None
        self._watched: Watched | None = None
        self._batch: Tensor | None = None
        self._features: Features = {}

    @torch.no_grad()
    def features(self, lq: Tensor) -> Features:
        """Of (N, 3, h, w); those of the last batch are kept, since depth-dynamic training asks once per depth."""
        if self._batch is lq:
            return self._features
        self._batch, self._features = None, {}
        if self._network is None or self._watched is None:
            convolutional = lq.is_contiguous(memory_format=torch.channels_last)  # the layout that training gives its batches
            layout = torch.channels_last if convolutional else torch.contiguous_format
            self._network = load_teacher(self._options, self._chosen).to(lq.device).to(memory_format=layout)
            self._watched = Watched(self._network)
        with self._watched.recording() as found:
            self._network(lq)
        self._batch, self._features = lq, found
        return found


def load_teacher(options: Options, chosen: str | None = None) -> nn.Module:
    """The teacher's network, frozen, in evaluation mode, on the CPU; the same on every rank.

    chosen: model file or experiment; None: teacher_file(options). A checkpoint of BasicSR fills the full-precision
    network of `options`. Leaves torch's random generators as they are: a resumed run loads it at another iteration.
    """
    path = Path(chosen) if chosen is not None else teacher_file(options)
    with torch.random.fork_rng(devices=[]):
        if path.suffix in convert.FOREIGN:
            network = archs.build_base(options)
            convert.load_start(network, path, options.path.param_key_g)
        else:
            network, _ = load_model(path)
    return network.eval().requires_grad_(False)


def teacher_file(options: Options) -> Path:
    """What this run starts from: its full-precision stage's model, or path.pretrain_network_g. OptionsError without either."""
    if options.train is not None and options.train.fp_iter:
        models = Path(options.path.experiments_root) / options.name / "models"
        return models / "net_g_full-precision.safetensors"
    if options.path.pretrain_network_g:
        return Path(options.path.pretrain_network_g)
    raise OptionsError("distillation without a teacher", where="train.distill", hint="name one: train.distill.0.teacher")

"""When a stored result still holds: same options, same pictures, same code.

Paths are no part of it: a row is the same row on another machine. Code counts as it is parsed, without docstrings and
comments, and only the rooms that decide numbers; of the quantizers only the row's own, so that a new method leaves
all other rows alone.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import qsr
from qsr.data.image import list_pictures
from qsr.data.layout import find_hr, lr_folder
from qsr.leaderboard.plan import Plan, Task
from qsr.options import Options, options_hash
from qsr.spec import METHODS

PACKAGE = Path(qsr.__file__).parent
TRAINING_ROOMS = ("quant", "archs", "data", "train")
MEASURING_ROOMS = ("evaluate",)
# files of these rooms that bring data in, keep books or talk, but decide no number
BYSTANDERS = {
    "data": (
        "add",
        "archive",
        "benchmark",
        "blur",
        "cards",
        "check",
        "corrupt",
        "corrupt_folder",
        "lmdb_writer",
        "manifest",
        "noise",
        "photos",
        "prepare",
        "report",
        "staging",
    ),
    "train": ("board", "checkpoint", "demo", "experiment", "finite", "journal", "lock", "progress", "run", "signals", "state"),
    "evaluate": ("exact", "golden", "reference", "subject", "run"),
    "quant": ("report",),
    "archs": ("modelfile",),
}


@dataclass(frozen=True)
class Identity:
    """12 hex digits each. options: with those of the start; data: training pictures; sets: what is measured on.

    training: code that decides whether an experiment may go on; code: with the code that measures, whether a result counts.
    """

    options: str
    data: str
    sets: str
    training: str
    code: str

    def same_experiment(self, other: Mapping[str, Any], any_code: bool) -> bool:
        """Whether the weights of `other`, an identity as JSON, are what this row would train."""
        same = other.get("options") == self.options and other.get("data") == self.data
        return same and (any_code or other.get("training") == self.training)

    def same_result(self, other: Mapping[str, Any], any_code: bool) -> bool:
        """Whether the scores of `other` are what this row would score."""
        same = self.same_experiment(other, any_code) and other.get("sets") == self.sets
        return same and (any_code or other.get("code") == self.code)

    def to_json(self) -> dict[str, str]:
        return asdict(self)


class Identities:
    """The identities of a plan's tasks; pictures and sources are read once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: dict[str, Identity] = {}
        self._sets = sets_hash(plan)

    def of(self, task: Task) -> Identity:
        if task.name not in self._known:
            training, code = code_of(task)
            self._known[task.name] = Identity(
                options=self._options(task),
                data=folder_hash(find_hr(Path(task.options.datasets["train"].dataroot_gt))),
                sets=self._sets,
                training=training,
                code=code,
            )
        return self._known[task.name]

    def _options(self, task: Task) -> str:
        """Of the options without paths, and of the start's."""
        options = task.options
        train = options.datasets["train"].model_copy(update={"dataroot_gt": "", "dataroot_lq": None})
        bare = options.model_copy(
            update={
                "datasets": {"train": train},
                "path": options.path.model_copy(update={"pretrain_network_g": None}),
            }
        )
        start = self._options(self._plan.by_name[task.start]) if task.start else ""
        own = [text for text in task.overrides if not text.startswith(("path.", "datasets.", "name="))]
        ptq = json.dumps([own, task.row.set], sort_keys=True) if task.row.kind == "ptq" else ""
        measured = json.dumps([task.row.depths, task.row.ensemble])
        return _short(options_hash(bare), start, ptq, measured)


def sets_hash(plan: Plan) -> str:
    """12 hex digits over the benchmark sets' pictures; sets that are not on this machine count by their absence."""
    from qsr.data.benchmark import find_root

    parts = []
    for name in plan.board.sets:
        root = find_root(name, plan.data_root)
        shipped = lr_folder(root, plan.board.scale) if root else None
        parts += [name, folder_hash(find_hr(root)) if root else "", folder_hash(shipped) if shipped else ""]
    return _short(*parts)


@cache
def folder_hash(folder: Path) -> str:
    """12 hex digits over the names and bytes of a folder's pictures."""
    digest = blake2b(digest_size=6)
    for path in list_pictures(folder):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def code_of(task: Task) -> tuple[str, str]:
    """Versions of the code that trains a task, and of all the code that its result depends on."""
    rooms = (*TRAINING_ROOMS, "ptq") if task.row.kind == "ptq" else TRAINING_ROOMS
    training = code_version(methods_of(task.options), rooms)
    return training, _short(training, code_version((), MEASURING_ROOMS))


@cache
def code_version(methods: tuple[str, ...], rooms: tuple[str, ...]) -> str:
    """12 hex digits over the parsed sources of `rooms`, without docstrings; of quantizers those of `methods` only."""
    ours = _closure(METHODS[name].target.partition(":")[0] for name in methods)
    others = {method.target.partition(":")[0] for method in METHODS.values()} - ours
    parts = []
    for room in rooms:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            module = ".".join(("qsr", *path.relative_to(PACKAGE).with_suffix("").parts))
            if module not in others and path.stem not in BYSTANDERS.get(room, ()):
                parts += [module, bare_source(path.read_text(encoding="utf-8"))]
    return _short(*parts)


@cache
def source_version(modules: tuple[str, ...]) -> str:
    """12 hex digits over the parsed sources of single modules of qsr, `data.corrupt`, without docstrings."""
    paths = [PACKAGE.joinpath(*name.split(".")).with_suffix(".py") for name in modules]
    return _short(*(bare_source(path.read_text(encoding="utf-8")) for path in paths))


def bare_source(text: str) -> str:
    """A source as its syntax tree, without docstrings, comments and positions."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:]
    return ast.dump(tree)


def _closure(modules: Iterable[str]) -> set[str]:
    """Modules of qsr.quant and those of the same room that they import, however deep."""
    found: set[str] = set()
    queue = list(modules)
    while queue:
        module = queue.pop()
        path = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
        if module in found or not path.is_file():
            continue
        found.add(module)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qsr.quant"):
                queue += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def methods_of(options: Options) -> tuple[str, ...]:
    """Quantizers that a network's options name."""
    if options.quant is None:
        return ()
    named = {options.quant.method, *(rule.method for rule in options.quant.rules if rule.method)}
    return tuple(sorted(named & METHODS.keys()))


def _short(*parts: str | Sequence[str]) -> str:
    return blake2b("\0".join(map(str, parts)).encode(), digest_size=6).hexdigest()

"""The house's plan, checked: which room may import which, where tests lie, how long files get, what no file may say."""

from __future__ import annotations

import ast
import statistics
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "qsr"
SOURCES = sorted(PACKAGE.rglob("*.py"))

FLOORS = {
    **dict.fromkeys(("errors", "spec", "files", "jsonfile", "quantities", "cluster", "surroundings"), 0),
    **dict.fromkeys(("options", "runtime", "compat"), 1),
    **dict.fromkeys(("quant", "data"), 2),
    "archs": 3,
    **dict.fromkeys(("evaluate", "export"), 4),
    **dict.fromkeys(("train", "report", "ptq", "zoo"), 5),
    **dict.fromkeys(("leaderboard", "upscale"), 6),
    **dict.fromkeys(("bench", "serve", "doctor"), 7),
    "bibench": 8,
    "cli": 9,
}
# within a floor: everybody may raise errors, validation draws its crops with report, an export measures what its tail costs
LEVEL_ARROWS = {
    *((room, "errors") for room in ("spec", "files", "quantities", "cluster")),
    ("train", "report"),
    ("export", "evaluate"),
}
LIGHT_ROOMS = (
    *("__init__", "errors", "spec", "files", "jsonfile", "quantities", "cluster", "surroundings"),
    *("options", "runtime", "compat", "upscale", "doctor", "cli"),
)
HEAVY = {"torch", "torchvision", "basicsr", "cv2", "numba", "skimage", "scipy", "tensorboard"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@cache
def known_modules() -> frozenset[str]:
    return frozenset(module_of(path) for path in SOURCES)


def imported(path: Path, nodes: Iterator[ast.AST]) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of what `nodes` import; `from a import b` is a.b where that is a module of ours."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module_of(path).split(".")
                package = package[: len(package) - node.level + (path.name == "__init__.py")]
                base = ".".join([*package, *filter(None, [base])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield (full if full in known_modules() else base), node.lineno


def everywhere(path: Path) -> Iterator[tuple[str, int]]:
    return imported(path, ast.walk(tree_of(path)))


def while_importing(path: Path) -> Iterator[tuple[str, int]]:
    """What runs on import: everything outside functions."""

    def walk(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield child
                yield from walk(child)

    return imported(path, walk(tree_of(path)))


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    return [REPOSITORY / name for name in listed.split("\0") if name and (REPOSITORY / name).is_file()]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: module_of(path))
def test_arrows_point_down(path: Path) -> None:
    here = room_of(path)
    if here == "__init__":
        pytest.skip("the package itself names rooms as text and imports them when a name is asked for")
    for name, line in everywhere(path):
        parts = name.split(".")
        if parts[0] != "qsr" or len(parts) == 1 or parts[1] not in FLOORS or parts[1] == here:
            continue
        there = parts[1]
        assert FLOORS[there] < FLOORS[here] or (here, there) in LEVEL_ARROWS, (
            f"{path.relative_to(REPOSITORY)}:{line} {here} (floor {FLOORS[here]}) imports {there} (floor {FLOORS[there]})"
        )


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in SOURCES} - {"__init__"} <= set(FLOORS)


def test_no_module_imports_itself_in_a_circle() -> None:
    arrows = {
        module_of(path): {name for name, _ in while_importing(path) if name in known_modules()} - {"qsr"} for path in SOURCES
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for target in sorted(arrows[module]):
                visit(target, (*trail, module))
            done.add(module)

    for module in sorted(arrows):
        visit(module, ())


def test_only_the_bridge_imports_basicsr() -> None:
    bridge = PACKAGE / "compat" / "basicsr.py"
    importers = [
        path for path in SOURCES if path != bridge and any(name.split(".")[0] == "basicsr" for name, _ in everywhere(path))
    ]
    assert importers == []


@pytest.mark.parametrize("path", [p for p in SOURCES if room_of(p) in LIGHT_ROOMS], ids=lambda path: module_of(path))
def test_light_rooms_import_nothing_heavy_at_their_top(path: Path) -> None:
    allowed = {"numba"} if module_of(path) == "qsr.runtime.numba_kernels" else set()
    heavy = {(name, line) for name, line in while_importing(path) if name.split(".")[0] in HEAVY - allowed}
    assert not heavy


def test_the_runtime_imports_torch_nowhere() -> None:
    guilty = [
        path for path in SOURCES if room_of(path) == "runtime" and any(n.split(".")[0] == "torch" for n, _ in everywhere(path))
    ]
    assert guilty == []


def test_every_module_has_a_test_file_of_its_name() -> None:
    inside = [path.relative_to(PACKAGE) for path in SOURCES if path.name != "__init__.py"]
    missing = [str(path) for path in inside if not (REPOSITORY / "tests" / path.parent / f"test_{path.name}").is_file()]
    assert missing == []


def test_files_stay_short() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in SOURCES}
    assert statistics.median(lengths.values()) <= 130
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= 300


@pytest.mark.parametrize("folder", ["qsr", "tests", "benchmarks", "csrc"])
def test_no_file_is_longer_than_400_lines(folder: str) -> None:
    code = [path for path in (REPOSITORY / folder).rglob("*") if path.suffix in (".py", ".cc", ".h")]
    assert code
    too_long = [str(path.relative_to(REPOSITORY)) for path in code if len(path.read_text().splitlines()) > 400]
    assert too_long == []


# written in halves, so that this file does not contain them
FORBIDDEN = ["/wo" + "rk/", "/tmp" + "/w/", "pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "debian" + ".org"]
UNFINISHED = ["TO" + "DO", "FIX" + "ME", "X" + "XX"]


def test_no_file_names_a_machine_or_a_registry() -> None:
    for path in tracked_files():
        if path.suffix in (".png", ".jpg", ".safetensors", ".npz"):
            continue
        text = path.read_text(errors="replace")
        name = path.relative_to(REPOSITORY)
        found = [word for word in FORBIDDEN if word in text]
        if name.parts[0] not in ("tests", "benchmarks"):
            found += [word for word in ("../sha" + "red",) if word in text]
        if path.suffix in (".py", ".cc", ".h"):
            found += [word for word in UNFINISHED if word in text]
        assert not found, f"{name} contains {found}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: module_of(path))
def test_no_error_is_swallowed(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: bare except"
            assert not all(isinstance(step, ast.Pass) for step in node.body), f"line {node.lineno}: an error is passed over"

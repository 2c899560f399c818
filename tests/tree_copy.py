"""A copy of the working tree, in which a test may break the product: what git knows or would add, and the compiled extension.

`make coverage` (python tests/tree_copy.py FOLDER), tests/mutate.py and tests/drill_mutations.py start processes in one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def copy_tree(target: Path) -> Path:
    """Copy the working tree to `target`, in place of what is there; returns it."""
    shutil.rmtree(target, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    names = {name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).is_file()}
    names |= {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "qsr").glob("_kernels*.so")}
    for name in sorted(names):
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, path)
    return target


def environment(tree: Path) -> dict[str, str]:
    """Variables under which processes, and theirs, import from `tree`, on one thread; real pictures are where they were."""
    tree = tree.resolve()
    shared = os.environ.get("QSR_SHARED_DATA", str(REPOSITORY.parent / "shared" / "data"))
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    results = str(tree / "build" / "drills")
    return {**one, "PYTHONPATH": str(tree), "QSR_SHARED_DATA": shared, "QSR_DRILL_RESULTS": results}


def change(path: Path, content: bytes) -> None:
    """Replace a source file of the copy, and forget its compiled form: to Python it would be that of the new content."""
    path.write_bytes(content)
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        compiled.unlink()


if __name__ == "__main__":
    if sys.argv[1] == "--environment":
        print(*(f"{name}={value}" for name, value in environment(Path(sys.argv[2])).items()))
    else:
        copy_tree(Path(sys.argv[1]))

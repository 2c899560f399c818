"""The models travel in the wheel: setup.py's copy of experiments/zoo, read where an installed package looks."""

from __future__ import annotations

import shutil
import subprocess
import sys

from qsr.zoo.index import get


def test_building_copies_the_models_into_the_package(zoo, repository, tmp_path):
    tree, built = tmp_path / "tree", tmp_path / "built"
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "qsr/__init__.py", "qsr/zoo/__init__.py"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repository / name, tree / name)
    shutil.copytree(zoo, tree / "experiments" / "zoo")
    (tree / "experiments" / "zoo" / "leftover.tmp").write_text("not to be shipped")
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(built)],
        cwd=tree, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    models = built / "qsr" / "zoo" / "models"
    assert {path.name for path in models.iterdir()} == {path.name for path in zoo.iterdir()}
    assert get("tiny_x2_w2a2", folder=models).read_bytes() == (zoo / "tiny_x2_w2a2.safetensors").read_bytes()

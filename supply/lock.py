"""Writes supply/locked/: every file that `make` may install, by its SHA-256. `make lock` runs it.

constraints.txt says which versions; this asks the package index for the hashes of all their files (every platform, Python
3.11 to 3.13) and writes one list per step of the Makefile, each without what earlier steps install. A package that is not
pinned in constraints.txt is an error, so nothing comes in unseen; only what torch itself pins (its GPU libraries) is exempt.

torch has several builds of one version. The index's build comes with NVIDIA's libraries: `torch-index.txt`. A folder that
pip's `find-links` names may hold a smaller one for CPUs, whose version ends in +cpu: `torch-cpu.txt`, by its own hash; a list
that was made where there is such a build is kept where there is none. `torch_build.py` says which one pip would take; what
both need is in `torch.txt`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

REPOSITORY = Path(__file__).resolve().parents[1]
LOCKED = REPOSITORY / "supply" / "locked"
OLDEST_PYTHON = "3.11"
TOOLS = ("lint", "release", "coverage", "fuzz")  # extras with a step of their own
ONE_BUILD = re.compile(r"torch|triton|(nvidia|cuda)-.*")

Entries = dict[str, str]  # package -> its lines: name==version ; marker \ --hash=... \ ...


def canonical(name: str) -> str:
    """A package's name as indices spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def groups(project: dict) -> dict[str, list[str]]:
    """Step of the Makefile -> what it asks for by name, in the order of installation."""
    extras = project["optional-dependencies"]
    return {
        "build": ["setuptools", "wheel", "pybind11"],
        "torch": ["torch"],
        "run": [*project["dependencies"], *extras["train"]],
        "test": [*extras["test"], *extras["basicsr-needs"]],
        "oracles": ["torchvision", "basicsr"],
        **{tool: extras[tool] for tool in TOOLS if tool in extras},
    }


def entries(text: str) -> Entries:
    """The packages of a requirements file with hashes."""
    found: Entries = {}
    for block in re.split(r"\n(?=\S)", "\n".join(line for line in text.splitlines() if not line.startswith("#")).strip()):
        if block.strip():
            name = canonical(re.split(r"[=\s\[;]", block, maxsplit=1)[0])
            assert name not in found, f"{name} is pinned twice"
            found[name] = block.rstrip()
    return found


def version_of(entry: str) -> str:
    """The version that an entry pins."""
    found = re.match(r"[\w.-]+==([^\s;\\]+)", entry)
    assert found, entry
    return found[1]


def pins(text: str) -> dict[str, str]:
    """Package -> version of constraints.txt."""
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return {canonical(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def resolve(names: Iterable[str], with_dependencies: bool = True) -> Entries:
    """Everything that `names` need in the versions of constraints.txt, on every platform, with the hashes of all files."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "-q", "--universal", "--python-version", OLDEST_PYTHON]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "-c", "constraints.txt"]
    command += [] if with_dependencies else ["--no-deps"]
    text = "\n".join(names)
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    if done.returncode != 0:
        sys.exit(f"the pins of constraints.txt do not fit together, or the index was not reached:\n{done.stderr}")
    return entries(done.stdout)


def cpu_build(version: str) -> Entries:
    """torch built for CPUs, of one version, with the hashes of all wheels that the folders of pip's find-links hold."""
    wheels = [wheel for folder in find_links() for wheel in sorted(folder.glob(f"torch-{version}+cpu-*.whl"))]
    if not wheels:
        return {}
    digests = sorted(hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels)
    return {"torch": f"torch=={version}+cpu" + "".join(f" \\\n    --hash=sha256:{digest}" for digest in digests)}


def find_links() -> list[Path]:
    """Folders that pip is told to look into, by its configuration or the environment."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    listed = re.findall(r"find-links='(.*)'", done.stdout)
    named = " ".join([*listed, os.environ.get("PIP_FIND_LINKS", "")]).replace("\\n", " ").split()
    folders = (Path(unquote(urlsplit(place).path)) if place.startswith("file:") else Path(place) for place in named)
    return sorted({folder for folder in folders if folder.is_dir()})


def unpinned(made: dict[str, Entries], pinned: dict[str, str]) -> list[str]:
    """`name==version` of what constraints.txt does not name and torch does not pin."""
    return [
        f"{name}=={version_of(entry)}"
        for group, found in made.items()
        for name, entry in found.items()
        if name not in pinned and group != "torch-index"
    ]


def lock() -> dict[str, Entries]:
    """Group -> its packages, none of them twice."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    made: dict[str, Entries] = {}
    asked: list[str] = []
    known: set[str] = set()
    for group, names in groups(project).items():
        if group == "oracles":  # as the Makefile installs them: without what they ask for
            made[group] = resolve((f"{name} ; python_version < '3.13'" for name in names), with_dependencies=False)
            continue
        asked += names
        fresh = {name: entry for name, entry in resolve(asked).items() if name not in known}
        known |= set(fresh)
        if group == "torch":
            made["torch-index"] = {name: fresh.pop(name) for name in list(fresh) if ONE_BUILD.fullmatch(name)}
            made["torch-cpu"] = cpu_build(version_of(made["torch-index"]["torch"]))
            made["torch"] = fresh
        else:
            made[group] = fresh
    return made


def write(made: dict[str, Entries]) -> None:
    LOCKED.mkdir(exist_ok=True)
    for group, found in made.items():
        if group == "torch-cpu" and not found:
            print("no build of torch for CPUs is here: torch-cpu.txt stays as it is")
            continue
        head = f"# `{group}`, installed by the Makefile. Made by `make lock` from constraints.txt; do not edit.\n"
        text = head + "".join(f"{entry}\n" for _, entry in sorted(found.items()))
        (LOCKED / f"{group}.txt").write_text(text, encoding="utf-8")


def main() -> None:
    made = lock()
    pinned = pins((REPOSITORY / "constraints.txt").read_text(encoding="utf-8"))
    if missing := unpinned(made, pinned):
        sys.exit("constraints.txt does not pin these; add them and run `make lock` again:\n" + "\n".join(sorted(missing)))
    write(made)
    print(json.dumps({group: len(found) for group, found in made.items()}))


if __name__ == "__main__":
    main()

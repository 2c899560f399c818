"""Writes docs/licences.md: what qsr needs or brings along, and under which licence. `make lock` runs it after the lists.

Licences are read from the metadata of the installed packages. What is not installed here keeps the row that it has; a
package that has none yet and is not installed is an error (install it, or give a folder with it: --path FOLDER).
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "licences.md"
OURS = ("train", "lmdb", "plots", "video", "large", "onnx", "peers", "serve", "ray", "basicsr")  # what users install
TOOLS = ("test", "basicsr-needs", "lint", "release", "coverage", "fuzz")  # what only developers do
BUILD = "build"
HEAD = """# Licences

qsr is Apache-2.0. Nothing of the packages below is copied into it; `pip` installs those that are asked for. Written by
`make lock` from the packages' own metadata, for the versions of `constraints.txt`.

**Inside the wheel** are, besides qsr: compiled-in headers of pybind11 (BSD-3-Clause); in wheels of `make dist`, parts of GCC's
libstdc++ (GPL-3.0 with the GCC Runtime Library Exception, which lets programs under any licence contain them);
and the released models, trained on BSD400, whose pictures are for non-commercial research and education (each model's card
says so).

"Needed by": `qsr` is the plain installation, `qsr[x]` an extra, `developers` the tests and tools. Indirect dependencies are
those of the plain installation and of `qsr[train]`.

| package | version | licence | needed by |
| --- | --- | --- | --- |
"""


def canonical(name: str) -> str:
    """A package's name as indices spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    """The package that a requirement asks for: `pyvips[binary]>=3` -> pyvips."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    assert found, requirement
    return canonical(found[0])


def direct(project: dict) -> dict[str, list[str]]:
    """Package -> who asks for it, over all that pyproject.toml names."""
    extras = project["optional-dependencies"]
    wanted: dict[str, list[str]] = {}
    for who, names in (
        ("qsr", project["dependencies"]),
        *((f"qsr[{extra}]", extras[extra]) for extra in OURS),
        *(("developers", extras[extra]) for extra in TOOLS if extra in extras),
        ("building", ["setuptools", "pybind11", "wheel"]),
    ):
        for name in map(name_of, names):
            if who not in wanted.setdefault(name, []):
                wanted[name].append(who)
    missing = set(extras) - {*OURS, *TOOLS}
    assert not missing, f"extras without a place in the page: {sorted(missing)}"
    return wanted


def licence(found: metadata.Distribution) -> str:
    """The SPDX expression, else the classifiers', else the first line of the free text."""
    about = found.metadata
    if expressions := about.get_all("License-Expression"):
        return str(expressions[0])
    classifiers = [line.split(" :: ")[-1] for line in about.get_all("Classifier") or () if line.startswith("License ::")]
    classifiers = [text for text in classifiers if text != "OSI Approved"]
    if classifiers:
        return " / ".join(sorted(set(classifiers)))
    text = "".join(about.get_all("License") or ()).strip().splitlines()
    return text[0][:60] if text else "see the package"


def indirect(roots: Iterable[str], installed: dict[str, metadata.Distribution]) -> Iterator[str]:
    """What the roots need in turn, as far as it is installed: extras left out, markers of other systems too."""
    seen, waiting = set(roots), list(roots)
    while waiting:
        found = installed.get(waiting.pop())
        for requirement in (found.requires or ()) if found else ():
            name = name_of(requirement)
            if not re.search(r"\bextra\s*==", requirement) and name in installed and name not in seen:
                seen.add(name)
                waiting.append(name)
                yield name


def rows_of(page: str) -> dict[str, str]:
    """Package -> its line of a page that was written before."""
    return {line.split("|")[1].strip(): line for line in page.splitlines() if re.match(r"\| [a-z0-9]", line)}


def table(wanted: dict[str, list[str]], installed: dict[str, metadata.Distribution], before: dict[str, str]) -> list[str]:
    """One line per package, by name. Exits where nothing is known of one."""
    lines, unknown = {}, []
    for name, who in wanted.items():
        if found := installed.get(name):
            version = found.version.split("+")[0]
            lines[name] = f"| {name} | {version} | {licence(found).replace('|', '/')} | {', '.join(who)} |"
        elif name in before:
            lines[name] = before[name]
        else:
            unknown.append(name)
    if unknown:
        sys.exit(f"not installed, and no row yet: {', '.join(unknown)}")
    return [lines[name] for name in sorted(lines) if name != "package"]


def main(arguments: list[str]) -> None:
    folders = [arguments[i + 1] for i, word in enumerate(arguments) if word == "--path"]
    found = [*metadata.distributions(), *metadata.distributions(path=folders)] if folders else metadata.distributions()
    installed = {canonical(one.name): one for one in found}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = direct(project)
    for root, who in (("dependencies", "qsr"), ("train", "qsr[train]")):
        names = project["dependencies"] if root == "dependencies" else project["optional-dependencies"][root]
        for name in indirect([name_of(one) for one in names], installed):
            if name not in wanted:
                wanted[name] = [f"{who}, indirectly"]
    before = rows_of(PAGE.read_text(encoding="utf-8")) if PAGE.is_file() else {}
    PAGE.write_text(HEAD + "\n".join(table(wanted, installed, before)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

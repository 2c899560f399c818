"""Python, qsr's own files, and what qsr requires. Reads pip's records; of packages only the light ones are imported."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import re
import sys
import urllib.parse
from importlib import metadata
from pathlib import Path

import qsr
from qsr.doctor.check import Finding, fail, ok, skip, warn
from qsr.doctor.worker import one_line

OLDEST, NEWEST = (3, 11), (3, 13)  # as requires-python in pyproject.toml
IMPORT_NAMES = {"pillow": "PIL", "opencv-python": "cv2", "pyyaml": "yaml", "scikit-image": "skimage"}
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_CLAUSE = re.compile(r"\s*(>=|<=|==|!=|~=|>|<)\s*([0-9][^,\s]*)\s*")


def check_python() -> Finding:
    version, text = sys.version_info[:2], sys.version.split()[0]
    tested = f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
    if sys.maxsize <= 2**32:
        return fail(f"{text} with 32-bit addresses", "use a 64-bit Python")
    if not OLDEST <= version <= NEWEST:
        return warn(f"{text}; qsr is tested with {tested}", f"make an environment with Python {tested}")
    return ok(f"{text} ({sys.executable})", version=text, executable=sys.executable)


def check_files() -> Finding:
    """Every file of pip's record is there with its hash; a clone (editable installation) has no such record."""
    here = Path(qsr.__file__).resolve().parent
    try:
        found = metadata.distribution("qsr")
    except metadata.PackageNotFoundError:
        return warn(f"qsr {qsr.__version__} in {here}, of which pip knows nothing", "pip install it, or pip install -e a clone")
    if found.version != qsr.__version__:
        return warn(
            f"pip has a record of qsr {found.version}, what runs is qsr {qsr.__version__} in {here}",
            "pip install it again, and look for another copy on PYTHONPATH",
        )
    listed = [file for file in found.files or () if file.parts[0] == "qsr"]
    if not listed:
        clone = _clone(found)
        if clone is not None and clone != here.parent:
            return warn(
                f"pip installed the clone in {clone}, what runs is another copy, in {here}", "look for it on PYTHONPATH"
            )
        return ok(f"qsr {qsr.__version__}, a clone in {here.parent}", version=qsr.__version__, folder=str(here))
    damaged = []
    for file in listed:
        path = Path(str(found.locate_file(file)))
        if file.suffix == ".pyc":
            continue
        if not path.is_file():
            damaged.append(f"{file} is missing")
        elif file.hash is not None and _digest(path, file.hash.mode) != file.hash.value:
            damaged.append(f"{file} was changed")
    if damaged:
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        return fail(f"{damaged[0]}{more}", "pip install --force-reinstall --no-deps qsr", damaged=damaged)
    if Path(str(found.locate_file(listed[0]))).resolve().parts[: len(here.parts)] != here.parts:
        return warn(f"what runs is another copy of qsr, in {here}", "look for it on PYTHONPATH")
    return ok(f"qsr {qsr.__version__}, {len(listed)} files as installed in {here}", version=qsr.__version__, folder=str(here))


def _clone(found: metadata.Distribution) -> Path | None:
    """The folder of an editable installation, as pip noted it (PEP 610)."""
    noted = json.loads(found.read_text("direct_url.json") or "{}")
    address = urllib.parse.urlsplit(noted.get("url", ""))
    if address.scheme != "file" or not noted.get("dir_info", {}).get("editable"):
        return None
    return Path(urllib.parse.unquote(address.path)).resolve()


def _digest(path: Path, mode: str) -> str:
    """As pip's RECORD has it: url-safe base64 without its padding."""
    with open(path, "rb") as handle:
        return base64.urlsafe_b64encode(hashlib.file_digest(handle, mode).digest()).rstrip(b"=").decode()


def check_packages() -> Finding:
    try:
        wanted = requirements()
    except metadata.PackageNotFoundError:
        return skip("pip knows nothing of this qsr, so what it requires is unknown", "pip install it")
    problems, versions = judge(wanted)
    for name in wanted:
        problem = import_problem(IMPORT_NAMES.get(name, name)) if name in versions else ""
        if problem:
            problems.append(f"{name} does not import: {problem}")
    if problems:
        return fail("; ".join(problems), "pip install --force-reinstall qsr", versions=versions)
    return ok(", ".join(f"{name} {version}" for name, version in versions.items()), versions=versions)


# --- pip's records --------------------------------------------------------------------------------------------------------
def requirements(extra: str = "") -> dict[str, str]:
    """Name -> versions (`>=2.10`, or ``) that qsr requires, of one extra or, for "", always."""
    found = {}
    for text in metadata.requires("qsr") or ():
        match = _REQUIREMENT.fullmatch(text)
        assert match is not None, text
        marked = _EXTRA.search(match[3] or "")
        if (marked[1] if marked else "") == extra:
            found[match[1].lower()] = match[2].strip()
    return found


def judge(wanted: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """(what is missing or of the wrong version, one sentence each; versions of what is there)."""
    problems, versions = [], {}
    for name, asked in wanted.items():
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            problems.append(f"{name} is not installed")
            continue
        if not fits(versions[name], asked):
            problems.append(f"{name} is {versions[name]}, expected {asked}")
    return problems, versions


def fits(version: str, asked: str) -> bool:
    """Whether the numbers of a version fulfil all clauses; what follows the numbers (`rc1`, `+cpu`) is not compared.

    >>> fits("2.13.0+cpu", ">=2.10,<3"), fits("2.9.1", ">=2.10")
    (True, False)
    """
    ours = _numbers(version)
    for clause in filter(None, (part.strip() for part in asked.split(","))):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            return False
        theirs = _numbers(match[2])
        width = max(len(ours), len(theirs))
        one, other = (numbers + (0,) * (width - len(numbers)) for numbers in (ours, theirs))
        prefix = theirs[:-1] if match[1] == "~=" or match[2].endswith(".*") else ()
        holds = {
            ">=": one >= other,
            "<=": one <= other,
            ">": one > other,
            "<": one < other,
            "==": one == other or (match[2].endswith(".*") and ours[: len(theirs)] == theirs),
            "!=": one != other,
            "~=": one >= other and ours[: len(prefix)] == prefix,
        }
        if not holds[match[1]]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def import_problem(name: str) -> str:
    """Why a module cannot be imported, "" where it can."""
    try:
        importlib.import_module(name)
    except Exception as fault:  # a compiled module may raise anything
        return one_line(f"{type(fault).__name__}: {fault}")
    return ""

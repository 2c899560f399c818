"""What only training needs: torch, the rest of the extra `train`, and the two traps around basicsr."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from qsr.doctor.check import Finding, fail, ok, skip, warn
from qsr.doctor.installation import IMPORT_NAMES, fits, import_problem, judge, requirements
from qsr.doctor.worker import installed
from qsr.errors import EnvironmentFault

INSTALL = "pip install 'qsr[train]'"
OLDEST_TORCH = ">=2.10"  # where pip has no record of qsr; as pyproject.toml


def check_torch() -> Finding:
    import torch

    try:
        asked = requirements("train").get("torch", OLDEST_TORCH)
    except metadata.PackageNotFoundError:
        asked = OLDEST_TORCH
    version = str(torch.__version__)
    if not fits(version, asked):
        return fail(
            f"torch {version}, expected {asked}: older ones load foreign weights unsafely", f"pip install 'torch{asked}'"
        )
    import numpy as np

    numbers = np.arange(4, dtype=np.float32)
    try:
        returned = (torch.from_numpy(numbers) + 1).numpy()
    except RuntimeError as fault:  # a torch that was built for another numpy
        return fail(f"torch {version} does not work with numpy {np.__version__}: {fault}", "pip install a numpy that it names")
    if not np.array_equal(returned, numbers + 1):
        return fail(f"torch {version} adds 1 to {numbers} and finds {returned}", "reinstall torch")
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the processor only"
    return ok(f"torch {version} for {built}, {torch.get_num_threads()} threads", version=version, cuda=torch.version.cuda)


def check_packages() -> Finding:
    try:
        wanted = requirements("train")
    except metadata.PackageNotFoundError:
        return skip("pip knows nothing of this qsr, so what it requires is unknown", "pip install it")
    if not installed("torch"):  # some of the others are there for other reasons, often
        return skip(f"{', '.join(wanted)}: not all installed, needed for training", INSTALL)
    wanted.pop("torch", None)  # has a line of its own
    problems, versions = judge(wanted)
    for name in versions:
        problem = import_problem(IMPORT_NAMES.get(name, name))
        if problem:
            problems.append(f"{name} does not import: {problem}")
    if any("lib" in problem and "opencv" in problem for problem in problems):
        return fail("; ".join(problems), "opencv needs two system libraries: apt-get install libgl1 libglib2.0-0")
    if problems:
        return fail("; ".join(problems), INSTALL, versions=versions)
    return ok(", ".join(f"{name} {version}" for name, version in versions.items()), versions=versions)


def check_tensorboard() -> Finding:
    """basicsr asks for tb-nightly, whose files land in tensorboard's folder; whichever comes second wins."""
    there = {name: version for name in ("tensorboard", "tb-nightly") if (version := version_of(name)) is not None}
    if not there:
        return skip("tensorboard is not installed, needed for logger.use_tb_logger", INSTALL)
    if len(there) > 1:
        both = " and ".join(f"{name} {version}" for name, version in there.items())
        todo = "pip uninstall -y tb-nightly tensorboard && pip install tensorboard"
        return warn(f"{both} are both installed, into the same folder", todo, versions=there)
    problem = import_problem("torch.utils.tensorboard")
    if problem:
        return fail(f"tensorboard does not import: {problem}", "pip install --force-reinstall tensorboard")
    return ok(" ".join(*there.items()), versions=there)


def check_basicsr() -> Finding:
    versions = {name: version_of(name) for name in ("basicsr", "torchvision")}
    if versions["basicsr"] is None:
        return skip("not installed; only networks of basicsr's own need it")
    from qsr.compat.basicsr import arch_names

    try:
        count = len(arch_names())
    except EnvironmentFault as fault:
        spec = find_spec("torchvision")
        where = f"; torchvision comes from {Path(spec.origin).parent}" if spec is not None and spec.origin else ""
        todo = f"pip install --force-reinstall --no-deps torchvision ({fault.hint}); only basicsr's own networks need it"
        return fail(f"{fault.message}{where}", todo, **versions)
    return ok(f"basicsr {versions['basicsr']} with torchvision {versions['torchvision']}, {count} networks", **versions)


def version_of(name: str) -> str | None:
    """The installed version of a distribution, None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

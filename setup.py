"""Builds the optional extension `qsr._kernels` from csrc/ and puts the released models and the ready-made option files into
a wheel; everything else is said in pyproject.toml.

Without a compiler (or Python's headers) the installation succeeds all the same: `qsr.runtime` then works
with numba, and `qsr info` says so. QSR_REQUIRE_KERNELS=1 turns that into an error.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext, has_flag
from setuptools import setup
from setuptools.command.build_py import build_py

REQUIRED = os.environ.get("QSR_REQUIRE_KERNELS") == "1"
CSRC = Path("csrc")
# Not every compiler knows all of them: each is tried. A level 3 that a C library does not know is taken as 2 by its headers;
# some distributions set a level of their own, hence the -U.
HARDENING = (
    *("-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3"),
    *("-fstack-protector-strong", "-fstack-clash-protection"),
    "-mbranch-protection=standard" if platform.machine() in ("aarch64", "arm64") else "-fcf-protection=full",
)
LINKING = ["-Wl,-z,relro,-z,now,-z,noexecstack", "-Wl,--as-needed"] if sys.platform == "linux" else []
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wformat=2"]
# Where the sources lie is not to be found in the result: two builds in two folders are the same bytes.
SAME_ANYWHERE = (f"-ffile-prefix-map={Path.cwd()}=.",)
# QSR_PORTABLE=1: what `make dist` builds. The compiler's libstdc++, newer than many machines', goes into the extension: unseen
# from outside, and only what is used (the rest of it would ask for a newer C library). libgcc stays outside: it would, too.
STATIC = ["-static-libstdc++", "-Wl,--exclude-libs,ALL", "-Wl,--gc-sections"]
PORTABLE = STATIC if os.environ.get("QSR_PORTABLE") == "1" else []
# QSR_SANITIZE=address,undefined or thread: what `make sanitize` builds (in a copy of the tree; slow, for tests only)
SANITIZE = os.environ.get("QSR_SANITIZE", "")
CHECKS = [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined", "-g"] if SANITIZE else []
# QSR_COVERAGE=1: counts which lines run, for `make coverage` (likewise). Threads count too, and one after the other.
COVERAGE = ["--coverage", "-fprofile-update=atomic"] if os.environ.get("QSR_COVERAGE") == "1" else []
OPTIMISE = "-O1" if SANITIZE or COVERAGE else os.environ.get("QSR_OPTIMISE", "-O3")


class BuildKernels(build_ext):
    """Compiles the extension, or says why it cannot and goes on."""

    def build_extension(self, ext: Pybind11Extension) -> None:
        try:
            if not SANITIZE and not COVERAGE:
                ext.extra_compile_args += [flag for flag in (*HARDENING, *SAME_ANYWHERE) if has_flag(self.compiler, flag)]
            super().build_extension(ext)
        except Exception as fault:
            if REQUIRED:
                raise
            print(f"qsr: the C++ kernels were not built ({fault}); numba stands in for them", file=sys.stderr)


class BuildPackage(build_py):
    """Also copies what a clone (editable installation) reads where it is: experiments/zoo/ and options/."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            package = Path(self.build_lib, "qsr")
            self._copy(Path("experiments", "zoo"), package / "zoo" / "models", (".json", ".md", ".safetensors", ".qsr"))
            self._copy(Path("options"), package / "options" / "files", (".yml",))

    def _copy(self, source: Path, target: Path, kinds: tuple[str, ...]) -> None:
        for path in sorted(source.rglob("*")):
            if path.suffix in kinds:
                place = target / path.relative_to(source)
                self.mkpath(str(place.parent))
                shutil.copyfile(path, place)


kernels = Pybind11Extension(
    "qsr._kernels",
    sorted(str(path) for path in CSRC.rglob("*.cc")),
    include_dirs=[str(CSRC)],
    depends=sorted(str(path) for pattern in ("*.h", "*.inc") for path in CSRC.rglob(pattern)),
    cxx_std=17,
    extra_compile_args=[OPTIMISE, "-pthread", *WARNINGS, *CHECKS, *COVERAGE],
    extra_link_args=["-pthread", *LINKING, *PORTABLE, *CHECKS[:1], *COVERAGE],
)
# setuptools then accepts that the shared object is missing after the build
kernels.optional = not REQUIRED

ParallelCompile("QSR_BUILD_JOBS", default=2).install()
setup(ext_modules=[kernels], cmdclass={"build_ext": BuildKernels, "build_py": BuildPackage})

"""Builds the optional extension `qsr._kernels` from csrc/ and puts the released models into a wheel; everything else is
said in pyproject.toml.

Without a compiler (or Python's headers) the installation succeeds all the same: `qsr.runtime` then works
with numba, and `qsr info` says so. QSR_REQUIRE_KERNELS=1 turns that into an error.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext
from setuptools import setup
from setuptools.command.build_py import build_py

REQUIRED = os.environ.get("QSR_REQUIRE_KERNELS") == "1"
CSRC = Path("csrc")
ZOO = Path("experiments", "zoo")
HARDENING = ["-fstack-protector-strong", "-D_FORTIFY_SOURCE=2"]
LINKING = ["-Wl,-z,relro,-z,now"] if sys.platform == "linux" else []
WARNINGS = ["-Wall", "-Wextra", "-Wconversion"]
# QSR_SANITIZE=address,undefined or thread: what `make sanitize` builds (in a copy of the tree; slow, for tests only)
SANITIZE = os.environ.get("QSR_SANITIZE", "")
CHECKS = [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined", "-g"] if SANITIZE else []
OPTIMISE = "-O1" if SANITIZE else "-O3"


class BuildKernels(build_ext):
    """Compiles the extension, or says why it cannot and goes on."""

    def build_extension(self, ext: Pybind11Extension) -> None:
        try:
            super().build_extension(ext)
        except Exception as fault:
            if REQUIRED:
                raise
            print(f"qsr: the C++ kernels were not built ({fault}); numba stands in for them", file=sys.stderr)


class BuildPackage(build_py):
    """Also copies experiments/zoo/ to qsr/zoo/models/; a clone (editable installation) reads the models where they are."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode and ZOO.is_dir():
            target = Path(self.build_lib, "qsr", "zoo", "models")
            self.mkpath(str(target))
            for path in sorted(ZOO.iterdir()):
                if path.suffix in (".json", ".md", ".safetensors", ".qsr"):
                    shutil.copyfile(path, target / path.name)


kernels = Pybind11Extension(
    "qsr._kernels",
    sorted(str(path) for path in CSRC.rglob("*.cc")),
    include_dirs=[str(CSRC)],
    depends=sorted(str(path) for pattern in ("*.h", "*.inc") for path in CSRC.rglob(pattern)),
    cxx_std=17,
    extra_compile_args=[OPTIMISE, "-pthread", *([] if SANITIZE else HARDENING), *WARNINGS, *CHECKS],
    extra_link_args=["-pthread", *LINKING, *CHECKS[:1]],
)
# setuptools then accepts that the shared object is missing after the build
kernels.optional = not REQUIRED

ParallelCompile("QSR_BUILD_JOBS", default=2).install()
setup(ext_modules=[kernels], cmdclass={"build_ext": BuildKernels, "build_py": BuildPackage})

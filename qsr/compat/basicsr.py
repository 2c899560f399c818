"""The bridge to BasicSR: its architectures for our option files, our architectures for its registry.

The only file that imports basicsr, and only when a function here is called. basicsr 1.4.2 needs names that newer
Pythons and torchvisions no longer have, and torchvision needs compiled operators that a CPU machine may lack.
Whatever is missing is provided for the time of the import; whatever is there is left alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache, total_ordering
from pathlib import Path
from types import ModuleType
from typing import Any

from qsr.errors import EnvironmentFault, OptionsError

SUFFIX = "qsr"
_NMS_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_FUNCTIONAL_TENSOR = "torchvision.transforms.functional_tensor"
_kept_alive: list[Any] = []  # a torch Library that is collected takes its operators with it


@total_ordering
class LooseVersion:
    """As much of distutils' class as basicsr uses: comparison by the numbers in the text.

    >>> LooseVersion("0.28.0") >= LooseVersion("0.13.0")
    True
    """

    def __init__(self, text: str) -> None:
        self.version = [int(number) for number in re.findall(r"\d+", text)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LooseVersion) and self.version == other.version

    def __lt__(self, other: LooseVersion) -> bool:
        return self.version < other.version

    __hash__ = None  # type: ignore[assignment]


def _missing(name: str) -> bool:
    if name in sys.modules:
        return False
    try:
        return importlib.util.find_spec(name) is None
    except ModuleNotFoundError:  # the parent package is missing too
        return True


def _define_torchvision_operators() -> None:
    """Declare the two operators that `import torchvision` looks up, unless its compiled library provides them."""
    spec = importlib.util.find_spec("torchvision")
    if "torchvision" in sys.modules or spec is None or spec.origin is None:
        return
    import torch

    for library in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            continue  # built for another torch: the schemas below stand in for it
    if hasattr(torch.ops.torchvision, "nms"):
        return
    fragment = torch.library.Library("torchvision", "FRAGMENT")
    fragment.define(f"nms{_NMS_SCHEMA}")
    fragment.define(f"qnms{_NMS_SCHEMA}")
    _kept_alive.append(fragment)


def _stub_modules() -> Iterator[ModuleType]:
    """The modules that basicsr imports and that this Python or torchvision lacks."""
    if _missing("distutils.version"):
        version = ModuleType("distutils.version")
        version.LooseVersion = LooseVersion  # type: ignore[attr-defined]
        if _missing("distutils"):
            yield ModuleType("distutils")
        yield version
    if _missing(_FUNCTIONAL_TENSOR):
        from torchvision.transforms import functional

        stub = ModuleType(_FUNCTIONAL_TENSOR)
        stub.rgb_to_grayscale = functional.rgb_to_grayscale  # type: ignore[attr-defined]
        yield stub


@contextmanager
def _shims() -> Iterator[None]:
    _define_torchvision_operators()
    added: list[str] = []
    try:
        for module in _stub_modules():
            sys.modules[module.__name__] = module
            added.append(module.__name__)
        yield
    finally:
        for name in added:
            del sys.modules[name]


@cache
def import_basicsr() -> ModuleType:
    """basicsr itself, imported on the first call (about two seconds).

    Raises EnvironmentFault, one sentence, where basicsr or torchvision is missing or does not work with what is
    installed.
    """
    for name in ("basicsr", "torchvision"):
        if _missing(name):
            raise EnvironmentFault(
                f"{name} is not installed",
                hint="install the extra qsr[basicsr]; basicsr 1.4.2 cannot be built on Python 3.13, use 3.11 or 3.12 for it",
            )
    try:
        with _shims():
            return importlib.import_module("basicsr")
    except Exception as fault:
        raise EnvironmentFault(
            f"basicsr is installed but cannot be imported: {type(fault).__name__}: {fault}",
            hint="tested with basicsr 1.4.2 and torchvision 0.28.0",
        ) from fault


def _registry() -> Any:
    import_basicsr()
    return importlib.import_module("basicsr.utils.registry").ARCH_REGISTRY


def arch_names() -> tuple[str, ...]:
    """Names of the architectures in basicsr's registry, sorted. Raises as `import_basicsr` does."""
    return tuple(sorted(_registry().keys()))


def arch(name: str) -> Callable[..., Any]:
    """The class `name` of basicsr's registry (a torch.nn.Module). OptionsError with near names if there is none."""
    names = arch_names()
    if name not in names:
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        raise OptionsError(
            f"basicsr has no architecture {name!r}",
            where="network_g.type",
            hint=f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(names)}",
        )
    found: Callable[..., Any] = _registry().get(name)
    return found


def register_into_basicsr(*classes: type) -> tuple[str, ...]:
    """Let BasicSR's own scripts name our networks: each class becomes `<its name>_qsr` in basicsr's registry.

    The suffix keeps them apart from basicsr's namesakes. A class that is registered already is left as it is.
    Returns the registered names; raises as `import_basicsr` does.
    """
    registry = _registry()
    names = []
    for network in classes:
        name = f"{network.__name__}_{SUFFIX}"
        if name not in registry:
            registry.register(network, suffix=SUFFIX)
        names.append(name)
    return tuple(names)

"""The shims last only as long as the import. Whatever really imports runs in its own process: imports cannot be undone."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qsr.compat import basicsr

needs_basicsr = pytest.mark.skipif(
    importlib.util.find_spec("basicsr") is None, reason="basicsr is not installed (extra qsr[basicsr])"
)


def run(code: str, repository: Path) -> str:
    """Standard output of `code` in a fresh interpreter; its traceback is the failure message."""
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


ONE_PROCESS = """
import json, sys
from qsr.compat import basicsr
from qsr.errors import OptionsError
seen = {"names": basicsr.arch_names()}
shimmed = ("torchvision.transforms.functional_tensor", "distutils", "distutils.version")
seen["stubs"] = [m for m in shimmed if m in sys.modules and getattr(sys.modules[m], "__file__", None) is None]
import torch
network = basicsr.arch("MSRResNet")(num_feat=4, num_block=1, upscale=2)
seen["shape"] = tuple(network(torch.zeros(1, 3, 5, 6)).shape)
try:
    basicsr.arch("SwinlR")
except OptionsError as fault:
    seen["unknown"] = str(fault)
class SwinIR: pass
seen["registered"] = [basicsr.register_into_basicsr(SwinIR), basicsr.register_into_basicsr(SwinIR)]
seen["ours"] = basicsr.arch("SwinIR_qsr") is SwinIR
seen["theirs"] = basicsr.arch("SwinIR").__module__
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def seen(repository: Path) -> dict[str, Any]:
    """What one process saw that imported basicsr through the bridge (an import takes seconds)."""
    return json.loads(run(ONE_PROCESS, repository).splitlines()[-1])


@needs_basicsr
def test_all_architectures_are_found(seen: dict[str, Any]) -> None:
    assert len(seen["names"]) == 23
    assert {"MSRResNet", "SwinIR", "EDSR"} <= set(seen["names"])
    assert seen["names"] == sorted(seen["names"])


@needs_basicsr
def test_no_stub_is_left_behind(seen: dict[str, Any]) -> None:
    assert seen["stubs"] == []


@needs_basicsr
def test_an_architecture_computes(seen: dict[str, Any]) -> None:
    assert seen["shape"] == [1, 3, 10, 12]


@needs_basicsr
def test_unknown_architecture_names_the_near_ones(seen: dict[str, Any]) -> None:
    assert seen["unknown"].startswith("network_g.type: basicsr has no architecture 'SwinlR' (did you mean SwinIR")


@needs_basicsr
def test_our_networks_are_kept_apart_from_namesakes(seen: dict[str, Any]) -> None:
    assert seen["registered"] == [["SwinIR_qsr"], ["SwinIR_qsr"]]
    assert seen["ours"] is True
    assert seen["theirs"] == "basicsr.archs.swinir_arch"


@needs_basicsr
def test_python_without_distutils_gets_a_stub_that_is_removed(repository: Path) -> None:
    code = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name.startswith("distutils") else real(name, package)
from qsr.compat import basicsr
assert basicsr._missing("distutils.version")
with basicsr._shims():
    from distutils.version import LooseVersion
    print(LooseVersion is basicsr.LooseVersion)
print("distutils.version" in sys.modules, "distutils" in sys.modules)
"""
    assert run(code, repository).split() == ["True", "False", "False"]


def test_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(basicsr, "_missing", lambda name: name == "basicsr")
    basicsr.import_basicsr.cache_clear()
    with pytest.raises(basicsr.EnvironmentFault, match=r"^basicsr is not installed \(install the extra qsr\[basicsr\]"):
        basicsr.import_basicsr()


def test_failing_import_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(basicsr, "_missing", lambda name: False)
    monkeypatch.setattr(basicsr, "_define_torchvision_operators", broken)
    basicsr.import_basicsr.cache_clear()
    with pytest.raises(basicsr.EnvironmentFault) as caught:
        basicsr.import_basicsr()
    assert "cannot be imported: RuntimeError: operator torchvision::nms does not exist" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("low", "high"), [("0.9", "0.13.0"), ("0.13.0", "0.28.0+cpu"), ("1.9.1", "2.0")])
def test_loose_version_orders_by_number(low: str, high: str) -> None:
    assert basicsr.LooseVersion(low) < basicsr.LooseVersion(high)
    assert basicsr.LooseVersion(high) >= basicsr.LooseVersion(low)
    assert basicsr.LooseVersion(low) == basicsr.LooseVersion(low)

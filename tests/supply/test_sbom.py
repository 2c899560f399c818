"""The bill of materials: valid CycloneDX, and nothing of the wheel is left out."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib is not installed")

from cyclonedx.output.json import JsonV1Dot6

from supply import sbom

METADATA = """Metadata-Version: 2.4
Name: qsr
Version: 0.1.0
Summary: what it is
License-Expression: Apache-2.0
Requires-Dist: numpy>=1.26
Requires-Dist: rich
Requires-Dist: torch>=2.10; extra == "train"
Requires-Dist: onnx; extra == "onnx"
Requires-Dist: onnx; extra == "peers"
Requires-Dist: pyvips[binary]; extra == "large"
"""


def wheel(folder: Path, extension: bytes = b"\x7fELF ... GCC: (Debian 12.2.0-14) 12.2.0\0 libstdc++.so.6\0") -> Path:
    path = folder / "qsr-0.1.0-cp311-cp311-manylinux_2_34_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("qsr-0.1.0.dist-info/METADATA", METADATA)
        archive.writestr(zipfile.ZipInfo("qsr/_kernels.so"), extension)
        archive.writestr("qsr/zoo/models/fp_x2.qsr", b"model")
        archive.writestr("qsr/__init__.py", "")
    return path


def parts(path: Path) -> tuple[dict, dict[str, dict]]:
    text = JsonV1Dot6(
        sbom.bill(path, {"numpy": "2.4.6", "torch": "2.13.0", "pybind11": "3.1.0"}, 1_700_000_000)
    ).output_as_string()
    made = json.loads(text)
    return made, {part["name"]: part for part in made["components"]}


def test_everything_asked_for_and_everything_inside_is_named(tmp_path: Path) -> None:
    made, found = parts(wheel(tmp_path))
    assert set(found) == {"numpy", "rich", "torch", "onnx", "pyvips", "qsr/_kernels.so", "qsr/zoo/models/fp_x2.qsr", "pybind11"}
    assert (found["numpy"]["version"], found["numpy"]["scope"]) == ("2.4.6", "required")
    assert found["torch"]["scope"] == found["onnx"]["scope"] == "optional"
    assert [one["value"] for one in found["onnx"]["properties"]] == ["onnx", "peers"]
    assert "version" not in found["rich"], "no version is made up"
    assert found["qsr/zoo/models/fp_x2.qsr"]["hashes"][0]["content"] == hashlib.sha256(b"model").hexdigest()
    root = made["metadata"]["component"]
    assert (root["name"], root["version"]) == ("qsr", "0.1.0")
    assert root["hashes"][0]["content"] == hashlib.sha256(wheel(tmp_path).read_bytes()).hexdigest()
    (of_root,) = [one for one in made["dependencies"] if one["ref"] == "qsr@0.1.0"]
    assert len(of_root["dependsOn"]) == len(made["components"])


def test_the_compilers_library_is_named_where_it_is_inside(tmp_path: Path) -> None:
    _, found = parts(wheel(tmp_path, b"\x7fELF GCC: (Debian 12.2.0-14) 12.2.0\0"))
    inside = found["libstdc++"]
    assert inside["version"] == "12.2.0"
    assert inside["licenses"][0]["expression"] == "GPL-3.0-or-later WITH GCC-exception-3.1"


def test_one_wheel_has_one_bill_and_another_wheel_another(tmp_path: Path) -> None:
    first = wheel(tmp_path)
    assert parts(first)[0] == parts(first)[0]
    serial = parts(first)[0]["serialNumber"]
    assert parts(wheel(tmp_path, b"other"))[0]["serialNumber"] != serial


def test_it_is_valid(tmp_path: Path) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.exception import MissingOptionalDependencyException
    from cyclonedx.schema import SchemaVersion

    text = JsonV1Dot6(sbom.bill(wheel(tmp_path), {}, 0)).output_as_string()
    try:
        assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    except MissingOptionalDependencyException as fault:
        pytest.skip(str(fault))

"""Writes the bill of materials of a wheel (CycloneDX 1.6, JSON): python supply/sbom.py WHEEL OUT

Everything is read from the wheel itself: what its metadata ask for (with the version of constraints.txt that was tested; of
extras "optional"), the extension and the released models inside by their SHA-256, and what is compiled into the extension:
pybind11, and the compiler's libstdc++ where the machine is not asked for it. The same wheel gives the same bill:
its serial number follows from the wheel's hash, its time is SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import uuid
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from email.parser import Parser
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from supply.lock import REPOSITORY, canonical, pins

NAMESPACE = uuid.UUID("6f0c2a7e-1d5b-5a63-9b8e-51d3c4a7e0f1")  # of serial numbers of qsr's bills
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)[^;]*(?:;.*extra == ['\"](?P<extra>[a-z-]+)['\"])?")
MODEL_TERMS = "trained on BSD400: non-commercial research and education"
COMPILED_IN = "compiled into qsr/_kernels"


def bill(wheel: Path, constraints: dict[str, str], seconds: int) -> Bom:
    """The bill of one wheel. constraints: package -> tested version. seconds: since 1970, the bill's time."""
    content = wheel.read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        (about,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(about).decode())
        inside = [*_files(archive), *_compiled_in(archive, constraints)]
    root = Component(
        name=metadata["Name"],
        version=metadata["Version"],
        type=ComponentType.LIBRARY,
        bom_ref=f"{metadata['Name']}@{metadata['Version']}",
        description=metadata["Summary"],
        licenses=[LicenseExpression(metadata["License-Expression"])],
        hashes=[_sha256(content)],
        purl=PackageURL("pypi", name=metadata["Name"], version=metadata["Version"], qualifiers={"file_name": wheel.name}),
    )
    asked = list(_asked(metadata.get_all("Requires-Dist") or [], constraints))
    made = Bom(components=[*asked, *inside], serial_number=uuid.uuid5(NAMESPACE, hashlib.sha256(content).hexdigest()))
    made.metadata.component = root
    made.metadata.timestamp = datetime.fromtimestamp(seconds, UTC)
    made.register_dependency(root, [*asked, *inside])
    return made


def _asked(requirements: list[str], constraints: dict[str, str]) -> Iterator[Component]:
    """One component per package; required if the plain installation asks for it."""
    extras: dict[str, set[str]] = {}
    for line in requirements:
        found = REQUIREMENT.match(line)
        assert found, line
        extras.setdefault(canonical(found["name"]), set()).add(found["extra"] or "")
    for name, who in sorted(extras.items()):
        version = constraints.get(name)
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=f"{name}@{version or 'any'}",
            scope=ComponentScope.REQUIRED if "" in who else ComponentScope.OPTIONAL,
            purl=PackageURL("pypi", name=name, version=version),
            properties=[Property(name="qsr:extra", value=extra) for extra in sorted(who) if extra],
        )


def _files(archive: zipfile.ZipFile) -> Iterator[Component]:
    """The binary files of the wheel: the extension, and the released models."""
    for name in sorted(archive.namelist()):
        if name.endswith((".so", ".safetensors", ".qsr")):
            is_model = not name.endswith(".so")
            yield Component(
                name=name,
                type=ComponentType.MACHINE_LEARNING_MODEL if is_model else ComponentType.FILE,
                bom_ref=name,
                hashes=[_sha256(archive.read(name))],
                licenses=[DisjunctiveLicense(name=MODEL_TERMS) if is_model else LicenseExpression("Apache-2.0")],
            )


def _compiled_in(archive: zipfile.ZipFile, constraints: dict[str, str]) -> Iterator[Component]:
    """Other people's code inside the extension: pybind11's headers, and GCC's libstdc++ unless it is asked for by name."""
    for name in archive.namelist():
        if not name.endswith(".so"):
            continue
        content = archive.read(name)
        yield Component(
            name="pybind11",
            version=constraints.get("pybind11"),
            type=ComponentType.LIBRARY,
            bom_ref=f"{COMPILED_IN}: pybind11",
            description=COMPILED_IN,
            licenses=[LicenseExpression("BSD-3-Clause")],
        )
        compiler = re.search(rb"GCC: \([^)]*\) ([\d.]+)", content)
        if compiler and b"libstdc++.so" not in content:
            yield Component(
                name="libstdc++",
                version=compiler[1].decode(),
                type=ComponentType.LIBRARY,
                bom_ref=f"{COMPILED_IN}: gcc",
                description=COMPILED_IN,
                licenses=[LicenseExpression("GPL-3.0-or-later WITH GCC-exception-3.1")],
            )


def _sha256(content: bytes) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(content).hexdigest())


def main(wheel: Path, out: Path) -> None:
    constraints = pins((REPOSITORY / "constraints.txt").read_text(encoding="utf-8"))
    made = bill(wheel, constraints, int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
    out.write_text(JsonV1Dot6(made).output_as_string(indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

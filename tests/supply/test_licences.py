"""docs/licences.md: every direct dependency has its row, of the version that is pinned."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from supply import licences, lock

PROJECT = tomllib.loads((licences.REPOSITORY / "pyproject.toml").read_text())["project"]
ROWS = licences.rows_of(licences.PAGE.read_text())
PINS = lock.pins((licences.REPOSITORY / "constraints.txt").read_text())


@pytest.mark.parametrize("name", sorted(licences.direct(PROJECT)))
def test_a_direct_dependency_has_a_row_with_a_licence(name: str) -> None:
    _, package, version, licence, who, _ = (cell.strip() for cell in ROWS[name].split("|"))
    assert package == name
    assert len(licence) > 1
    assert who == ", ".join(licences.direct(PROJECT)[name])
    assert version == PINS.get(name, version), "run `make lock`"


class Installed(metadata.Distribution):
    """A package of which only the metadata exist."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read_text(self, filename: str) -> str | None:
        return self.text if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        return Path("/nowhere")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("License-Expression: MIT\nClassifier: License :: OSI Approved :: BSD License", "MIT"),
        (
            "Classifier: License :: OSI Approved\nClassifier: License :: OSI Approved :: BSD License\nLicense: odd",
            "BSD License",
        ),
        ("License: The MIT License", "The MIT License"),
        ("Summary: x", "see the package"),
    ],
)
def test_where_a_licence_is_read_from(lines: str, found: str) -> None:
    assert licences.licence(Installed(f"Metadata-Version: 2.4\nName: a\nVersion: 1\n{lines}\n")) == found


def test_rows_are_kept_where_a_package_is_not_installed_and_unknown_ones_are_refused() -> None:
    here = {"a": Installed("Name: a\nVersion: 2.0+cpu\nLicense: MIT\n")}
    before = licences.rows_of("| package | version |\n| --- | --- |\n| b | 1 | BSD | qsr |\n")
    assert licences.table({"b": ["qsr"], "a": ["qsr", "developers"]}, here, before) == [
        "| a | 2.0 | MIT | qsr, developers |",
        "| b | 1 | BSD | qsr |",
    ]
    with pytest.raises(SystemExit, match="no row yet: c"):
        licences.table({"c": ["qsr"]}, here, before)


def test_indirect_ones_are_followed() -> None:
    text = "Name: {}\nVersion: 1\n"
    here = {
        "a": Installed(text.format("a") + "Requires-Dist: B>=1\nRequires-Dist: x; extra == 'more'\nRequires-Dist: gone\n"),
        "b": Installed(text.format("b") + "Requires-Dist: a\nRequires-Dist: c\n"),
        "c": Installed(text.format("c")),
        "x": Installed(text.format("x")),
    }
    assert sorted(licences.indirect(["a"], here)) == ["b", "c"]

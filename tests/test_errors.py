from __future__ import annotations

import pytest

from qsr import errors
from qsr.errors import OptionsError, QsrError


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("QsrError", 1),
        ("OptionsError", 2),
        ("DataError", 3),
        ("FormatError", 3),
        ("NumericalError", 4),
        ("StoppedOnRequest", 5),
        ("EnvironmentFault", 6),
        ("ExperimentBusy", 6),
        ("OutOfMemory", 6),
    ],
)
def test_exit_codes_are_the_documented_ones(kind: str, code: int) -> None:
    fault = getattr(errors, kind)("message")
    assert isinstance(fault, QsrError)
    assert fault.exit_code == code


@pytest.mark.parametrize(
    ("where", "hint", "text"),
    [
        (None, None, "no picture"),
        ("a.png", None, "a.png: no picture"),
        (None, "remove it", "no picture (remove it)"),
        ("a.png", "remove it", "a.png: no picture (remove it)"),
    ],
)
def test_parts_of_a_message(where: str | None, hint: str | None, text: str) -> None:
    fault = errors.DataError("no picture", where=where, hint=hint)
    assert str(fault) == text
    assert (fault.message, fault.where, fault.hint) == ("no picture", where, hint)


def test_every_problem_of_an_option_file_has_a_line() -> None:
    fault = OptionsError("2 faults", where="x.yml", problems=("x.yml:3  scale: found 5", "x.yml:9  name: missing"))
    assert str(fault).splitlines() == ["x.yml: 2 faults", "  x.yml:3  scale: found 5", "  x.yml:9  name: missing"]


def test_busy_is_a_fault_of_the_environment() -> None:
    assert issubclass(errors.ExperimentBusy, errors.EnvironmentFault)

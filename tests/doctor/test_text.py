from __future__ import annotations

from qsr.doctor.check import Check, fail, ok
from qsr.doctor.run import Report, Result
from qsr.doctor.text import line, summary

CHECK = Check("packing", "a title", "a:b")


def test_one_line_with_what_to_do():
    assert line(Result(CHECK, ok("fine"), 0.1)) == "ok    packing       fine"
    assert line(Result(CHECK, fail("broken", "mend it"), 0.1)) == "fail  packing       broken -> mend it"


def test_the_summary_counts():
    report = Report((Result(CHECK, ok("fine"), 0.1), Result(CHECK, fail("broken", "mend it"), 0.1)), 2.34)
    assert summary(report) == "2 checks in 2.3 s: 1 ok, 0 warn, 1 fail, 0 skip"

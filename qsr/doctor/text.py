"""The report for people: one line per check."""

from __future__ import annotations

from qsr.doctor.run import Report, Result

NAME_WIDTH = 13


def line(result: Result) -> str:
    """`fail  packing      what was found -> what to do`; the status is the first word."""
    finding = result.finding
    todo = f" -> {finding.todo}" if finding.todo else ""
    return f"{finding.status:<5} {result.check.name:<{NAME_WIDTH}} {finding.found}{todo}"


def summary(report: Report) -> str:
    """`23 checks in 21.4 s: 20 ok, 2 warn, 0 fail, 1 skip`."""
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items())
    return f"{len(report.results)} checks in {report.seconds:.1f} s: {counts}"

from __future__ import annotations

import pytest

from qsr.doctor import check


@pytest.mark.parametrize(
    ("finding", "status"),
    [(check.ok("x"), "ok"), (check.warn("x", "y"), "warn"), (check.fail("x", "y"), "fail"), (check.skip("x"), "skip")],
)
def test_each_status_has_its_maker(finding, status):
    assert finding.status == status
    assert finding.found == "x"
    assert status in check.STATUSES


def test_facts_are_kept():
    assert check.fail("x", "y", seed=3).facts == {"seed": 3}

from __future__ import annotations

import os

import pytest

from qsr.surroundings import variable


@pytest.mark.parametrize("before", [None, "old"])
def test_the_old_value_comes_back_even_after_an_error(monkeypatch, before):
    monkeypatch.delenv("QSR_TEST", raising=False)
    if before is not None:
        monkeypatch.setenv("QSR_TEST", before)
    with variable("QSR_TEST", "new"):
        assert os.environ["QSR_TEST"] == "new"
    assert os.environ.get("QSR_TEST") == before
    with pytest.raises(RuntimeError), variable("QSR_TEST", "new"):
        raise RuntimeError
    assert os.environ.get("QSR_TEST") == before

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from qsr import cluster
from qsr.errors import EnvironmentFault


class FakeRay:
    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault

    def init(self, **how: Any) -> None:
        self.how = how
        if self.fault:
            raise self.fault


@pytest.fixture(autouse=True)
def no_cluster_of_the_tester(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_the_package_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    package = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "ray", package)
    assert cluster.ray() is package


def test_without_ray_the_way_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EnvironmentFault) as caught:
        cluster.ray()
    assert str(caught.value) == "--executor ray needs Ray, which is not installed (pip install 'qsr[ray]')"
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    ("address", "variable", "where"),
    [
        (None, None, "auto"),
        (None, "", "auto"),
        (None, "ray://named", "ray://named"),
        ("ray://given", None, "ray://given"),
        ("ray://given", "ray://named", "ray://given"),
    ],
)
def test_which_cluster_is_joined(
    monkeypatch: pytest.MonkeyPatch, address: str | None, variable: str | None, where: str
) -> None:
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    fake = FakeRay()
    cluster.connect(fake, address)
    # an address always: without one, ray.init starts a cluster where it finds none
    assert fake.how == {"address": where, "runtime_env": {"env_vars": {}}, "log_to_driver": False}


def test_workers_get_their_variables() -> None:
    fake = FakeRay()
    cluster.connect(fake, environment={"OMP_NUM_THREADS": "1"})
    assert fake.how["runtime_env"] == {"env_vars": {"OMP_NUM_THREADS": "1"}}


@pytest.mark.parametrize("fault", [ConnectionError("Could not find any running Ray instance"), ValueError("no such scheme")])
@pytest.mark.parametrize(("address", "where"), [(None, "auto"), ("there:6379", "there:6379")])
def test_where_there_is_no_cluster_the_way_to_one_is_told(fault: Exception, address: str | None, where: str) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        cluster.connect(FakeRay(fault), address)
    assert str(caught.value) == f"no Ray cluster at {where} (start one with `ray start --head`, or name it with RAY_ADDRESS)"
    assert caught.value.exit_code == 6
    assert caught.value.__cause__ is fault


def test_other_faults_of_ray_are_not_taken_for_a_missing_cluster() -> None:
    with pytest.raises(RuntimeError, match="twice"):
        cluster.connect(FakeRay(RuntimeError("ray.init called twice")))

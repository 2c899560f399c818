"""The kernels' self-test: passes here, and fails where a kernel, a backend or the extension is not what it should be."""

from __future__ import annotations

import importlib.util
import random
from pathlib import PurePosixPath

import numpy as np
import pytest

from qsr.doctor import kernels
from qsr.doctor.kernels import check_backend, check_convolutions, check_isa, check_packing
from qsr.doctor.worker import examine
from qsr.runtime import backend, numpy_kernels

extension = pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)
TABLE = [*extension.row_kernels(), *({**kernel, "depthwise": True} for kernel in extension.depthwise_kernels())]
SUPPORTED = [kernel["name"] for kernel in TABLE if kernel["supported"]]


@pytest.fixture(autouse=True)
def chosen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("QSR_BACKEND", raising=False)
    monkeypatch.delenv("QSR_ISA", raising=False)
    backend._choose.cache_clear()
    yield
    backend._choose.cache_clear()


def test_this_installation_is_healthy():
    assert (check_backend().status, check_backend().found) == ("ok", "extension: the compiled kernels")
    assert check_packing().status == "ok"
    found = check_convolutions()
    assert found.status == "ok", found
    assert set(found.facts["cases"]) == set(SUPPORTED)


def test_every_kernel_is_exercised_whatever_the_seed(monkeypatch):
    """Several seeds, without running anything: no kernel goes without a case by bad luck."""
    table = [kernel for kernel in TABLE if kernel["supported"]]
    for seed in range(15):
        rng = np.random.default_rng(seed)
        for kernel in table:
            cases = [kernels._case(extension, kernel, side, rng) for side in kernels.SIDES]
            assert any(case is not None for case in cases), (kernel["name"], seed)


@pytest.mark.parametrize("name", SUPPORTED)
def test_one_wrong_sum_of_any_kernel_is_found(monkeypatch, name: str):
    real = extension.run_row_kernel

    def wrong(called: str, picture, weights, ranges=(), repeat: int = 1):
        sums, seconds = real(called, picture, weights, ranges, repeat)
        if called == name:
            sums[-1, -1, -1] += 1
        return sums, seconds

    monkeypatch.setattr(extension, "run_row_kernel", wrong)
    monkeypatch.setattr(kernels, "ROUNDS", 1)
    found = check_convolutions()
    assert found.status == "fail"
    assert found.found.startswith(f"{name}: ")
    assert f"seed {found.facts['seed']}" in found.found


def test_a_seed_repeats_the_cases(monkeypatch):
    monkeypatch.setattr(random, "randrange", lambda most: 7)
    seen = []
    real = extension.run_row_kernel
    monkeypatch.setattr(extension, "run_row_kernel", lambda *case: seen.append(case[1].shape) or real(*case))
    check_convolutions()
    half = len(seen)
    check_convolutions()
    assert seen[:half] == seen[half:]


def test_a_kernel_that_takes_nothing_is_found(monkeypatch):
    monkeypatch.setattr(extension, "row_kernel_accepts", lambda name, *case: name != SUPPORTED[0])
    monkeypatch.setattr(extension, "run_row_kernel", lambda name, p, w, r: (kernels.exact(p, w), 0.0))
    found = check_convolutions()
    assert (found.status, found.found) == ("fail", f"{SUPPORTED[0]}: no convolution of the self-test was accepted")


def test_a_reference_that_computes_wrongly_is_found(monkeypatch):
    real = extension.conv2d
    monkeypatch.setattr(extension, "conv2d", lambda *case: real(*case) + 1)
    found = check_convolutions()
    assert found.status == "fail"
    assert found.found.startswith("extension: ")


def test_floats_that_are_none_are_found():
    picture, weights = np.ones((2, 2, 1), np.float32), np.ones((1, 1, 1, 1), np.float32)
    good = kernels.exact(picture, weights)
    assert kernels.difference("float", good.astype(np.float32), picture, weights) == ""
    assert kernels.difference("float", good * np.nan, picture, weights)
    assert kernels.difference("float", good * 1.001, picture, weights)


# --- packing --------------------------------------------------------------------------------------------------------------
def test_a_backend_that_packs_another_layout_is_found(monkeypatch):
    real = numpy_kernels.pack_bits
    monkeypatch.setattr(numpy_kernels, "pack_bits", lambda codes, bits, signed: real(codes, bits, signed)[::-1])
    found = check_packing()
    assert found.status == "fail"
    assert found.found.startswith("numpy packs codes of ")


def test_a_backend_that_unpacks_wrongly_is_found(monkeypatch):
    real = extension.unpack_bits
    monkeypatch.setattr(extension, "unpack_bits", lambda *case: real(*case) ^ (case[2] == 5))
    found = check_packing()
    assert found.status == "fail"
    assert found.found.startswith("extension unpacks codes of 5 bits wrongly")


# --- what there is --------------------------------------------------------------------------------------------------------
def test_no_extension_is_a_reservation(no_extension: None):
    found = check_backend()
    assert found.status == "warn"
    assert "was not built" in found.found
    assert "numba computes, many times slower" in found.found
    assert "no compiled kernels" in check_isa().found
    assert check_convolutions().status == "ok"
    assert check_packing().found.startswith("numba, numpy: ")


def test_an_extension_that_was_installed_and_is_gone_is_a_failure(no_extension: None, monkeypatch):
    monkeypatch.setattr(kernels, "_installed_files", lambda: [PurePosixPath("qsr/_kernels.cpython-311.so")])
    found = check_backend()
    assert found.status == "fail"
    assert "was installed and is gone" in found.found


def test_an_extension_that_cannot_be_loaded_is_a_failure(no_extension: None, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: object())
    found = check_backend()
    assert found.status == "fail"
    assert "is there and cannot be loaded" in found.found


def test_an_extension_that_is_asked_for_and_missing_is_a_failure(no_extension: None, monkeypatch):
    monkeypatch.setenv("QSR_BACKEND", "extension")
    found = examine("qsr.doctor.kernels:check_backend", [], None)
    assert found.status == "fail"
    assert "QSR_BACKEND" in found.found


def test_a_slower_backend_by_request_is_a_reservation(monkeypatch):
    monkeypatch.setenv("QSR_BACKEND", "numpy")
    found = check_backend()
    assert (found.status, found.todo) == ("warn", "unset QSR_BACKEND for full speed")


@pytest.mark.parametrize(("isa", "status"), [("portable", "warn"), ("mmx", "fail")])
def test_limited_instructions(monkeypatch, isa: str, status: str):
    monkeypatch.setenv("QSR_ISA", isa)
    assert examine("qsr.doctor.kernels:check_isa", [], None).status == status


def test_a_processor_without_vectors_is_a_reservation(monkeypatch):
    from qsr.runtime import engine

    monkeypatch.setattr(engine, "limit", lambda: "portable")
    assert check_isa().status == "warn"

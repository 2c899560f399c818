"""The packed file beside a released model: its entry, its tail, its time."""

from __future__ import annotations

import pytest

from qsr.runtime.model import load
from qsr.zoo.add import About, add
from qsr.zoo.index import digest
from qsr.zoo.pack import milliseconds, pack


@pytest.fixture
def released(experiment, tmp_path):
    folder = tmp_path / "zoo"
    return add(experiment, "tiny", folder, About(measure=False)), folder


def test_the_entry_knows_the_packed_file(released):
    model, folder = released
    assert model.packed == "tiny.qsr"
    assert (folder / "tiny.qsr").stat().st_size == model.packed_bytes < model.bytes
    assert digest(folder / "tiny.qsr") == model.packed_sha256
    assert (model.tail, model.ms, model.ms_of) == ("int8", None, "")
    assert load(folder / "tiny.qsr").header.network["tail"] == "int8"


def test_packing_again_gives_the_same_bytes_and_a_time(released):
    model, folder = released
    again = pack(model, folder)
    assert again.packed_sha256 == model.packed_sha256
    assert again.ms > 0
    assert "threads" in again.ms_of
    assert milliseconds(load(folder / "tiny.qsr")) > 0

"""The released networks' expected bytes, and what the loader has to refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from qsr.doctor import released
from qsr.doctor.released import check_refusals, check_released, damages, outputs
from qsr.doctor.worker import examine
from qsr.errors import FormatError
from qsr.runtime.model import Model
from qsr.runtime.packed import container
from qsr.zoo import index


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the released networks that may be damaged."""
    folder = tmp_path / "zoo"
    shutil.copytree(index.zoo_folder(), folder)
    monkeypatch.setattr(index, "zoo_folder", lambda: folder)
    return folder


def test_this_installation_is_healthy():
    assert check_released().status == "ok", check_released()
    assert check_refusals().status == "ok", check_refusals()


def test_the_expected_bytes_are_those_of_the_networks_in_the_zoo():
    """Fails after a new release of one of them: call qsr.doctor.released.write() then."""
    stored = json.loads(released.FILE.read_text())
    assert list(stored) == list(released.NAMES)
    assert {name: entry["sha256"] for name, entry in stored.items()} == {
        name: index.find(name).packed_sha256 for name in released.NAMES
    }


def test_write_gives_what_is_stored(tmp_path: Path):
    released.write(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(released.FILE.read_text())


def test_the_interpreter_gives_them_too(no_extension: None):
    found = check_released()
    assert found.status == "ok", found
    assert "3 networks, 3 runs" in found.found


def test_every_instruction_set_runs():
    engine = pytest.importorskip("qsr.runtime.engine")
    path = index.get(released.NAMES[0], packed=True)
    assert [way for way, _ in outputs(path)] == [isa for isa in engine.ISAS if engine._kernels.isa_supported()[isa]]


def test_a_network_that_gives_other_bytes_is_found(monkeypatch):
    real = Model.upscale

    def wrong(self, picture):
        made = real(self, picture).copy()
        made[5, 5] = 255 - made[5, 5]
        return made

    monkeypatch.setattr(Model, "upscale", wrong)
    found = check_released()
    assert found.status == "fail"
    assert found.found.startswith("onebit_x2_w1a1 by ")
    assert "of 5760 bytes differ" in found.found


def test_another_size_is_found(monkeypatch):
    real = Model.upscale
    monkeypatch.setattr(Model, "upscale", lambda self, picture: real(self, picture)[1:])
    assert check_released().status == "fail"


def test_a_byte_that_is_off_by_one_keeps_the_promise(monkeypatch):
    real = Model.upscale

    def nearly(self, picture):
        made = real(self, picture).copy()
        made[5, 5, 0] ^= 1
        return made

    monkeypatch.setattr(Model, "upscale", nearly)
    found = check_released()
    assert found.status == "ok"
    assert "that are off by 1" in found.found


def test_a_damaged_file_is_found(zoo: Path):
    path = zoo / "quantsr_x2_w2a2.qsr"
    path.write_bytes(path.read_bytes()[:-1])
    found = examine("qsr.doctor.released:check_released", [], None)
    assert found.status == "fail"
    assert "quantsr_x2_w2a2.qsr: found sha256" in found.found
    assert found.todo == released.AGAIN


def test_a_missing_file_is_found(zoo: Path):
    (zoo / "quantsr_x2_w2a2.qsr").unlink()
    assert examine("qsr.doctor.released:check_released", [], None).status == "fail"


def test_another_release_is_a_reservation(monkeypatch, tmp_path: Path):
    stored = json.loads(released.FILE.read_text())
    stored["onebit_x2_w1a1"]["sha256"] = "0" * 64
    monkeypatch.setattr(released, "FILE", tmp_path / "stored.json")
    released.FILE.write_text(json.dumps(stored))
    found = check_released()
    assert found.status == "warn"
    assert found.found.startswith("onebit_x2_w1a1: another release")


# --- refusals -------------------------------------------------------------------------------------------------------------
def test_each_damage_is_refused_for_its_own_reason():
    content = index.get(released.NAMES[0], packed=True).read_bytes()
    reasons = {}
    for how, altered in damages(content):
        with pytest.raises(FormatError) as caught:
            container.from_bytes(altered)
        reasons[how] = str(caught.value)
    assert len(reasons) == 13
    assert len(set(reasons.values())) >= 10, reasons


def test_a_loader_that_skips_its_checks_is_found(monkeypatch):
    monkeypatch.setattr(container, "check", lambda header, tensors: None)
    found = check_refusals()
    assert found.status == "fail"
    assert "a packed file with " in found.found


def test_a_loader_that_refuses_everything_is_found(monkeypatch):
    def refuse(content):
        raise FormatError("I like none of them")

    monkeypatch.setattr(container, "from_bytes", refuse)
    assert examine("qsr.doctor.released:check_refusals", [], None).status == "fail"


def test_an_installation_without_networks(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(index, "CLONE", tmp_path)
    monkeypatch.setattr(index, "WHEEL", tmp_path)
    assert check_refusals().status == "skip"
    assert examine("qsr.doctor.released:check_released", [], None).status == "fail"


def test_the_picture_is_the_same_everywhere():
    picture = released.picture()
    assert (picture.shape, picture.dtype, int(picture.astype(np.int64).sum())) == ((20, 24, 3), np.uint8, 193_751)

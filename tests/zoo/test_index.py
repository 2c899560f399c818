"""The index: found in a clone or a wheel, checked, and asked for the default model."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from qsr.errors import EnvironmentFault, FormatError, OptionsError
from qsr.zoo import index
from qsr.zoo.index import default_model, find, get, read_index, write_index, zoo_folder


def test_a_file_is_found_checked_and_copied(zoo, tmp_path):
    path = get("tiny_x2_w2a2", folder=zoo)
    assert path == zoo / "tiny_x2_w2a2.safetensors"
    (tmp_path / "there").mkdir()
    for target in (tmp_path / "new" / "net.safetensors", tmp_path / "there"):
        copied = get("tiny_x2_w2a2", target, zoo)
        assert copied.read_bytes() == path.read_bytes()
    assert copied.name == "tiny_x2_w2a2.safetensors"


def test_one_changed_byte_is_noticed(zoo):
    path = zoo / "tiny_x2_w2a2.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(FormatError, match="sha256"):
        get("tiny_x2_w2a2", folder=zoo)
    path.unlink()
    with pytest.raises(FormatError, match="not there"):
        get("tiny_x2_w2a2", folder=zoo)


def test_the_packed_file_has_a_checksum_of_its_own(zoo):
    write_index(zoo, (replace(find("tiny_x2_w2a2", zoo), packed="", packed_sha256=""),))
    with pytest.raises(FormatError, match="no packed file"):
        get("tiny_x2_w2a2", folder=zoo, packed=True)
    (zoo / "tiny.qsr").write_bytes(b"packed")
    write_index(zoo, (replace(find("tiny_x2_w2a2", zoo), packed="tiny.qsr", packed_sha256=index.digest(zoo / "tiny.qsr")),))
    assert get("tiny_x2_w2a2", folder=zoo, packed=True) == zoo / "tiny.qsr"
    (zoo / "tiny.qsr").write_bytes(b"packet")
    with pytest.raises(FormatError, match="sha256"):
        get("tiny_x2_w2a2", folder=zoo, packed=True)


def test_an_unknown_name_is_told_the_known_ones(zoo):
    with pytest.raises(OptionsError, match="there are: tiny_x2_w2a2"):
        find("tiny_x2", zoo)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file": "../../secret.safetensors"}, "found the name"),
        ({"name": "A"}, "found the name"),
        ({"colour": "red"}, "unknown entries"),
    ],
)
def test_a_foreign_index_is_refused(zoo, change, said):
    path = zoo / "index.json"
    data = json.loads(path.read_text())
    data["models"][0].update(change)
    path.write_text(json.dumps(data))
    with pytest.raises(FormatError, match=said):
        read_index(zoo)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2, "models": []}', '{"format": 1, "models": [{"name": "a"}]}'])
def test_a_damaged_index_is_refused(tmp_path, content):
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(FormatError, match="index"):
        read_index(tmp_path)


def test_a_clone_comes_before_a_wheel(monkeypatch, zoo, tmp_path):
    monkeypatch.setattr(index, "CLONE", tmp_path / "clone")
    monkeypatch.setattr(index, "WHEEL", zoo)
    assert zoo_folder() == zoo
    monkeypatch.setattr(index, "CLONE", zoo)
    monkeypatch.setattr(index, "WHEEL", tmp_path / "wheel")
    assert zoo_folder() == zoo
    monkeypatch.setattr(index, "CLONE", tmp_path / "clone")
    with pytest.raises(EnvironmentFault, match="no released models"):
        zoo_folder()


@pytest.fixture
def three(zoo):
    """Three models: gains of 1, 2 and 3 dB at 10, 10 and 60 ms."""
    (model,) = read_index(zoo)
    made = []
    for gain, ms in ((1.0, 10.0), (2.0, 10.0), (3.0, 60.0)):
        scores = {"Set5": {"psnr_y": 33.67 + gain, "ssim_y": 0.9}}
        made.append(replace(model, name=f"gain{gain:.0f}", scores=scores, ms=ms))
    return tuple(made)


def test_the_default_has_the_most_quality_per_millisecond(zoo, three):
    write_index(zoo, three)
    assert default_model(2, zoo).name == "gain2"
    write_index(zoo, (*three, replace(three[0], name="unmeasured", ms=None, scores={"Set5": {"psnr_y": 50.0, "ssim_y": 1.0}})))
    assert default_model(2, zoo).name == "gain2"
    write_index(zoo, tuple(replace(model, ms=None) for model in three))
    assert default_model(2, zoo).name == "gain3"


def test_no_model_of_a_scale(zoo):
    with pytest.raises(OptionsError, match="there are: x2"):
        default_model(4, zoo)


def test_reading_the_index_loads_no_torch(zoo, repository):
    code = f"from pathlib import Path; from qsr.zoo.index import get; get('tiny_x2_w2a2', None, Path({str(zoo)!r}))"
    code += "\nimport sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=repository, check=True, timeout=60)


def test_what_is_released_is_whole(repository):
    """Every model of this checkout: its file, its checksum and its card."""
    folder = repository / "experiments" / "zoo"
    if not (folder / "index.json").is_file():
        pytest.skip("no models are released yet")
    for model in read_index(folder):
        assert get(model.name, folder=folder).stat().st_size == model.bytes
        assert get(model.name, folder=folder, packed=True).stat().st_size == model.packed_bytes
        assert model.sha256 in (folder / f"{model.name}.md").read_text()

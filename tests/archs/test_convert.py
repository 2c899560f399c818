"""BasicSR's checkpoint form: read without running code, name the fault, write what it reads."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from qsr import archs
from qsr.archs import convert, modelfile
from qsr.archs.modelfile import ModelInfo
from qsr.errors import FormatError


@pytest.fixture
def states(make_options):
    return [archs.build(make_options()).state_dict() for _ in range(2)]


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("key", "which"), [("auto", 1), ("params_ema", 1), ("params", 0)])
def test_choice_of_weights(tmp_path: Path, states, key, which) -> None:
    torch.save({"params": states[0], "params_ema": states[1]}, tmp_path / "net.pth")
    assert equal(convert.load_foreign_state(tmp_path / "net.pth", key), states[which])


def test_params_alone_and_plain(tmp_path: Path, states) -> None:
    torch.save({"params": states[0]}, tmp_path / "one.pth")
    torch.save(states[0], tmp_path / "plain.pth")
    assert equal(convert.load_foreign_state(tmp_path / "one.pth"), states[0])
    assert equal(convert.load_foreign_state(tmp_path / "plain.pth"), states[0])


def test_names_are_mapped(tmp_path: Path, states) -> None:
    state = {f"module.{name}": value for name, value in states[0].items()}
    state["module.layers.0.residual_group.blocks.1.attn_mask"] = torch.zeros(1)
    state["module.layers.0.residual_group.blocks.1.attn.relative_position_index"] = torch.zeros(1)
    torch.save({"params": state}, tmp_path / "net.pth")
    assert equal(convert.load_foreign_state(tmp_path / "net.pth"), states[0])


def test_a_key_that_is_not_there(tmp_path: Path, states) -> None:
    torch.save({"params": states[0]}, tmp_path / "net.pth")
    with pytest.raises(FormatError, match="no weights 'params_ema', found params"):
        convert.load_foreign_state(tmp_path / "net.pth", "params_ema")
    torch.save(states[0], tmp_path / "plain.pth")
    with pytest.raises(FormatError, match="plain state dict"):
        convert.load_foreign_state(tmp_path / "plain.pth", "params")


class Touch:
    """A pickle that would create a file if it were run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.drill("F5")
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    for name, write in (
        ("zip.pth", torch.save),
        ("old.pth", lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))),
    ):
        write({"params": Touch(trace)}, tmp_path / name)
        with pytest.raises(FormatError, match=name):
            convert.load_foreign_state(tmp_path / name)
        assert not trace.exists()


@pytest.mark.parametrize("content", [[1, 2], {}, {"params": {"a": 1}}, {"params": torch.zeros(2)}])
def test_not_a_state_dict(tmp_path: Path, content) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(FormatError, match="state dict"):
        convert.load_foreign_state(tmp_path / "net.pth")


def test_damaged_and_missing(tmp_path: Path, states) -> None:
    torch.save({"params": states[0]}, tmp_path / "net.pth")
    whole = (tmp_path / "net.pth").read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.pth").write_bytes(whole[:length])
        with pytest.raises(FormatError, match=r"cut\.pth"):
            convert.load_foreign_state(tmp_path / "cut.pth")
    with pytest.raises(FormatError, match="no such file"):
        convert.load_foreign_state(tmp_path / "none.pth")


def test_written_form_is_read_back(tmp_path: Path, make_options, states) -> None:
    network = archs.build(make_options())
    convert.write_basicsr(tmp_path / "net_g_5.pth", network, states[1])
    assert equal(convert.load_foreign_state(tmp_path / "net_g_5.pth", "params"), network.state_dict())
    assert equal(convert.load_foreign_state(tmp_path / "net_g_5.pth"), states[1])
    convert.write_basicsr(tmp_path / "net_g_6.pth", network)
    assert set(torch.load(tmp_path / "net_g_6.pth", weights_only=True)) == {"params"}


def test_load_start_from_both_kinds(tmp_path: Path, make_options) -> None:
    source, options = archs.build(make_options()), make_options(quant=True, depths=(4, 2))
    convert.write_basicsr(tmp_path / "net.pth", source)
    modelfile.save_model(tmp_path / "net.safetensors", source, ModelInfo(make_options().to_json()))
    for file in ("net.pth", "net.safetensors"):
        network = archs.build(options)
        convert.load_start(network, tmp_path / file)
        assert torch.equal(network.body[1].conv2.weight, source.body[1].conv2.weight)
        torch.testing.assert_close(network.body[3].conv2.weight, source.body[1].conv2.weight * 0.1)


def test_load_start_names_the_file(tmp_path: Path, make_options) -> None:
    convert.write_basicsr(tmp_path / "net.pth", archs.build(make_options("swinir")))
    with pytest.raises(FormatError, match=r"net\.pth: weights do not match"):
        convert.load_start(archs.build(make_options()), tmp_path / "net.pth")

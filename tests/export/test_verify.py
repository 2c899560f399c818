"""The comparison finds what is wrong with a file: in a layer's codes, in its sums, in the picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from qsr.archs.depth import set_depth
from qsr.errors import OptionsError
from qsr.export import verify_report
from qsr.export.lower import Lowered, lower
from qsr.export.verify import verify
from qsr.runtime.packed.container import write
from qsr.spec import METHODS

QUANT = {"w_bits": 2, "a_bits": 2}


def written(lowered: Lowered, folder: Path) -> Path:
    write(folder / "net.qsr", lowered.header, lowered.tensors)
    return folder / "net.qsr"


@pytest.fixture
def pictures(lr: np.ndarray) -> list[np.ndarray]:
    return [lr, np.ascontiguousarray(lr[::-1, :7])]


@pytest.mark.drill("K8")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backbone", ["srresnet", "unit", "mixer", "mixer_unit", "swinir"])
def test_every_method_passes(trained, pictures, tmp_path: Path, backbone: str, method: str) -> None:
    bits = METHODS[method].w_bits[0]
    network, info = trained(backbone, {"method": method, "w_bits": bits, "a_bits": bits})
    lowered = lower(network, info)
    report = verify(network, lowered, written(lowered, tmp_path), pictures)
    assert report.passed, report.table()
    assert all(layer.codes_equal for layer in report.layers)
    assert report.pictures == 2
    # bam's scale per input channel stands between the codes, so that there are no integer sums to compare
    assert all(layer.sums > 0 for layer in report.layers) == (method != "bam")
    assert json.loads(json.dumps(report.to_json()))["passed"]


def test_codes_that_a_negative_norm_turned_around(trained, pictures, tmp_path: Path) -> None:
    for method, bits in (("srb", 1), ("dorefa", 3), ("pams", 3), ("rlq", 2)):
        network, info = trained("e2fif", {"method": method, "w_bits": bits, "a_bits": bits})
        lowered = lower(network, info)
        report = verify(network, lowered, written(lowered, tmp_path), pictures)
        assert report.passed, report.table()


def test_half_precision_is_compared_with_itself(trained, pictures, tmp_path: Path) -> None:
    network, info = trained("srresnet", QUANT, res_scale=0.5)
    before = network.conv_last.weight.clone()
    lowered = lower(network, info, tail="fp16")
    assert verify(network, lowered, written(lowered, tmp_path), pictures).passed
    assert torch.equal(network.conv_last.weight, before)


@pytest.mark.drill("K8")
def test_every_depth_is_compared(trained, pictures, tmp_path: Path) -> None:
    network, info = trained("srresnet", QUANT, (3, 2, 1))
    set_depth(network, 2)
    lowered = lower(network, info)
    path = written(lowered, tmp_path)
    assert verify(network, lowered, path, pictures).passed
    assert len(network.body.active) == 2
    with torch.no_grad():
        next(block for n, block in enumerate(network.body) if n not in network.body.ranking()[:1]).shortcut.mul_(1.5)
    assert not verify(network, lowered, path, pictures).passed


def test_a_wrong_code_is_found(trained, pictures, tmp_path: Path) -> None:
    network, info = trained("srresnet", QUANT)
    lowered = lower(network, info)
    lowered.tensors["body.0.conv2.weight"][3] ^= 1
    report = verify(network, lowered, written(lowered, tmp_path), pictures)
    assert not report.passed
    assert [layer.name for layer in report.layers if not layer.codes_equal] == ["body.0.conv2"]
    assert next(layer for layer in report.layers if layer.name == "body.0.conv2").sums_different > 0
    assert "DIFFERENT" in report.table()
    assert "FAILED" in report.table()


def test_a_wrong_step_is_found(trained, pictures, tmp_path: Path) -> None:
    network, info = trained("srresnet", QUANT)
    lowered = lower(network, info)
    with torch.no_grad():
        network.body[1].conv1.act_quant.step.mul_(1.01)
    report = verify(network, lowered, written(lowered, tmp_path), pictures)
    assert [layer.name for layer in report.layers if layer.sums_different] == ["body.1.conv1"]


def test_a_wrong_bias_is_found_in_the_picture_alone(trained, pictures, tmp_path: Path) -> None:
    network, info = trained("srresnet", QUANT)
    lowered = lower(network, info)
    with torch.no_grad():
        network.conv_last.bias += 2.0
    report = verify(network, lowered, written(lowered, tmp_path), pictures)
    assert all(layer.passed for layer in report.layers)
    assert not report.passed
    assert report.double is not None
    assert report.alike is not None
    assert min(report.double.max_difference, report.alike.max_difference) >= 2


@pytest.mark.parametrize("backbone", ["srresnet", "swinir"])
def test_where_rounding_decides_torch_is_asked_again(trained, pictures, tmp_path: Path, monkeypatch, backbone: str) -> None:
    network, info = trained(backbone, QUANT)
    lowered = lower(network, info)
    monkeypatch.setattr(verify_report, "EQUAL_SHARE", 1.1)  # nothing is close
    report = verify(network, lowered, written(lowered, tmp_path), pictures)
    assert report.double is not None
    assert report.own is not None
    assert (report.alike is None) == (backbone == "swinir")
    for found in (report.single, report.double, report.own, report.alike or report.single):
        assert found.equal_share > 0.95
    monkeypatch.undo()
    assert report.passed


def test_without_a_picture(trained, tmp_path: Path) -> None:
    network, info = trained("srresnet", QUANT)
    lowered = lower(network, info)
    with pytest.raises(OptionsError, match="no picture was given"):
        verify(network, lowered, written(lowered, tmp_path), [])

from __future__ import annotations

from pathlib import Path

import pytest

from qsr.errors import FormatError, OptionsError
from qsr.ptq.run import Ptq, ptq
from qsr.ptq.sensitivity import FULL, Sensitivity, measure
from qsr.ptq.source import Wanted

HOW = Ptq(patches=4, side=8, batch=2)
LAYERS = ("body.0.conv1", "body.0.conv2", "body.1.conv1", "body.1.conv2", "conv_after_body")


@pytest.fixture(scope="module")
def found(full_precision, pictures: Path) -> Sensitivity:
    return measure(full_precision(), pictures, [8, 2], how=HOW)


def test_every_layer_and_width_has_a_row(found: Sensitivity) -> None:
    assert [(row.layer, row.w_bits, row.a_bits) for row in found.rows] == [(name, b, b) for name in LAYERS for b in (2, 8)]
    assert found.layers == LAYERS
    assert found.quant["method"] == "lsq"


def test_losses_are_what_they_say(found: Sensitivity) -> None:
    for low, high in zip(found.rows[::2], found.rows[1::2]):
        assert low.error > high.error > 0
    for row in found.rows:
        assert row.psnr_lost == pytest.approx(found.psnr_y - row.psnr_y)


def test_a_row_is_the_network_with_that_layer_alone(found: Sensitivity, full_precision, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text("quant:\n  rules:\n  - {match: body.1.conv1, w_bits: 2, a_bits: 2}\n")
    (tmp_path / "o.yml").write_text(
        "name: fp\nscale: 2\nnetwork_g: {type: SRResNet}\n"
        "quant: {method: lsq, w_granularity: channel, w_bits: 32, a_bits: 32}\n"
    )
    wanted = Wanted(opt=tmp_path / "o.yml", rules=tmp_path / "r.yml")
    alone = ptq(full_precision(), pictures, wanted, Ptq("mse", patches=4, side=8, batch=2), tmp_path / "q.safetensors").after
    row = next(row for row in found.rows if (row.layer, row.w_bits) == ("body.1.conv1", 2))
    assert (row.psnr_y, row.error) == pytest.approx((alone.psnr_y, alone.error), rel=1e-4)


def test_sides_can_be_measured_apart(full_precision, pictures: Path) -> None:
    apart = measure(full_precision(), pictures, [3], how=HOW, sides="separate")
    assert {(row.w_bits, row.a_bits) for row in apart.rows} == {(3, FULL), (FULL, 3)}
    assert len(apart.rows) == 2 * len(LAYERS)


def test_it_survives_json_and_damage_is_named(found: Sensitivity) -> None:
    assert Sensitivity.from_json(found.to_json()) == found
    for data in ({"format": 2}, {key: value for key, value in found.to_json().items() if key != "rows"}, []):
        with pytest.raises(FormatError, match="s.json"):
            Sensitivity.from_json(data, "s.json")


def test_csv_has_a_line_per_row(found: Sensitivity) -> None:
    lines = found.to_csv().splitlines()
    assert lines[0] == "layer,w_bits,a_bits,psnr_y,psnr_lost,error"
    assert len(lines) == 1 + len(found.rows)
    assert lines[1].startswith("body.0.conv1,2,2,")


def test_no_bits_are_refused(full_precision, pictures: Path) -> None:
    with pytest.raises(OptionsError, match="no bit-width"):
        measure(full_precision(), pictures, [])

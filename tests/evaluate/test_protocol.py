from __future__ import annotations

import dataclasses

import pytest

from qsr.errors import FormatError, OptionsError
from qsr.evaluate.protocol import Protocol, default


def test_the_default_is_the_papers_protocol():
    assert default(4) == Protocol(scale=4, crop=4, y_channel=True, round_y=False)
    assert default(4).name == "sr-y-crop4-uint8"


def test_every_setting_that_changes_a_number_changes_the_name():
    base = default(2)
    others = [
        dataclasses.replace(base, crop=3),
        dataclasses.replace(base, y_channel=False),
        dataclasses.replace(base, round_y=True),
    ]
    assert len({base.name, *(p.name for p in others)}) == 4
    assert len({base.sentence, *(p.sentence for p in others)}) == 4


def test_json_round_trip():
    protocol = Protocol(scale=3, crop=0, round_y=True)
    assert Protocol.from_json(protocol.to_json()) == protocol


@pytest.mark.parametrize(
    "values", [{"scale": 0, "crop": 0}, {"scale": 2, "crop": -1}, {"scale": 2, "crop": 2, "y_channel": False, "round_y": True}]
)
def test_impossible_settings_are_refused(values):
    with pytest.raises(OptionsError):
        Protocol(**values)


def test_a_name_that_contradicts_the_values_is_refused():
    with pytest.raises(FormatError, match="sr-y-crop2-uint8"):
        Protocol.from_json({**default(2).to_json(), "name": "sr-y-crop4-uint8"})
    with pytest.raises(FormatError, match="not a protocol"):
        Protocol.from_json({"scale": 2})

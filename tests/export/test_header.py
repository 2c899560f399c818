"""Every key of the metadata is refused when it is missing, unknown or of another type, and the message names it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from qsr.errors import FormatError
from qsr.export.header import MAX_BYTES, Header, parse_header

FREE = ("metrics", "versions")


def keys_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all keys of which the format says what they are; of a list, its first entry stands for all."""
    for key, item in value.items() if isinstance(value, dict) else list(enumerate(value))[:1]:
        yield (*path, key)
        if isinstance(item, dict | list) and key not in FREE:
            yield from keys_of(item, (*path, key))


def changed(plain: dict[str, Any], path: tuple[Any, ...], change: Any) -> dict[str, Any]:
    plain = copy.deepcopy(plain)
    place = plain
    for key in path[:-1]:
        place = place[key]
    change(place, path[-1])
    return plain


def test_round_trip(parts) -> None:
    header = parts[1]
    assert parse_header(header.to_text(), "net.qsr") == header


def test_each_field(parts, refused) -> None:
    tensors, header = parts
    plain = json.loads(header.to_text())
    paths = [path for path in keys_of(plain) if not isinstance(path[-1], int)]
    assert len(paths) > 40
    for path in paths:
        for wrong in (object, [[1]], -1.5, "x" * 300):
            value = {"a": {}} if wrong is object else wrong
            if path[-1] in FREE and isinstance(value, dict) and path[-1] == "metrics":
                continue
            if path[-1] == "protocol" and isinstance(value, str):
                continue
            if path[-2:] == ("network_g", "res_scale") and value == -1.5:
                continue  # a number that a network may have
            if path[-1] in ("img_range", "rgb_mean") and value == -1.5:
                continue
            message = refused(tensors, changed(plain, path, lambda place, key, value=value: place.__setitem__(key, value)))
            assert str(path[-1]) in message or path[0] == "network", (path, value, message)


def test_unknown_and_missing_keys_by_name(parts, refused) -> None:
    tensors, header = parts
    plain = json.loads(header.to_text())
    for place in ((), ("network",), ("layers", 0), ("provenance",), ("network", "quant")):
        message = refused(tensors, changed(plain, (*place, "colour"), lambda spot, key: spot.__setitem__(key, 1)))
        assert message.endswith("colour: unknown key")
    for path in [(key,) for key in plain] + [("layers", 0, key) for key in plain["layers"][0]]:
        message = refused(tensors, changed(plain, path, lambda spot, key: spot.pop(key)))
        assert str(path[-1]) in message


@pytest.mark.parametrize(("key", "value"), [("w_bits", "3"), ("w_bits", 3.0), ("stride", True), ("a_signed", 1), ("name", 7)])
def test_no_value_is_converted(key: str, value: Any, parts) -> None:
    plain = json.loads(parts[1].to_text())
    plain["layers"][0][key] = value
    with pytest.raises(FormatError, match=rf"layers\.0\.{key}: "):
        parse_header(json.dumps(plain), "net.qsr")


@pytest.mark.parametrize("version", ["qsr.packed/1", "qsr.packed", 1, None])
def test_other_versions(version: Any, parts, refused) -> None:
    plain = json.loads(parts[1].to_text()) | {"format": version}
    assert f"format: found {version!r}, this qsr reads 'qsr.packed/0'" in refused(parts[0], plain)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "expected an object"),
        ('{"format": "qsr.packed/0", "format": "qsr.packed/0"}', "'format' appears twice"),
        ('{"format": NaN}', "NaN is no JSON number"),
        ('{"format": "qsr.packed/0", "metrics": ' + "[" * 40 + "]" * 40 + "}", "nested deeper than 16"),
        (json.dumps("x" * MAX_BYTES), "expected at most"),
    ],
)
def test_bad_json(text: str, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        parse_header(text, "net.qsr")


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"type": "SRResNet", "num_block": 10**9}, "1000000000 residual layers"),
        ({"type": "SwinIR", "window_size": 1000}, "window_size"),
        ({"type": "SwinIR", "depths": [600, 600]}, "1200 residual layers"),
        ({"type": "basicsr:EDSR", "path": "/etc/passwd"}, "network_g"),
    ],
)
def test_networks_too_large_to_build_and_foreign_ones(section: dict[str, Any], said: str, parts) -> None:
    plain = json.loads(parts[1].to_text())
    plain["network"]["network_g"] = section
    with pytest.raises(FormatError, match=said):
        parse_header(json.dumps(plain), "net.qsr")


def test_levels(parts) -> None:
    layer = parts[1].layers[0]
    assert isinstance(parts[1], Header)
    assert (layer.w_bits, layer.w_levels, layer.terms, layer.count) == (3, (-4, 3), 45, 225)
    narrow = layer.model_copy(update={"w_narrow": True, "a_bits": 2, "a_signed": True, "a_narrow": True})
    assert (narrow.w_levels, narrow.a_levels) == ((-3, 3), (-1, 1))

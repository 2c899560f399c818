"""Headers to text and back, and every kind of text that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from qsr.errors import FormatError
from qsr.runtime.packed import text
from tests.runtime.packed.build import conv_net, swin_net
from tests.runtime.packed.strategies import headers


@given(headers())
def test_round_trip(header) -> None:
    written = text.to_text(header)
    again = text.parse(written, "net.qsr")
    assert again == header
    assert text.to_text(again) == written


def test_the_text_is_canonical() -> None:
    written = text.to_text(conv_net(features=4, blocks=1)[0])
    data = json.loads(written)
    assert written == json.dumps(data, sort_keys=True, separators=(",", ":"))
    assert data["format"] == "qsr.packed/1"
    assert data["programs"][0]["ops"][3]["weight"]["kind"] == "uniform"


def test_the_size_of_a_real_header() -> None:
    """Sixteen blocks of two convolutions each: small beside half a megabyte of weights."""
    assert len(text.to_text(conv_net("w1a1", features=4, blocks=16, scale=4)[0])) < 24_000


def broken(change: Callable[[Any], Any], swin: bool = False) -> str:
    header = swin_net(features=4)[0] if swin else conv_net(features=4, blocks=1)[0]
    data = json.loads(text.to_text(header))
    op = data["programs"][0]["ops"]
    replaced = change({"data": data, "ops": op, "conv": op[3]})
    return json.dumps(data if replaced is None else replaced)


def put(*path: Any) -> Callable[[Any], None]:
    """`put("conv", "name", 3)` sets conv["name"] = 3; the value None deletes."""

    def change(parts: Any) -> None:
        target = parts
        for key in path[:-2]:
            target = target[key]
        if path[-1] is None:
            del target[path[-2]]
        else:
            target[path[-2]] = path[-1]

    return change


CASES = {
    "bits": (put("conv", "weight", "bits", 9), r"^net.qsr: programs\[0\]\.ops\[3\]\.weight\.bits: found 9, expected 2 to 8"),
    "bool as int": (put("conv", "weight", "bits", True), "weight.bits: found true"),
    "float as int": (put("conv", "c_in", 4.0), r"c_in: found 4.0, expected 1 to 4096"),
    "text as number": (put("conv", "act", "step", "4"), r'act.step: found "4", expected a number'),
    "too large": (put("conv", "act", "step", 1e39), "act.step: found 1e[+]39, expected a number that fits into float32"),
    "huge integer": (put("conv", "act", "step", 10**400), "act.step: found 1000"),
    "unknown key": (put("conv", "strides", 1), r"ops\[3\].strides: unknown key"),
    "near key": (put("conv", "c_inn", 1), "like 'c_in', which is there too"),
    "missing key": (put("conv", "bias", None), r"ops\[3\].bias: missing"),
    "unknown op": (put("conv", "op", "con"), r"ops\[3\].op: unknown 'con' \(did you mean 'conv'"),
    "unknown kind": (put("conv", "weight", "kind", "ternary"), "weight.kind: unknown 'ternary'"),
    "no op": (put("conv", "op", 3), r"ops\[3\].op: found 3, expected a printable name"),
    "even kernel": (put("conv", "kernel", [2, 3]), r"kernel: found a list of 2: \[2, 3\], expected odd sizes"),
    "kernel of one": (put("conv", "kernel", [3]), "expected a list of 2 integers"),
    "large kernel": (put("conv", "kernel", [3, 17]), "expected a list of 2 integers from 0 to 15"),
    "many channels": (put("conv", "c_out", 4097), "c_out: found 4097, expected 1 to 4096"),
    "negative reference": (put("conv", "inputs", [-1]), "inputs: found a list of 1"),
    "two inputs": (put("conv", "inputs", [0, 1]), "expected a list of 1 integers"),
    "name with escapes": (put("conv", "name", "a\x1b[2J"), r'name: found "a\\u001b'),
    "long name": (put("conv", "name", "a" * 257), "1 to 256 characters"),
    "act is a list": (put("conv", "act", []), "act: found a list of 0"),
    "no scales": (put("conv", "weight", {"kind": "sign", "tensor": "t", "scale": []}), "expected a list of 1 to 4"),
    "signed": (put("conv", "act", "signed", 1), "act.signed: found 1, expected true or false"),
    "factor": (put("ops", -3, "factor", 9), "factor: found 9, expected 2 to 8"),
    "scale": (put("data", "scale", 9), "^net.qsr: scale: found 9, expected 1 to 8"),
    "channels": (put("data", "channels", 1), "channels: found 1, expected 3"),
    "window": (put("data", "window", 0), "window: found 0"),
    "field": (put("data", "receptive_field", -1), "receptive_field: found -1"),
    "no programs": (put("data", "programs", []), "programs: found a list of 0"),
    "no ops": (put("data", "programs", 0, "ops", []), r"programs\[0\].ops: found a list of 0"),
    "depth": (put("data", "programs", 0, "depth", -2), r"programs\[0\].depth: found -2"),
    "program": (put("data", "programs", 0, 3), r"programs\[0\]: found 3, expected an object"),
    "extra": (put("data", "pickle", "gASV"), "^net.qsr: pickle: unknown key"),
    "network nested": (put("data", "network", "options", {"a": 1}), "network.options: found a dict, expected a plain value"),
    "metrics": (put("data", "metrics", []), "metrics: found a list of 0"),
    "protocol": (put("data", "protocol", 3), "protocol: found 3"),
    "version 0": (put("data", "format", "qsr.packed/0"), r"found 'qsr.packed/0'.*\(export it again with this qsr\)"),
    "version 2": (put("data", "format", "qsr.packed/2"), r"format: found 'qsr.packed/2', this qsr reads 'qsr.packed/1'"),
    "no version": (put("data", "format", None), "format: found 'None'"),
    "a list": (lambda parts: [parts["data"]], "metadata: found a list, expected an object"),
}
SWIN = {
    "one norm": (put("ops", 3, "norm1", ["a"]), "norm1: found a list of 1.*expected a list of two names"),
    "norm number": (put("ops", 3, "norm1", ["a", 1]), r"norm1\[1\]: found 1"),
    "linear kernel": (put("ops", 3, "qkv", "kernel", [1, 1]), r"qkv.kernel: unknown key"),
    "operands": (put("ops", 3, "operands", "map", {"kind": "sign"}), "operands.map.kind: unknown 'sign'"),
    "operand key": (put("ops", 3, "operands", "o", 1), "operands.o: unknown key"),
    "window": (put("ops", 3, "window", 33), "window: found 33, expected 1 to 32"),
    "proj_skip": (put("ops", 3, "proj_skip", 0), "proj_skip: found 0, expected true or false"),
}


@pytest.mark.parametrize(("change", "message"), CASES.values(), ids=CASES.keys())
def test_refused(change, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        text.parse(broken(change), "net.qsr")


@pytest.mark.parametrize(("change", "message"), SWIN.values(), ids=SWIN.keys())
def test_refused_in_swin(change, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        text.parse(broken(change, swin=True), "net.qsr")


def test_every_key_is_needed() -> None:
    """Taking out any key of the header, at any place, is noticed by its name."""
    for make in (conv_net, swin_net):
        whole = json.loads(text.to_text(make(features=4)[0]))
        checked = 0
        for path in paths(whole):
            data = json.loads(json.dumps(whole))
            target = data
            for key in path[:-1]:
                target = target[key]
            if path[0] in ("network", "provenance") and len(path) > 1:
                continue  # free content
            del target[path[-1]]
            with pytest.raises(FormatError) as caught:
                text.parse(json.dumps(data), "net.qsr")
            assert path[-1] in str(caught.value)
            checked += 1
        assert checked > 100


def paths(value: Any, path: tuple[Any, ...] = ()):
    """Paths of all keys of objects."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if isinstance(value, dict):
            yield (*path, key)
        yield from paths(inner, (*path, key))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('{"format":1,"format":2}', "key 'format' appears twice"),
        ('{"a":NaN}', "NaN is no JSON number"),
        ('{"a":-Infinity}', "-Infinity is no JSON number"),
        ('{"a":1e999}', "1e999 is too large"),
        ("", "metadata is not JSON"),
        ("{", "metadata is not JSON"),
        ("[" * 100_000, "metadata is not JSON"),
        ('{"a":' + "9" * 5000 + "}", "metadata is not JSON"),
        ('{"format":"qsr.packed/1","metrics":' + "[" * 20 + "]" * 20 + "}", "nested deeper than 16 levels"),
        (" " * (1 << 20) + "{}", "metadata of 1048578 bytes, expected at most 1048576"),
        ("é" * (1 << 19) + "a", "metadata of 1048577 bytes"),
    ],
)
def test_no_text_of_ours(written: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        text.parse(written, "net.qsr")


def test_nan_cannot_be_written() -> None:
    header, _ = conv_net(features=4, blocks=1)
    header.metrics["psnr"] = float("nan")
    with pytest.raises(ValueError, match="not JSON compliant"):
        text.to_text(header)

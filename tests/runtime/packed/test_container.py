"""The container: round trips, foreign and damaged files."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from qsr.errors import FormatError
from qsr.runtime.packed import container
from tests.runtime.packed.build import METHODS, conv_net, swin_net


@pytest.mark.parametrize("method", [*METHODS, "w4a4o", "w2a2ns", "w4a4f", "w1a1m", "w1a1p", "w1a1c", "w4a8w"])
@pytest.mark.parametrize("make", [conv_net, swin_net])
def test_round_trip(make, method: str, tmp_path: Path) -> None:
    header, tensors = make(method, features=8)
    path = tmp_path / "net.qsr"
    assert container.write(path, header, tensors) == path.stat().st_size
    again, arrays = container.read(path)
    assert again == header
    assert arrays.keys() == tensors.keys()
    for name, array in arrays.items():
        assert array.dtype == tensors[name].dtype
        assert np.array_equal(array, tensors[name])
    assert container.to_bytes(again, dict(reversed(arrays.items()))) == path.read_bytes()


# --- foreign and damaged files ------------------------------------------------------------------------------------------
def content(**options) -> bytes:
    return container.to_bytes(*conv_net("w2a2", features=4, blocks=1, **options))


def rewritten(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with another container header; the data stays."""
    data = content()
    length = int.from_bytes(data[:8], "little")
    table = json.loads(data[8 : 8 + length])
    change(table)
    text = json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def entry(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda table: table["conv_first.bias"].update(values)


def key(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda table: table.update({name: value})


FOREIGN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a safetensors file: 0 bytes"),
    "text": (b"hello, this is no network at all", "not a safetensors file, or cut short"),
    "seven bytes": (b"\0" * 7, "not a safetensors file: 7 bytes"),
    "no header": (b"\0" * 8, "metadata is not JSON"),
    "header beyond the file": ((100).to_bytes(8, "little") + b"{}", "its header is longer than the file"),
    "largest length": (b"\xff" * 8 + b"{}", "its header is longer than the file"),
    "header too long": (
        (9 << 20).to_bytes(8, "little") + b" " * (9 << 20),
        "header of 9437184 bytes, expected at most 8388608",
    ),
    "no text": ((4).to_bytes(8, "little") + b"\xff\xfe\0\0", "not a safetensors file: .*utf-8"),
    "other safetensors": (save({"a": np.zeros(3, np.float32)}), "expected one metadata key, 'qsr': not a packed network"),
    "other metadata": (save({"a": np.zeros(3, np.float32)}, {"pt": "1"}), "expected one metadata key, 'qsr'"),
    "more metadata": (save({"a": np.zeros(3, np.float32)}, {"qsr": "{}", "x": "1"}), "expected one metadata key"),
    "empty metadata": (save({"a": np.zeros(3, np.float32)}, {"qsr": "{}"}), "format: found 'None'"),
    "metadata is a list": (rewritten(key("__metadata__", ["qsr"])), "expected one metadata key"),
    "metadata is a number": (rewritten(key("__metadata__", {"qsr": 3})), "expected one metadata key"),
    "type": (rewritten(entry(dtype="BF16", shape=[8])), "not a safetensors file, or damaged|found type BF16"),
    "type of the same size": (rewritten(entry(dtype="I32")), "tensor 'conv_first.bias': found type I32, expected U8, F32, F16"),
    "shape": (rewritten(entry(shape=[5])), "not a safetensors file, or damaged"),
    "shape that overflows": (
        rewritten(entry(shape=[2**62, 8])),
        r"damaged: tensor '\S+': data_offsets: found \[\d+, \d+\], expected the size of \[4611686018427387904, 8\] F32",
    ),
    "negative shape": (rewritten(entry(shape=[-4])), "not a safetensors file, or damaged"),
    "offsets": (
        rewritten(entry(data_offsets=[0, 1])),
        r"damaged: tensor '\S+': data_offsets: found \[0, 1\], expected the size of",
    ),
    "offsets backwards": (rewritten(entry(data_offsets=[16, 0])), "not a safetensors file, or damaged"),
    "empty tensor": (rewritten(key("aa", {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})), "tensor 'aa': is empty"),
    "renamed": (
        content().replace(b'"conv_last.bias"', b'"conv_lost.bias"', 1),
        "the tensor 'conv_last.bias' is missing|conv_lost",
    ),
    "trailing byte": (content() + b"\0", "not a safetensors file, or damaged"),
}


@pytest.mark.drill("F1")
@pytest.mark.parametrize(("data", "message"), FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_files(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.qsr"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=message) as caught:
        container.read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_the_same_name_twice() -> None:
    data = content()
    length = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + length].rstrip()
    text = text[:-1] + b',"conv_first.bias":' + json.dumps(json.loads(text)["conv_first.bias"]).encode() + b"}"
    with pytest.raises(FormatError, match="key 'conv_first.bias' appears twice"):
        container.from_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match=r"missing.qsr: cannot be read: No such file"):
        container.read(tmp_path / "missing.qsr")
    with pytest.raises(FormatError, match="cannot be read: Is a directory"):
        container.read(tmp_path)
    path = tmp_path / "net.qsr"
    path.write_bytes(content())
    monkeypatch.setattr(container, "MAX_FILE", 1000)
    with pytest.raises(FormatError, match=r"net.qsr: larger than 1000 bytes"):
        container.read(path)
    with pytest.raises(FormatError, match="larger than 1000 bytes"):
        container.read("/dev/zero")


def test_format_0_is_refused_with_what_to_do() -> None:
    data = save({"a": np.zeros(3, np.float32)}, {"qsr": json.dumps({"format": "qsr.packed/0", "network": {}})})
    with pytest.raises(FormatError, match=r"old.qsr: format: found 'qsr.packed/0'.*\(export it again with this qsr\)$"):
        container.from_bytes(data, "old.qsr")


def test_every_truncation_is_refused() -> None:
    data = content()
    for length in range(0, len(data), 11):
        with pytest.raises(FormatError, match=r"^cut\.qsr: "):
            container.from_bytes(data[:length], "cut.qsr")


def test_only_what_can_be_read_is_written(tmp_path: Path) -> None:
    header, tensors = conv_net("w2a2", features=4, blocks=1)
    path = tmp_path / "net.qsr"
    for bad_header, bad_tensors, message in (
        (header, {**tensors, "x": np.zeros(3, np.float32)}, "no operation uses it"),
        (replace(header, window=99), tensors, "window: found 99"),
        (replace(header, protocol="a\nb"), tensors, "protocol: found"),
    ):
        with pytest.raises(FormatError, match=message):
            container.write(path, bad_header, bad_tensors)
    assert not path.exists()


def test_arrays_are_ours(tmp_path: Path) -> None:
    """The file may change or vanish once it is read."""
    path = tmp_path / "net.qsr"
    container.write(path, *conv_net("w2a2", features=4, blocks=1))
    _, tensors = container.read(path)
    before = {name: array.copy() for name, array in tensors.items()}
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert all(np.array_equal(tensors[name], array) for name, array in before.items())


@pytest.mark.drill("F1")
def test_memory_while_reading(tmp_path: Path) -> None:
    path = tmp_path / "net.qsr"
    size = container.write(path, *conv_net("w8a8n", features=256, blocks=2, tail="w2a2n"))
    tracemalloc.start()
    container.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{size} bytes of file, peak {peak} bytes")
    assert peak <= (64 << 20) + 2 * size

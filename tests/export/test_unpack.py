"""Reading files: damaged ones, foreign ones, and an independent reader that follows docs/format.md."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from qsr.archs.modelfile import save_model
from qsr.errors import FormatError
from qsr.export.packed import pack, to_bytes, write_packed
from qsr.export.unpack import parse_packed, read_packed, to_network


def read_by_the_book(content: bytes) -> dict[str, np.ndarray]:
    """docs/format.md in numpy: weights and biases of every quantized layer, activation scales and shifts; nothing of qsr."""
    (length,) = struct.unpack("<Q", content[:8])
    head = json.loads(content[8 : 8 + length])
    meta = json.loads(head.pop("__metadata__")["qsr"])
    if meta["format"] != "qsr.packed/0":
        raise ValueError(f"version {meta['format']}")
    dtypes = {"U8": "u1", "F32": "<f4", "I64": "<i8"}
    tensors = {}
    for name, entry in head.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(content[begin:end], dtypes[entry["dtype"]]).reshape(entry["shape"])
    decoded = {name: value for name, value in tensors.items() if ".weight.codes" not in name}
    for layer in meta["layers"]:
        bits = layer["w_bits"]
        if bits == 32:
            continue
        data = tensors[layer["name"] + ".weight.codes"]
        count = int(np.prod(layer["shape"]))
        assert data.size == -(-count * bits // 8)
        codes = []
        for element in range(count):
            value = 0
            for bit in range(bits):  # least significant first
                position = element * bits + bit
                value |= (int(data[position // 8]) >> (position % 8) & 1) << bit
            codes.append(value - (1 << bits) if value >> (bits - 1) else value)
        scale = tensors[layer["name"] + ".weight.scale"].reshape(-1, *[1] * (len(layer["shape"]) - 1))
        decoded[layer["name"] + ".weight"] = np.array(codes, np.float32).reshape(layer["shape"]) * scale
    return decoded


@pytest.mark.parametrize("case", [("srresnet", {"w_bits": 3}), ("swinir", {"w_bits": 5, "w_granularity": "channel"})])
def test_the_description_suffices_for_a_reader(case, trained) -> None:
    network, info = trained(*case)
    decoded = read_by_the_book(to_bytes(*pack(network, info)))
    quantized = [name for name, module in network.named_modules() if getattr(module, "weight_quant", None) is not None]
    assert quantized
    for name in quantized:
        module = network.get_submodule(name)
        assert np.array_equal(decoded[f"{name}.weight"], module.weight_quant(module.weight).detach().numpy())
        assert np.array_equal(decoded[f"{name}.bias"], module.bias.detach().numpy())
        assert np.array_equal(decoded[f"{name}.act.scale"], module.act_quant.step.detach().abs().numpy())
        assert np.array_equal(decoded[f"{name}.act.shift"], module.act_quant.shift.detach().flatten().numpy())


def test_every_truncation_is_refused(parts) -> None:
    content = to_bytes(*parts)
    for length in range(0, len(content), 7):
        with pytest.raises(FormatError, match=r"^damaged\.qsr: "):
            parse_packed(content[:length], "damaged.qsr")
    with pytest.raises(FormatError):
        parse_packed(content + b"\0")


def test_every_byte_of_the_header_flipped(parts) -> None:
    """Refused, or accepted and the same network: a changed byte never gives another one unnoticed, provenance aside."""
    content = to_bytes(*parts)
    length = int.from_bytes(content[:8], "little")
    network = to_network(parse_packed(content))
    x = torch.rand(1, 3, 5, 5)
    expected = network(x)
    tolerated = 0
    for place in range(0, 8 + length, 11):
        damaged = bytearray(content)
        damaged[place] ^= 1
        try:
            other = to_network(parse_packed(bytes(damaged)))
        except FormatError:
            continue
        tolerated += 1
        names = ("res_scale", "rgb_mean", "img_range")  # numbers of the network that have no second witness in the file
        near = bytes(content[max(0, place - 60) : place + 2]).decode(errors="replace")
        assert torch.equal(other(x), expected) or any(name in near for name in names), near
    assert tolerated < 400


def test_foreign_files(tmp_path: Path, trained) -> None:
    network, info = trained(quant={})
    model = tmp_path / "net.safetensors"
    save_model(model, network, info)
    with pytest.raises(FormatError, match=r"format: found 1, this qsr reads .*export the model file"):
        read_packed(model)
    (tmp_path / "other.safetensors").write_bytes(save({"a": np.zeros(3, np.float32)}))
    with pytest.raises(FormatError, match="no metadata key 'qsr'"):
        read_packed(tmp_path / "other.safetensors")
    (tmp_path / "text").write_text("hello, this is no model at all")
    with pytest.raises(FormatError, match="not a safetensors file"):
        read_packed(tmp_path / "text")
    with pytest.raises(FormatError, match=r"missing\.qsr: cannot be read: No such file"):
        read_packed(tmp_path / "missing.qsr")
    (tmp_path / "half").write_bytes(save({"a": np.zeros(3, np.float16)}, {"qsr": pack(network, info)[1].to_text()}))
    with pytest.raises(FormatError, match="a: found type F16"):
        read_packed(tmp_path / "half")


def test_arrays_are_ours(tmp_path: Path, trained) -> None:
    """The file may change or vanish once it is read."""
    path = tmp_path / "net.qsr"
    write_packed(path, *trained(quant={}))
    packed = read_packed(path)
    before = {name: value.copy() for name, value in packed.tensors.items()}
    path.write_bytes(b"\0" * packed.size)
    path.unlink()
    assert all(np.array_equal(before[name], value) for name, value in packed.tensors.items())


def test_receptive_field_is_checked(parts, refused) -> None:
    header = parts[1]
    assert header.receptive_field == 8
    assert "receptive_field: found 9, the network's is 8" in refused(
        parts[0], header.model_copy(update={"receptive_field": 9}).to_text()
    )

"""A packed file back into arrays, fully checked, and into the torch network that it was made from.

`read_packed` looks at the file alone; `to_network` also compares it with the network that its header describes. Both
finish checking before they build anything, and every refusal is a FormatError with the file and the field.

>>> packed = read_packed("net.qsr")                                 # doctest: +SKIP
>>> packed.codes["body.0.conv1"].shape                              # doctest: +SKIP
(64, 64, 3, 3)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from torch import nn

from qsr.errors import FormatError
from qsr.export.check import A_SCALE, A_SHIFT, W_SCALE, check_tensors
from qsr.export.described import check_described, described_network
from qsr.export.header import METADATA_KEY, Header, PackedLayer, parse_header, strict_json
from qsr.export.layers import packed_layers, plain_tensors
from qsr.quant import Quantizer

DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype("u1"), "F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
LENGTH_BYTES = 8  # in front of a safetensors file: the length of its header


@dataclass(frozen=True)
class PackedModel:
    """A packed file that passed every check of its own.

    tensors: all of the file's, by name. codes: weight codes by layer, int8 in the weight's shape.
    size: bytes of the file. where: its path, for messages.
    """

    header: Header
    tensors: Mapping[str, NDArray[Any]]
    codes: Mapping[str, NDArray[np.int8]]
    size: int
    where: str

    def w_scale(self, layer: PackedLayer) -> NDArray[np.float32]:
        """The layer's weight scale, () or one per output channel, shaped to multiply its codes."""
        scale = self.tensors[layer.name + W_SCALE]
        return scale.reshape(-1, *(1,) * (len(layer.shape) - 1)) if scale.ndim else scale

    def weight(self, layer: PackedLayer) -> NDArray[np.float32]:
        """q * scale, float32, the very values that the fake-quantized network computes with."""
        product: NDArray[np.float32] = self.codes[layer.name].astype(np.float32) * self.w_scale(layer)
        return product


def read_packed(path: Path | str) -> PackedModel:
    """Read and check a packed file. Raises FormatError naming file and field; nothing is built from a bad file."""
    where = str(path)
    try:
        # into memory of our own: a mapped file that another process cuts short would kill this one
        content = Path(path).read_bytes()
    except OSError as fault:
        raise FormatError(f"cannot be read: {fault.strerror or fault}", where=where) from fault
    return parse_packed(content, where)


def parse_packed(content: bytes, where: str = "packed file") -> PackedModel:
    """`read_packed` of a file's bytes."""
    try:
        stored = deserialize(content)  # type: ignore[no-untyped-call]
    except SafetensorError as fault:
        raise FormatError(f"not a safetensors file, or damaged: {fault}", where=where) from fault
    header = parse_header(_metadata(content, where), where)
    tensors: dict[str, NDArray[Any]] = {}
    for name, entry in stored:
        if entry["dtype"] not in DTYPES:
            raise FormatError(f"{name}: found type {entry['dtype']}, expected {', '.join(DTYPES)}", where=where)
        data: bytearray = entry["data"]
        tensors[name] = np.frombuffer(data, DTYPES[entry["dtype"]]).reshape(entry["shape"])
    try:
        codes = check_tensors(header, tensors)
    except FormatError as fault:
        raise FormatError(fault.message, where=where) from fault
    return PackedModel(header, tensors, codes, len(content), where)


def to_network(packed: PackedModel) -> nn.Module:
    """The torch network of a packed file, on the CPU, in eval mode.

    Its weights are the decoded codes; its eval outputs equal the exported network's bit for bit. Its weight quantizers
    map each decoded weight to its own code again (|q v / v - q| is far below 1/2), so it can be packed or trained on.
    Raises FormatError where tensors or layers are not those of the network that the header describes.
    """
    header = packed.header
    try:
        reach = check_described(header, packed.tensors)
    except FormatError as fault:
        raise FormatError(fault.message, where=packed.where) from fault
    if reach != header.receptive_field:
        raise FormatError(f"receptive_field: found {header.receptive_field}, the network's is {reach}", where=packed.where)
    network = described_network(header)
    entries = {entry.name: entry for entry in header.layers}
    with torch.no_grad():
        for name, value in plain_tensors(network).items():
            value.copy_(_tensor(packed.tensors[name]))
        for entry, module, (weight, act) in packed_layers(network):
            if weight is not None:
                module.weight.copy_(_tensor(packed.weight(entry)))
                _initialise(weight, packed.tensors[entry.name + W_SCALE], signed=True)
            if act is not None:
                _initialise(act, packed.tensors[entry.name + A_SCALE], entries[entry.name].a_signed)
                if act.shift is not None:
                    act.shift.copy_(_tensor(packed.tensors[entry.name + A_SHIFT]).view(act.shift.shape))
    return network.eval()


def _initialise(quantizer: Quantizer, scale: NDArray[Any], signed: bool) -> None:
    quantizer.step.copy_(_tensor(scale))
    quantizer.signed.fill_(signed)
    quantizer.initialised.fill_(True)


def _tensor(value: NDArray[Any]) -> torch.Tensor:
    # a copy in the machine's byte order, which a view of the file's little-endian bytes need not be
    return torch.from_numpy(value.astype(value.dtype.newbyteorder("=")))


def _metadata(content: bytes, where: str) -> str:
    """The text under `qsr`; the container is known to be sound."""
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    head = strict_json(content[LENGTH_BYTES : LENGTH_BYTES + length].decode(), where)
    text = head.get("__metadata__", {}).get(METADATA_KEY)
    if text is None:
        raise FormatError("a safetensors file, but not a packed one: no metadata key 'qsr'", where=where)
    return str(text)

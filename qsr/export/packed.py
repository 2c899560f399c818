"""A trained network into a packed file, whose bytes are the bits: weight codes at 2 to 8 bits, the rest as it is.

What only training needs is dropped here: float weights behind the codes, gradients' constants, quantizer flags.

>>> network, info = load_model("experiments/quantsr_x4_w2a2")       # doctest: +SKIP
>>> write_packed("net.qsr", network, info)                          # doctest: +SKIP
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor, nn

from qsr.archs.modelfile import ModelInfo
from qsr.errors import FormatError, OptionsError
from qsr.export.check import A_SCALE, A_SHIFT, CODES, W_SCALE, check_tensors
from qsr.export.described import check_described
from qsr.export.folding import fold
from qsr.export.header import METADATA_KEY, Header, NetworkOptions, PackedLayer, Provenance
from qsr.export.layers import packed_layers, plain_tensors
from qsr.files import write_atomic
from qsr.options import Options, from_json, options_hash
from qsr.options.schema import BasicSRNetwork
from qsr.quant import Codes, QConv2d, QLinear, Quantizer
from qsr.runtime import pack_bits

Tensors = dict[str, NDArray[Any]]
KEPT_TYPES = (torch.float32, torch.int64)


def pack(network: nn.Module, info: ModelInfo, depth: int | None = None) -> tuple[Tensors, Header]:
    """Tensors and header of a packed file; the network is left as it is.

    network: as `load_model` gives it, on any device. info: what its model file says; of its options only the network's
    are kept, so no path gets into the file. depth: export this depth of a depth-dynamic network only; None: all.
    Raises OptionsError for what version 0 cannot hold (networks of basicsr, quantizers without uniform codes) and for
    a network that is not calibrated; FormatError if network and options disagree, or a tensor is NaN or Inf.
    """
    options = from_json(info.options)
    blocks = None
    if depth is not None:
        network = copy.deepcopy(network)
        blocks = fold(network, depth)
    entries: list[PackedLayer] = []
    tensors: Tensors = {}
    for entry, module, sides in packed_layers(network):
        entries.append(entry)
        tensors |= _layer_tensors(entry.name, module, *sides)
    for name, value in plain_tensors(network).items():
        if value.dtype not in KEPT_TYPES:
            raise FormatError(f"found {value.dtype}, expected float32", where=f"tensor {name}")
        tensors[name] = _array(value)
    best = info.metrics.get("best")
    header = Header(
        format="qsr.packed/0",
        network=_network_options(options),
        blocks=blocks,
        layers=tuple(entries),
        receptive_field=None,
        protocol=best.get("protocol") if isinstance(best, dict) else None,
        metrics=info.metrics,
        provenance=Provenance(
            iteration=info.iteration,
            weights=info.weights,
            options_hash=options_hash(options),
            versions={name: str(version) for name, version in info.versions.items()},
        ),
    )
    header = header.model_copy(update={"receptive_field": check_described(header, tensors)})
    check_tensors(header, tensors)
    return tensors, header


def write_packed(path: Path | str, network: nn.Module, info: ModelInfo, depth: int | None = None) -> int:
    """`pack` into `path`, atomically; the file's size in bytes. The same network gives the same bytes.

    Raises as `pack` does, and EnvironmentFault where the file cannot be written.
    """
    content = to_bytes(*pack(network, info, depth))
    write_atomic(path, content)
    return len(content)


def to_bytes(tensors: Tensors, header: Header) -> bytes:
    """The safetensors container."""
    return save(tensors, metadata={METADATA_KEY: header.to_text()})


def _layer_tensors(name: str, module: nn.Module, weight: Quantizer | None, act: Quantizer | None) -> Tensors:
    tensors: Tensors = {}
    if weight is not None:
        codes = weight.encode(module.weight.detach())
        assert isinstance(codes, Codes), "packed_layers refuses methods of signs"
        tensors[name + CODES] = pack_bits(codes.q.cpu().numpy(), codes.bits, codes.signed)
        tensors[name + W_SCALE] = _array(codes.scale.flatten() if codes.scale.dim() else codes.scale)
    if act is not None:
        codes = act.encode(_any_input(module))  # scale and shift do not depend on the input
        tensors[name + A_SCALE] = _array(codes.scale)
        if codes.shift is not None:
            tensors[name + A_SHIFT] = _array(codes.shift.flatten())
    return tensors


def _any_input(module: nn.Module) -> Tensor:
    if isinstance(module, QConv2d):
        return module.weight.new_zeros(1, module.in_channels, 1, 1)
    if isinstance(module, QLinear):
        return module.weight.new_zeros(1, module.in_features)
    return next(module.parameters()).new_zeros(1)


def _network_options(options: Options) -> NetworkOptions:
    if isinstance(options.network_g, BasicSRNetwork):
        raise OptionsError(
            f"{options.network_g.type} cannot be packed: a file may only name networks that qsr itself defines",
            where="network_g.type",
        )
    return NetworkOptions(scale=options.scale, network_g=options.network_g, quant=options.quant, depth=options.depth)


def _array(value: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = value.detach().cpu().contiguous().numpy()
    return array

"""What a packed file says about itself: the JSON under the metadata key `qsr`, as types that refuse everything else.

Version 0 holds the bits of the weights and enough options to build the network around them; a version with a list of
operations will take its place. A reader refuses versions that it does not know. docs/format.md describes the whole.

No torch here, and no tensors: whether those agree with the header is check.py's business.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from qsr.errors import FormatError
from qsr.options.schema import Depth, Options, Quant, Scale, SRResNet, SwinIR
from qsr.options.schema_base import NonNegative, Positive
from qsr.runtime.bits import code_range

FORMAT = "qsr.packed/0"
METADATA_KEY = "qsr"
FULL_BITS = 32
MAX_BYTES = 1 << 20
MAX_DEPTH = 16
MAX_BLOCKS = 1024
MAX_POSITIONS = 1 << 23


def _width(bits: int) -> int:
    if bits != FULL_BITS and not 2 <= bits <= 8:
        raise ValueError(f"expected 2 to 8 bits, or {FULL_BITS} for full precision")
    return bits


Width = Annotated[int, AfterValidator(_width)]


class Part(BaseModel):
    """Base of every part: frozen, unknown keys refused, no value converted from another type, no NaN or Inf."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


class PackedLayer(Part):
    """One layer of which the weight, the input or both are quantized; or one quantizer that stands by itself.

    name: dotted name in the network. kind: `conv`, `linear`, or `operand` (an operand of attention's matrix products).
    shape: the weight's, (O, C, kh, kw) or (O, C); () for an operand. stride, padding: of a conv, else None.
    w_bits, a_bits: 32 is full precision. w_narrow, a_narrow: signed codes leave out the lowest level. Weights are signed.
    """

    name: str = Field(min_length=1, max_length=256)
    kind: Literal["conv", "linear", "operand"]
    shape: tuple[Positive, ...]
    stride: Positive | None
    padding: NonNegative | None
    w_bits: Width
    w_narrow: bool
    a_bits: Width
    a_signed: bool
    a_narrow: bool

    @property
    def count(self) -> int:
        """Weights of this layer (Python's integers do not overflow)."""
        return math.prod(self.shape) if self.shape else 0

    @property
    def terms(self) -> int:
        """K: products summed up in one accumulator."""
        return math.prod(self.shape[1:]) if self.shape else 0

    @property
    def w_levels(self) -> tuple[int, int]:
        """Lowest and highest weight code."""
        return _levels(self.w_bits, True, self.w_narrow)

    @property
    def a_levels(self) -> tuple[int, int]:
        """Lowest and highest activation code."""
        return _levels(self.a_bits, self.a_signed, self.a_narrow)


class NetworkOptions(Part):
    """The sections of an option file that decide which network this is."""

    scale: Scale
    network_g: SRResNet | SwinIR = Field(discriminator="type")
    quant: Quant | None
    depth: Depth

    def options(self) -> Options:
        return Options(name="packed", scale=self.scale, network_g=self.network_g, quant=self.quant, depth=self.depth)


class Provenance(Part):
    """Where the weights come from. versions: of qsr, torch and python at training. options_hash: 12 hex digits."""

    iteration: NonNegative
    weights: Literal["ema", "raw"]
    options_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    versions: dict[str, str]


class Header(Part):
    """The whole of the metadata.

    blocks: None, or the numbers of the residual blocks that were kept when one depth of a depth-dynamic network was
    exported. receptive_field: LR pixels on each side that an output pixel depends on; None: no bound.
    metrics: the last validation, free JSON; protocol: the name of the protocol that it was measured with.
    """

    format: Literal["qsr.packed/0"]
    network: NetworkOptions
    blocks: tuple[NonNegative, ...] | None
    layers: tuple[PackedLayer, ...]
    receptive_field: NonNegative | None
    protocol: str | None
    metrics: dict[str, Any]
    provenance: Provenance

    def to_text(self) -> str:
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse_header(text: str, where: str) -> Header:
    """The header from its JSON. Raises FormatError that names the version, the key or the value it does not take."""
    if len(text.encode()) > MAX_BYTES:
        raise FormatError(f"metadata of {len(text.encode())} bytes, expected at most {MAX_BYTES}", where=where)
    data = strict_json(text, where)
    if not isinstance(data, dict):
        raise FormatError(f"metadata: found a {type(data).__name__}, expected an object", where=where)
    if data.get("format") != FORMAT:
        raise FormatError(
            f"format: found {data.get('format')!r}, this qsr reads {FORMAT!r}",
            where=where,
            hint="upgrade qsr, or export the model file with `qsr export --packed`",
        )
    if _nesting(data) > MAX_DEPTH:
        raise FormatError(f"metadata: nested deeper than {MAX_DEPTH} levels", where=where)
    try:
        header = Header.model_validate_json(text)
    except ValidationError as fault:
        raise FormatError(f"metadata {_first(fault)}", where=where) from fault
    _check_size(header.network, where)
    return header


def _levels(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    lowest, highest = code_range(bits, signed)
    return lowest + (signed and narrow), highest


def strict_json(text: str, where: str) -> Any:
    """JSON without duplicate keys, NaN or Infinity. Raises FormatError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} appears twice")
        return found

    def no_constant(name: str) -> Any:
        raise ValueError(f"{name} is no JSON number")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
    except (ValueError, RecursionError) as fault:
        raise FormatError(f"metadata is not JSON: {fault}", where=where) from fault


def _nesting(value: Any) -> int:
    """Levels of objects and arrays; a loop, because what it measures may be deeper than Python's stack."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, level = waiting.pop()
        children = item.values() if isinstance(item, Mapping) else item if isinstance(item, list) else None
        if children is not None:
            deepest = max(deepest, level)
            waiting += [(child, level + 1) for child in children]
    return deepest


def _first(fault: ValidationError) -> str:
    error = fault.errors(include_url=False)[0]
    key = ".".join(str(part) for part in error["loc"]) or "(whole)"
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if error["type"] == "missing":
        return f"{key}: missing"
    return f"{key}: {error['msg']}, found {str(error['input'])[:60]!r}"


def _check_size(network: NetworkOptions, where: str) -> None:
    """Bounds on what no tensor of the file bounds: the number of modules, and the table of positions in a window."""
    section, dqa = network.network_g, network.depth.dqa
    depths = dqa.depths if dqa else ()
    if isinstance(section, SRResNet):
        layers, window = max(section.num_block, *depths, 0), 1
    else:
        layers, window = max(len(section.depths), *depths, 0) * max(section.depths), section.window_size
    if layers > MAX_BLOCKS:
        raise FormatError(f"network: found {layers} residual layers, expected at most {MAX_BLOCKS}", where=where)
    if layers * window**4 > MAX_POSITIONS:
        found = f"{layers} layers of {window}^4 positions"
        raise FormatError(f"network_g.window_size: found {found}, expected at most {MAX_POSITIONS}", where=where)

"""The model file: safetensors whose metadata says everything needed to run it, so that no option file is asked for.

Metadata key `qsr` holds JSON: a format number, the resolved options, the layer table, iteration, which weights
(averaged or raw), validation metrics and versions. Quantizer buffers are ordinary tensors of the state dict.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from qsr.archs.build import build, quantize
from qsr.archs.depth import set_depth
from qsr.archs.start import mismatch
from qsr.errors import FormatError
from qsr.files import write_atomic
from qsr.jsonfile import parse_json
from qsr.options import Options, from_json
from qsr.options.schema import Mixer, SRResNet, SwinIR

FORMAT = 1
METADATA_KEY = "qsr"
MAX_METADATA = 8 << 20  # characters
LATEST = "net_g_latest.safetensors"
CHECKPOINT = "model.safetensors"  # in a checkpoint's folder, beside the training state


def versions() -> dict[str, str]:
    """Versions that a file was written with: qsr, torch, python."""
    from qsr import __version__

    return {"qsr": __version__, "torch": torch.__version__, "python": platform.python_version()}


@dataclass(frozen=True)
class ModelInfo:
    """What a model file knows about itself.

    options: Options.to_json() of the network as stored. layers: LayerReport.to_json(). weights: averaged (`ema`) or `raw`.
    metrics: the last validation, by set. extra: anything else worth keeping, plain JSON.
    """

    options: dict[str, Any]
    layers: dict[str, Any] = field(default_factory=dict)
    iteration: int = 0
    weights: Literal["ema", "raw"] = "raw"
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=versions)
    extra: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str) -> ModelInfo:
        """Raises FormatError for another format number, an unknown or a missing entry."""
        if str(data.get("format")).startswith("qsr.packed/"):
            raise FormatError(
                "a packed network, expected a model file",
                where=where,
                hint="name the .safetensors file that it was made from",
            )
        if data.get("format") != FORMAT:
            raise FormatError(
                f"model file of format {data.get('format')}, this qsr reads {FORMAT}", where=where, hint="upgrade qsr"
            )
        known = {entry.name for entry in fields(cls)}
        if "options" not in data or not set(data) <= known:
            raise FormatError(f"metadata has the entries {sorted(data)}, expected {sorted(known)}", where=where)
        return cls(**data)


def find_model(path: Path | str) -> Path:
    """The model file that `path` means: itself, or the latest (else the newest) in an experiment's or checkpoint's folder.

    Raises FormatError if there is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise FormatError("no such file or experiment", where=str(path))
    folder = path / "models" if (path / "models").is_dir() else path
    for name in (LATEST, CHECKPOINT):
        if (folder / name).is_file():
            return folder / name
    newest = sorted(folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime)
    if not newest:
        raise FormatError(
            "no model file (*.safetensors) in this folder", where=str(folder), hint="has the experiment saved one yet?"
        )
    return newest[-1]


def save_model(path: Path | str, network: nn.Module | Mapping[str, Tensor], info: ModelInfo) -> None:
    """Write weights (a network or its state dict, any device) and `info` to `path`, atomically."""
    state = network.state_dict() if isinstance(network, nn.Module) else network
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    write_atomic(path, save(tensors, metadata={METADATA_KEY: json.dumps(info.to_json(), sort_keys=True)}))


def read_info(path: Path | str) -> ModelInfo:
    """The metadata of a model file or experiment; reads only the header. FormatError on damage or a foreign file."""
    file = find_model(path)
    with _opened(file) as handle:
        text = (handle.metadata() or {}).get(METADATA_KEY)
    if text is None:
        raise FormatError("a safetensors file, but not one of qsr's: it does not say what network it holds", where=str(file))
    if len(text) > MAX_METADATA:
        raise FormatError(
            f"metadata of {len(text):,} characters, expected at most {MAX_METADATA:,}",
            where=str(file),
            hint="no network's options are as long",
        )
    try:
        data = parse_json(text)
    except ValueError as fault:
        raise FormatError(f"damaged metadata: {fault}", where=str(file)) from fault
    if not isinstance(data, dict):
        raise FormatError(f"damaged metadata: found a {type(data).__name__}, expected an object", where=str(file))
    return ModelInfo.from_json(data, str(file))


def read_state(path: Path | str) -> dict[str, Tensor]:
    """All tensors of a model file or experiment, on the CPU. FormatError on damage."""
    with _opened(find_model(path)) as handle:
        return {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (safe_open is no mapping)


def load_model(path: Path | str, device: torch.device | str = "cpu", depth: int | None = None) -> tuple[nn.Module, ModelInfo]:
    """The network of a model file or experiment, rebuilt from its own metadata, in eval mode, and what it says of itself.

    depth: sub-network of a depth-dynamic one; None: full depth. Raises FormatError on damage or when weights and
    metadata disagree, OptionsError for a depth that was not trained.
    """
    file = find_model(path)
    info, state = read_info(file), read_state(file)
    try:
        options = from_json(info.options)
    except FormatError as fault:
        raise FormatError(fault.message, where=str(file)) from fault
    _refuse_size(options, state, str(file))
    network = build(options)
    quantize(network, options)
    expected = network.state_dict()
    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    shapes = [name for name in expected if name in state and state[name].shape != expected[name].shape]
    if missing or unexpected or shapes:
        raise FormatError(mismatch(missing, unexpected, shapes), where=str(file), hint="the file is damaged or was edited")
    network.load_state_dict(state)
    set_depth(network, depth)
    return network.to(device).eval(), info


def _refuse_size(options: Options, state: Mapping[str, Tensor], where: str) -> None:
    """A digit more in the metadata must not build a network that fills the memory: the file has to hold its weights."""
    network, dqa = options.network_g, options.depth.dqa
    least = 0
    if isinstance(network, SRResNet):
        convolutions = 2 * (max(dqa.depths) if dqa else network.num_block) + 4  # at least: the tail makes features fourfold
        least = 9 * network.num_feat**2 * convolutions
    elif isinstance(network, SwinIR):
        layers = max(dqa.depths) * network.depths[0] if dqa else sum(network.depths)
        least = 4 * network.embed_dim**2 * layers  # query, key, value, projection
    elif isinstance(network, Mixer):
        least = (2 * network.expansion * network.num_feat + 9) * network.num_feat * network.num_block
    stored = sum(value.numel() for value in state.values())
    if least > stored:
        raise FormatError(
            f"its options describe a network of {least:,} weights or more, the file holds {stored:,}",
            where=where,
            hint="the file is damaged or was edited",
        )


class _opened:
    """safe_open whose failures are FormatErrors."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __enter__(self) -> Any:
        try:
            self.handle = safe_open(self.file, framework="pt", device="cpu")
            return self.handle.__enter__()
        except (SafetensorError, OSError) as fault:
            raise FormatError(f"not a readable model file: {fault}", where=str(self.file)) from fault

    def __exit__(self, *exception: Any) -> None:
        self.handle.__exit__(*exception)

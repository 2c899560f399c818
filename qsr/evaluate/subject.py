"""What is evaluated: bicubic, a trained network, or the network of an option file; and what its numbers come from.

A `Subject` carries the upscaler and everything that makes a stored result traceable. torch is imported only for
networks: the bicubic baseline runs without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qsr
from qsr.data.resize import bicubic_upscale
from qsr.errors import OptionsError
from qsr.evaluate.benchmark import UpscaleFunction
from qsr.evaluate.protocol import Protocol, default
from qsr.options import Options, from_json, options_hash
from qsr.options.schema import Mixer, SRResNet, SwinIR

if TYPE_CHECKING:
    from torch import nn

    from qsr.evaluate.upscale import TileChoice, Upscaler

# quantizer -> the papers' name of the method on the two backbones; a pair that no paper has keeps the quantizer's name
PAPER_NAMES = {
    "rlq": ("QuantSR-C", "QuantSR-T"),
    "dorefa": ("DoReFa", None),
    "pams": ("PAMS", None),
    "cadyq": ("CADyQ", None),
    "srb": ("FRBC", "FRBT"),
    "bnn": ("BNN", None),
    "bireal": ("Bi-Real", None),
    "irnet": ("IRNet", None),
    "bam": ("BAM", None),
    "btm": ("BTM", None),
    "reactnet": ("ReActNet", None),
}
PAPER_SIZE = {"SRResNet": "16 blocks of 64 features", "SwinIR": "4 RSTBs of 60 features"}


@dataclass(frozen=True)
class HowToRun:
    """How a network is applied; see `Upscaler`. depth: sub-network of a depth-dynamic one."""

    device: str = "auto"
    tile: TileChoice = "auto"
    self_ensemble: bool = False
    depth: int | None = None


@dataclass(frozen=True)
class Subject:
    """One thing to evaluate.

    upscaler: scale -> function on LR pictures. protocols: one per scale. options: of its network, where there is one.
    about: plain JSON for the result file (method, bits, hashes, ...).
    """

    name: str
    upscaler: Callable[[int], UpscaleFunction]
    protocols: Sequence[Protocol]
    about: Mapping[str, Any] = field(default_factory=dict)
    options: Options | None = None

    @property
    def scales(self) -> tuple[int, ...]:
        return tuple(protocol.scale for protocol in self.protocols)

    def require_scale(self, scale: int) -> None:
        """Raises OptionsError where the user named a scale that this is not for."""
        if scale not in self.scales:
            own = ", ".join(f"x{own}" for own in self.scales)
            raise OptionsError(f"--scale is {scale}, but {self.name} enlarges {own}", hint="leave --scale out")

    def facts(self) -> dict[str, Any]:
        """`about` with what is known only after the run: the tiles that were used."""
        upscaler = self.upscaler(self.scales[0])
        used = getattr(upscaler, "tiles_used", None)
        return dict(self.about) if used is None else {**self.about, "tiles_used": sorted(used, key=lambda t: t or 0)}


def bicubic(scales: Sequence[int]) -> Subject:
    """MATLAB-exact bicubic enlargement, the baseline of every table."""
    name = "bicubic_x" + "".join(map(str, scales))
    about = {
        **_when(),
        "label": "Bicubic",
        "method": "Bicubic",
        "w_bits": None,
        "a_bits": None,
        "versions": {"qsr": qsr.__version__},
    }
    return Subject(name, lambda scale: partial(bicubic_upscale, scale=scale), [default(s) for s in scales], about)


def trained(path: Path, how: HowToRun, *, best: bool = False) -> Subject:
    """A model file or experiment folder, rebuilt from its own metadata. best: the experiment's best, not its latest.

    Raises FormatError for a missing or damaged file, OptionsError for a depth that it was not trained for.
    """
    from qsr.archs.modelfile import find_model, load_model

    if best:
        path = path / "models" / "net_g_best.safetensors"
    file = find_model(path)
    network, info = load_model(file, depth=how.depth)
    options = from_json(info.options)
    name = options.name + ("-best" if best else "")
    stored = {"iteration": info.iteration, "weights": info.weights, "seed": options.manual_seed, "trained_with": info.versions}
    return _network_subject(name, network, options, how, {"model": str(file), "model_hash": file_hash(file), **stored})


def from_options(options: Options, how: HowToRun) -> Subject:
    """The network of an option file with the weights of `path.pretrain_network_g`, else of its own experiment.

    Raises OptionsError where neither is there, FormatError where the weights do not fit the network.
    """
    experiment = Path(options.path.experiments_root) / options.name
    if options.path.pretrain_network_g is None:
        if experiment.is_dir():
            return trained(experiment, how)
        raise OptionsError(
            f"no weights to test: path.pretrain_network_g is not set and there is no {experiment}",
            hint="set path.pretrain_network_g, or train first with `qsr train -opt FILE`",
        )
    from qsr.archs.build import build, quantize
    from qsr.archs.convert import load_start
    from qsr.archs.depth import set_depth
    from qsr.archs.modelfile import find_model
    from qsr.quant import is_calibrated

    file = find_model(options.path.pretrain_network_g)
    network = build(options)
    quantize(network, options)
    load_start(network, file, options.path.param_key_g, options.path.strict_load_g)
    if not is_calibrated(network):
        raise OptionsError(
            f"{file} holds no step sizes, but the option file quantizes the network",
            hint="leave `quant` out to test the full-precision network, or train it first",
        )
    set_depth(network, how.depth)
    stored = {"model": str(file), "model_hash": file_hash(file), "iteration": None, "weights": options.path.param_key_g}
    return _network_subject(options.name, network, options, how, {**stored, "seed": options.manual_seed})


def _network_subject(name: str, network: nn.Module, options: Options, how: HowToRun, stored: dict[str, Any]) -> Subject:
    from qsr.evaluate.upscale import Upscaler

    upscaler: Upscaler = Upscaler(network.eval(), how.device, how.tile, how.self_ensemble)
    if how.depth is not None:
        name += f"-depth{how.depth}"
    if how.self_ensemble:
        name += "-ensemble"
    about = {
        **_when(),
        **describe(options, how),
        **stored,
        "options_hash": options_hash(options),
        "device": str(upscaler.device),
        "tile": how.tile,
        "exact_tiles": upscaler.exact,
        "versions": _versions(),
    }
    return Subject(name, lambda scale: upscaler, [protocol_of(options)], about, options)


def describe(options: Options, how: HowToRun) -> dict[str, Any]:
    """Method (as the papers print it), bits, size and footnotes of the network that `options` describe."""
    network, quant = options.network_g, options.quant
    w_bits, a_bits = (quant.w_bits, quant.a_bits) if quant else (32, 32)
    blocks, size = None, network.type
    if isinstance(network, SRResNet):
        blocks, method = network.num_block, "SRResNet"
        size = f"{{blocks}} blocks of {network.num_feat} features"
    elif isinstance(network, SwinIR):
        blocks, method = len(network.depths), "SwinIR_S"
        size = f"{{blocks}} RSTBs of {network.embed_dim} features"
    elif isinstance(network, Mixer):
        blocks, method = network.num_block, "Mixer"
        size = f"{{blocks}} mixer blocks of {network.num_feat} features"
    else:
        method = network.type.partition(":")[2]
    if options.depth.dqa:
        blocks = how.depth or options.depth.dqa.depths[0]
    size = size.format(blocks=blocks)
    if quant and isinstance(network, Mixer):
        method = f"{quant.method.upper()} on Mixer"  # no paper has it: a paper's name would find that paper's rows
    elif quant:
        names = PAPER_NAMES.get(quant.method, (None, None))
        method = names[isinstance(network, SwinIR)] or f"{quant.method.upper()} on {method}"
    label = method if w_bits == a_bits == 32 else f"{method} w{w_bits}a{a_bits}"
    notes = list(_differences(options, size, blocks))
    if how.self_ensemble:
        notes.append("ours uses self-ensemble (eight passes), the published rows do not")
    kind = {"label": label, "method": method, "w_bits": w_bits, "a_bits": a_bits, "blocks": blocks, "size": size}
    kind["published_blocks"] = blocks if _has_own_row(options, blocks) else None
    return {**kind, "depth": how.depth, "self_ensemble": how.self_ensemble, "notes": notes}


def _differences(options: Options, size: str, blocks: int | None) -> list[str]:
    """Why our row is not the published one's like: another size of network, layers with other bits."""
    network, found = options.network_g, []
    paper = PAPER_SIZE["SwinIR" if isinstance(network, SwinIR) else "SRResNet"]
    if not isinstance(network, SRResNet | SwinIR) or (size != paper and not _has_own_row(options, blocks)):
        found.append(f"ours is {size}, the published network {paper}")
    if options.quant and (options.quant.skip or options.quant.rules):
        found.append("ours has exceptions by layer (quant.skip, quant.rules)")
    return found


def _has_own_row(options: Options, blocks: int | None) -> bool:
    """The paper gives the convolutional network at three depths."""
    return isinstance(options.network_g, SRResNet) and options.network_g.num_feat == 64 and blocks in (8, 16, 32)


def protocol_of(options: Options) -> Protocol:
    """Border and channel of `val.metrics` (which agree with each other), else the papers' protocol."""
    for metric in (options.val.metrics or {}).values():
        crop = options.scale if metric.crop_border is None else metric.crop_border
        return Protocol(scale=options.scale, crop=crop, y_channel=metric.test_y_channel)
    return default(options.scale)


def file_hash(path: Path) -> str:
    """12 hex digits over a file's bytes."""
    return blake2b(path.read_bytes(), digest_size=6).hexdigest()


def _versions() -> dict[str, str]:
    from qsr.archs.modelfile import versions

    return versions()


def _when() -> dict[str, str]:
    return {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}

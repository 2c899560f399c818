"""From a full-precision model file and a few words about bits to options and a quantized network without step sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from qsr import archs
from qsr.archs.convert import load_start
from qsr.archs.modelfile import find_model, load_model, read_info
from qsr.errors import OptionsError
from qsr.options import Options, from_dict, from_json, load
from qsr.options.yaml_lines import read_yaml
from qsr.quant import LayerReport

FOREIGN = (".pth", ".pt", ".ckpt")
DEFAULT = {"method": "lsq", "w_granularity": "channel"}  # uniform codes with one weight step per output channel


@dataclass(frozen=True)
class Wanted:
    """What quantization was asked for; what is None is as the option file says, and `DEFAULT` without one.

    opt: option file whose `quant` section counts; for a foreign checkpoint it also describes the network.
    rules: file with a `quant.rules` list, as `qsr allocate` writes it. settings: overrides of the option file.
    quantizer: name of the registry, instead of the option file's `quant.method`.
    """

    w_bits: int | None = None
    a_bits: int | None = None
    opt: Path | None = None
    rules: Path | None = None
    settings: Sequence[str] = ()
    quantizer: str | None = None


def quantized_options(checkpoint: Path, wanted: Wanted) -> Options:
    """The options of the network of `checkpoint`, quantized as wanted.

    Raises OptionsError: no bits, bits out of range, a checkpoint that is quantized already or has several depths.
    """
    file = load(wanted.opt, wanted.settings).options if wanted.opt is not None else None
    if checkpoint.suffix in FOREIGN:
        if file is None:
            raise OptionsError(
                "this checkpoint does not say what network it holds", where=str(checkpoint), hint="give -opt FILE"
            )
        base = file
    else:
        base = from_json(read_info(checkpoint).options)
        if base.quant is not None:
            raise OptionsError(
                "quantized already", where=str(checkpoint), hint="post-training quantization starts from a full-precision model"
            )
    if base.depth.dqa is not None:
        raise OptionsError("has several depths, whose activations differ", where=str(checkpoint), hint="train it quantized")
    quant = dict(file.to_json()["quant"] or {}) if file is not None and file.quant else dict(DEFAULT)
    quant |= {name: bits for name, bits in (("w_bits", wanted.w_bits), ("a_bits", wanted.a_bits)) if bits is not None}
    if wanted.quantizer is not None:
        quant["method"] = wanted.quantizer
    if wanted.rules is not None:
        quant |= read_rules(wanted.rules)
    missing = [name for name in ("w_bits", "a_bits") if name not in quant]
    if missing:
        raise OptionsError(f"missing: {', '.join(missing)}", hint="say --w-bits 4 --a-bits 4, or give an option file")
    # defaults are left out, as the checks across keys ask which ones were written; the type tells one network from another
    data = base.model_dump(mode="json", exclude_defaults=True)
    network = {**data["network_g"], "type": base.network_g.type}
    return from_dict({**data, "network_g": network, "quant": quant}, str(checkpoint))


def read_rules(path: Path) -> dict[str, Any]:
    """The `quant` section of a YAML file that holds nothing else. Raises OptionsError."""
    value = read_yaml(path).value
    if not isinstance(value, Mapping) or set(value) != {"quant"} or "rules" not in value["quant"]:
        raise OptionsError("expected a file with `quant: {rules: [...]}` alone", where=str(path), hint="see `qsr allocate`")
    return dict(value["quant"])


def open_network(checkpoint: Path, options: Options) -> tuple[nn.Module, LayerReport]:
    """The network with the checkpoint's weights in eval mode, its layers quantized as `options` say, no step size set."""
    if checkpoint.suffix in FOREIGN:
        network = archs.build_base(options)
        load_start(network, checkpoint)
    else:
        network, _ = load_model(find_model(checkpoint))
    report = archs.quantize(network, options)
    return network.eval(), report

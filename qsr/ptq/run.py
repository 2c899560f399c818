"""`qsr ptq` as a function: a full-precision model and a folder of pictures in, a quantized model file out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from qsr.archs.modelfile import LATEST, ModelInfo, find_model, save_model
from qsr.errors import OptionsError
from qsr.evaluate.subject import file_hash, protocol_of
from qsr.evaluate.upscale import pick_device
from qsr.options import Options
from qsr.ptq.bounds import distill_bounds
from qsr.ptq.judge import Judge, Score
from qsr.ptq.observers import Observer, observe, set_step, uniform
from qsr.ptq.pictures import Calibration
from qsr.ptq.rounding import learn_rounding
from qsr.ptq.source import FOREIGN, Wanted, open_network, quantized_options
from qsr.quant import quantizers

Method = Literal["minmax", "percentile", "mse", "2dquant"]
Notify = Callable[[str], None]


@dataclass(frozen=True)
class Ptq:
    """How step sizes are found.

    method: `2dquant` is the search of `mse` followed by `iterations` of distillation. rounding: learn it as well.
    patches, side, batch: calibration patches of side x side LR pixels. percent: what `percentile` keeps at each end.
    """

    method: Method = "2dquant"
    rounding: bool = False
    patches: int = 64
    side: int = 32
    batch: int = 8
    percent: float = 99.9
    iterations: int = 100
    rounding_iterations: int = 100
    seed: int = 0


@dataclass(frozen=True)
class PtqOutcome:
    """path: the model file. seconds, cpu_seconds: on the clock, and of processor time (other programs may be running).

    before, after: on patches of the calibration pictures, in full precision and quantized."""

    path: Path
    options: Options
    seconds: float
    cpu_seconds: float
    before: Score
    after: Score

    def to_json(self) -> dict[str, Any]:
        numbers = {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
        scores = {"full_precision": asdict(self.before), "quantized": asdict(self.after)}
        return {"file": str(self.path), "name": self.options.name, **numbers, **scores}


def ptq(
    checkpoint: Path,
    calibration: Path,
    wanted: Wanted,
    how: Ptq | None = None,
    out: Path | None = None,
    device: str = "cpu",
    notify: Notify = lambda line: None,
) -> PtqOutcome:
    """Quantize a full-precision model file, experiment or foreign checkpoint without training it.

    calibration: folder of HR pictures. out: file (*.safetensors) or experiment folder; None: experiments/NAME, where NAME
    tells model, method and bits. notify: told what is being done. Raises OptionsError, FormatError, DataError as the parts do.
    """
    how = how or Ptq()
    if how.method not in get_args(Method):
        raise OptionsError(f"found method {how.method!r}, expected {', '.join(get_args(Method))}")
    options = quantized_options(checkpoint, wanted)
    options = options.model_copy(update={"name": name_of(options, how)})
    network, report = open_network(checkpoint, options)
    network.to(pick_device(device))
    pictures = Calibration(calibration, options.scale, how.side, how.seed)
    # before anything is learned: rounding replaces the weights that the full-precision output comes from
    judge = Judge(network, pictures, how.patches, how.batch, protocol_of(options))
    begun, worked = time.perf_counter(), time.process_time()
    set_steps(network, pictures, how, notify)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - worked
    after = judge(network)
    path = model_path(out, options)
    extra = {
        **asdict(how),
        "minutes": round(seconds / 60, 3),
        "cpu_minutes": round(cpu / 60, 3),
        "calibration": calibration.name,
        **_start(checkpoint),
    }
    scores = {"full_precision": asdict(judge.full_precision), "quantized": asdict(after)}
    save_model(path, network, ModelInfo(options.to_json(), report.to_json(), extra={"ptq": {**extra, **scores}}))
    return PtqOutcome(path, options, seconds, cpu, judge.full_precision, after)


def set_steps(network: nn.Module, pictures: Calibration, how: Ptq, notify: Notify = lambda line: None) -> None:
    """Initialise every quantizer of `network`, in place, by the chosen method."""
    device = next(network.parameters()).device
    batches = [one.to(device) for one in pictures.batches(how.patches, how.batch)]
    observer: Observer = "mse" if how.method == "2dquant" else how.method
    seen = observe(network, batches, how.seed)
    for name, quantizer in quantizers(network):
        set_step(uniform(name, quantizer), seen[name], observer, how.percent)
    notify(f"step sizes of {len(seen)} quantizers by {observer}")
    if how.method == "2dquant":
        before, after = distill_bounds(network, torch.cat(batches), how.iterations, batch=how.batch, seed=how.seed)
        notify(f"bounds distilled in {how.iterations} iterations: loss {before:.5f} -> {after:.5f}")
    if how.rounding:
        learn_rounding(
            network,
            batches,
            how.rounding_iterations,
            how.seed,
            lambda name, before, after: notify(f"rounding of {name}: squared error {before:.4g} -> {after:.4g}"),
        )


def name_of(options: Options, how: Ptq) -> str:
    """NAME_ptq_METHOD_wWaA, with `_rules` where layers differ."""
    quant = options.quant
    assert quant is not None
    method = how.method + ("_rounding" if how.rounding else "")
    return f"{options.name}_ptq_{method}_w{quant.w_bits}a{quant.a_bits}" + ("_rules" if quant.rules else "")


def model_path(out: Path | None, options: Options) -> Path:
    """Where the model goes: `out` itself if it is named as a model file, else into that experiment folder."""
    if out is not None and out.suffix == ".safetensors":
        return out
    return (out or Path(options.path.experiments_root) / options.name) / "models" / LATEST


def _start(checkpoint: Path) -> dict[str, Any]:
    file = checkpoint if checkpoint.suffix in FOREIGN else find_model(checkpoint)
    return {"start": file.name, "start_hash": file_hash(file)}

"""A trained row in numbers: scores on the sets, what the network costs, how it was trained, a few pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsr.data.benchmark import find_root, open_set
from qsr.data.image import write_png
from qsr.data.resize import bicubic_upscale
from qsr.leaderboard.plan import Task
from qsr.options import Options
from qsr.options.schema import Mixer, SRResNet, SwinIR

if TYPE_CHECKING:
    from torch import nn

    from qsr.evaluate.subject import Subject

CURVE_POINTS = 200
FULL = 32


@dataclass(frozen=True)
class Gauge:
    """What every row is measured on: sets by name, SET/PICTURE whose output is kept, and where the sets lie."""

    scale: int
    sets: tuple[str, ...]
    pictures: tuple[str, ...]
    data_root: Path | None


def variants(task: Task) -> list[tuple[int | None, bool]]:
    """(depth, self-ensemble) of every line of the table that one trained row gives."""
    depths: Sequence[int | None] = task.row.depths or (None,)
    return [(depth, False) for depth in depths] + ([(depths[0], True)] if task.row.ensemble else [])


def measure(task: Task, gauge: Gauge) -> list[dict[str, Any]]:
    """One entry per variant: scores, costs, layer table, pictures, and the command that measures it again."""
    return [_measure(task, gauge, depth, ensemble) for depth, ensemble in variants(task)]


def _measure(task: Task, gauge: Gauge, depth: int | None, ensemble: bool) -> dict[str, Any]:
    from qsr.archs.modelfile import read_info
    from qsr.evaluate.complexity import complexity
    from qsr.evaluate.run import run_test
    from qsr.evaluate.subject import HowToRun, trained
    from qsr.options import from_json
    from qsr.quant.cadyq import average_bits, reset_average_bits

    subject = trained(task.model, HowToRun(task.options.device, depth=depth, self_ensemble=ensemble))
    network = getattr(subject.upscaler(gauge.scale), "network")  # noqa: B009 (a plain function for bicubic only)
    reset_average_bits(network)
    results = run_test(subject, gauge.sets, data_root=gauge.data_root).results
    info = read_info(task.model)
    options = from_json(info.options)
    cost = complexity(options, "honest", depth)
    suffix = (f"_d{depth}" if depth else "") + ("_x8" if ensemble else "")
    about = {key: results[key] for key in ("label", "method", "w_bits", "a_bits", "notes", "tile", "device", "versions")}
    return {
        "depth": depth,
        "self_ensemble": ensemble,
        "scores": {row["dataset"]: {"psnr_y": row["psnr_y"], "ssim_y": row["ssim_y"]} for row in results["rows"]},
        "set_hashes": {row["dataset"]: row["dataset_hash"] for row in results["rows"]},
        "protocol": results["protocol"],
        **about,
        "backbone": backbone(options, depth),
        "planes": planes(network),
        "average_bits": average_bits(network),
        "params_k": cost.params_k,
        "ops_g": cost.ops_g,
        "bits": round(cost.params_k * 1000 * FULL),
        "counted_on": cost.input,
        "layers": info.layers,
        "pictures": keep_pictures(subject, gauge, task.out, f"pictures/{task.name}{suffix}"),
        "test_command": measuring_command(task, gauge, depth, ensemble),
    }


def keep_pictures(subject: Subject, gauge: Gauge, out: Path, folder: str) -> dict[str, str]:
    """Upscale the chosen pictures once more and write them; SET/PICTURE -> file, relative to `out`."""
    upscaler = subject.upscaler(gauge.scale)
    kept = {}
    for chosen, pair in _chosen(gauge):
        file = f"{folder}/{chosen.replace('/', '_')}.png"
        write_png(out / file, upscaler(pair.lr))
        kept[chosen] = file
    return kept


def baseline(out: Path, gauge: Gauge) -> dict[str, Any]:
    """Bicubic's scores by set, and HR, LR and bicubic of the chosen pictures: {"bicubic": ..., "pictures": ...}."""
    from qsr.evaluate.run import run_test
    from qsr.evaluate.subject import bicubic

    rows = run_test(bicubic((gauge.scale,)), gauge.sets, data_root=gauge.data_root).results["rows"]
    pictures: dict[str, dict[str, str]] = {}
    for chosen, pair in _chosen(gauge):
        for kind, picture in (("hr", pair.hr), ("lr", pair.lr), ("bicubic", bicubic_upscale(pair.lr, gauge.scale))):
            file = f"pictures/{kind}/{chosen.replace('/', '_')}.png"
            write_png(out / file, picture)
            pictures.setdefault(chosen, {})[kind] = file
    return {
        "bicubic": {row["dataset"]: {"psnr_y": row["psnr_y"], "ssim_y": row["ssim_y"]} for row in rows},
        "pictures": pictures,
    }


def _chosen(gauge: Gauge) -> Any:
    for chosen in gauge.pictures:
        name, _, picture = chosen.partition("/")
        if find_root(name, gauge.data_root) is not None:
            opened = open_set(name, gauge.scale, gauge.data_root)
            if picture in opened.images:
                yield chosen, opened.pair(opened.images.index(picture))


def training(folder: Path) -> dict[str, Any]:
    """From an experiment's metrics: loss curve, validations, and seconds spent in iterations over all resumes."""
    import json

    from qsr.report.curves import read_curves

    file = folder / "metrics.jsonl"
    if not file.is_file():
        return {"curve": [], "validation": [], "seconds": None}
    curves = read_curves(file)
    loss = next((points for name, points in curves.losses.items() if name.startswith("l_pix")), [])
    seconds, before = 0.0, 0
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "time" in row:
            seconds += row["time"] * (row["iter"] - before)
            before = row["iter"]
    return {"curve": thin(loss), "validation": next((thin(p) for p in curves.psnr.values()), []), "seconds": round(seconds, 1)}


def thin(points: Sequence[tuple[int, float]], most: int = CURVE_POINTS) -> list[list[float]]:
    """At most `most` of the points, evenly taken, the last one among them."""
    step = -(-len(points) // most) if points else 1
    return [[iteration, value] for iteration, value in reversed(points[::-1][::step])]


def backbone(options: Options, depth: int | None = None) -> str:
    """`SRResNet edsr 8x32`: kind, layout, blocks x features, and the block where it is not the ordinary one."""
    network = options.network_g
    if isinstance(network, SRResNet):
        blocks = depth or (options.depth.dqa.depths[0] if options.depth.dqa else network.num_block)
        own = "" if network.block == "residual" else f", {network.block} blocks"
        return f"SRResNet {network.resolved_layout} {blocks}x{network.num_feat}{own}"
    if isinstance(network, SwinIR):
        stages = depth or (options.depth.dqa.depths[0] if options.depth.dqa else len(network.depths))
        return f"SwinIR {stages}x{network.depths[0]} of {network.embed_dim}"
    if isinstance(network, Mixer):
        own = "" if network.block == "residual" else f", {network.block} blocks"
        return f"Mixer {network.num_block}x{network.num_feat}{own}"
    return network.type


def planes(network: nn.Module) -> int | None:
    """Stored one-bit (or k-bit) tensors per weight: 2 of second-order residual binarization. None: nothing quantized."""
    from qsr.quant.base import Quantizer

    found = [module.planes for name, module in network.named_modules() if _is_weight(name) and isinstance(module, Quantizer)]
    return max(found, default=None)


def _is_weight(name: str) -> bool:
    return name.rpartition(".")[2] == "weight_quant"


def measuring_command(task: Task, gauge: Gauge, depth: int | None, ensemble: bool) -> str:
    import shlex

    words = ["qsr", "test", str(task.model), "--sets", ",".join(gauge.sets)]
    words += ["--data-root", str(gauge.data_root)] if gauge.data_root else []
    words += ["--depth", str(depth)] if depth else []
    words += ["--self-ensemble"] if ensemble else []
    return shlex.join(words)

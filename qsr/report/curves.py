"""Loss and PSNR over the iterations, drawn from an experiment's metrics.jsonl.

Needs matplotlib, which training does not: EnvironmentFault says so where it is missing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from qsr.errors import DataError, EnvironmentFault
from qsr.files import write_atomic

NO_LOSS = ("iter", "lr", "grad_norm", "time", "data_wait")


@dataclass
class Curves:
    """(iteration, value) points: `losses` by term, `psnr` by validation set (dB)."""

    losses: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    psnr: dict[str, list[tuple[int, float]]] = field(default_factory=dict)


def read_curves(file: Path) -> Curves:
    """The points of a metrics.jsonl. Raises DataError naming the line that is no JSON object with an `iter`."""
    if not file.is_file():
        raise DataError("no such file", where=str(file), hint="an experiment writes it while it trains")
    curves = Curves()
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            iteration = int(row["iter"])
        except (ValueError, RecursionError, KeyError, TypeError) as fault:
            raise DataError(f"not a line of metrics: {line[:60]!r}", where=f"{file}:{number}") from fault
        for name, scores in row.get("validation", {}).items():
            curves.psnr.setdefault(name, []).append((iteration, scores["psnr_y"]))
        for name, value in row.items():
            if name not in NO_LOSS and isinstance(value, float):
                curves.losses.setdefault(name, []).append((iteration, value))
    return curves


def write_curves(experiment: Path, target: Path | None = None) -> Path:
    """Draw an experiment folder's curves to `target` (PNG; default: visualization/curves.png in it); returns its path.

    Raises DataError without metrics, EnvironmentFault without matplotlib.
    """
    curves = read_curves(experiment / "metrics.jsonl")
    target = target or experiment / "visualization" / "curves.png"
    write_atomic(target, draw(curves, title=experiment.name))
    return target


def draw(curves: Curves, title: str = "") -> bytes:
    """A PNG with two panels: the losses (logarithmic) and PSNR_Y per set."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as fault:
        raise EnvironmentFault("curves need matplotlib, which is not installed", hint="install matplotlib") from fault
    import io

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display and leaves pyplot's global state alone
    left, right = figure.subplots(1, 2)
    for axis, series, label in ((left, curves.losses, "loss"), (right, curves.psnr, "PSNR_Y [dB]")):
        for name, points in series.items():
            iterations, values = zip(*points)
            axis.plot(iterations, values, label=name, marker="." if len(points) < 50 else None)
        axis.set_xlabel("iteration")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        if series:
            axis.legend()
    if all(value > 0 for points in curves.losses.values() for _, value in points) and curves.losses:
        left.set_yscale("log")
    figure.suptitle(title)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    return out.getvalue()

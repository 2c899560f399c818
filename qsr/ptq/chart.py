"""The bar chart of a sensitivity table. Needs matplotlib (extra `plots`); EnvironmentFault says so where it is missing."""

from __future__ import annotations

import io

from qsr.errors import EnvironmentFault
from qsr.ptq.sensitivity import FULL, Sensitivity

BAR_HEIGHT = 0.16  # inches


def draw(found: Sensitivity) -> bytes:
    """A PNG: for every layer one bar per choice of bits, as long as the PSNR that is lost (dB, logarithmic above 0.01)."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as fault:
        raise EnvironmentFault("the bar chart needs matplotlib", hint="install qsr[plots]") from fault
    choices = sorted({(row.w_bits, row.a_bits) for row in found.rows})
    places = {layer: number for number, layer in enumerate(found.layers)}
    figure = Figure(figsize=(9, 1.5 + BAR_HEIGHT * (len(choices) + 1) * len(places)), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display and leaves pyplot's global state alone
    axis = figure.subplots()
    for number, choice in enumerate(choices):
        rows = [row for row in found.rows if (row.w_bits, row.a_bits) == choice]
        height = 0.8 / len(choices)
        at = [places[row.layer] + (number - (len(choices) - 1) / 2) * height for row in rows]
        axis.barh(at, [max(row.psnr_lost, 0.0) for row in rows], height, label=_label(choice))
    axis.set_yticks(list(places.values()), list(places), fontsize=7)
    axis.set_ylim(len(places) - 0.4, -0.6)
    axis.set_xscale("symlog", linthresh=0.01)
    axis.set_xlabel(f"PSNR_Y lost [dB] when only this layer is quantized ({found.psnr_y:.2f} dB in full precision)")
    axis.grid(axis="x", alpha=0.3)
    axis.legend(loc="best", fontsize=8)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    return out.getvalue()


def _label(choice: tuple[int, int]) -> str:
    """`w4a4`, or `w4` where activations stay in full precision."""
    w_bits, a_bits = choice
    return (f"w{w_bits}" if w_bits != FULL else "") + (f"a{a_bits}" if a_bits != FULL else "")

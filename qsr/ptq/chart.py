"""The bar chart of a sensitivity table. Needs matplotlib (extra `plots`); EnvironmentFault says so where it is missing."""

from __future__ import annotations

import io

from qsr.errors import EnvironmentFault
from qsr.ptq.sensitivity import FULL, Sensitivity

LAYER_HEIGHT, BAR_HEIGHT = 0.12, 0.05  # inches: between layers, and of each bar
MAPS = {"w": "Blues", "a": "Oranges", "wa": "Purples"}  # weights alone, activations alone, both


def draw(found: Sensitivity) -> bytes:
    """A PNG: for every layer one bar per choice of bits, as long as the PSNR that is lost (dB, logarithmic above 0.01)."""
    try:
        from matplotlib import colormaps
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as fault:
        raise EnvironmentFault("the bar chart needs matplotlib", hint="install qsr[plots]") from fault
    choices = sorted(
        {(row.w_bits, row.a_bits) for row in found.rows}, key=lambda bits: (bits[1] != FULL, bits[0] == FULL, bits)
    )
    places = {layer: number for number, layer in enumerate(found.layers)}
    figure = Figure(figsize=(9, 1.5 + (LAYER_HEIGHT + BAR_HEIGHT * len(choices)) * len(places)), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display and leaves pyplot's global state alone
    axis = figure.subplots()
    narrowest = min(min(bits) for bits in choices)
    for number, choice in enumerate(choices):
        shade = colormaps[MAPS[_side(choice)]](max(0.9 - 0.12 * (min(choice) - narrowest), 0.25))
        rows = [row for row in found.rows if (row.w_bits, row.a_bits) == choice]
        height = 0.8 / len(choices)
        at = [places[row.layer] + (number - (len(choices) - 1) / 2) * height for row in rows]
        axis.barh(at, [max(row.psnr_lost, 0.0) for row in rows], height, color=[shade], label=_label(choice))
    axis.set_yticks(list(places.values()), list(places), fontsize=7)
    axis.set_ylim(len(places) - 0.4, -0.6)
    axis.set_xscale("symlog", linthresh=0.01)
    axis.set_xlabel(f"PSNR_Y lost [dB] when only this layer is quantized ({found.psnr_y:.2f} dB in full precision)")
    axis.grid(axis="x", alpha=0.3)
    axis.legend(loc="best", fontsize=8)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    return out.getvalue()


def _side(choice: tuple[int, int]) -> str:
    return ("w" if choice[0] != FULL else "") + ("a" if choice[1] != FULL else "")


def _label(choice: tuple[int, int]) -> str:
    """`w4a4`, or `w4` where activations stay in full precision."""
    w_bits, a_bits = choice
    return (f"w{w_bits}" if w_bits != FULL else "") + (f"a{a_bits}" if a_bits != FULL else "")

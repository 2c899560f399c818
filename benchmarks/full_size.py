"""Networks of the papers' size with random weights, packed: for times and file sizes, where quality does not matter.

    python benchmarks/full_size.py FOLDER [--only quantsr_x4_w2a2 ...]
    qsr bench FOLDER/quantsr_x4_w2a2_w4a4.qsr --against all --per-layer

Files are named OPTIONFILE_TAIL.qsr. Steps come from calibration on smooth noise, so codes are spread as in a trained network.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from qsr import archs, options
from qsr.archs.modelfile import ModelInfo, save_model
from qsr.export.command import Packing, export_packed
from qsr.quant import calibrate

READY = Path(__file__).parent.parent / "options"
# option file, tails: of SRResNet in the MSR layout (146 GMAC at x4 and 320x180), 16 blocks of 64 features, and SwinIR_S
NETWORKS = {
    "fp_x4": ("fp32",),
    "bireal_x4_w1a1": ("fp32", "fp16", "w4a4"),
    "frb_x4_w1a1": ("fp16", "w4a4"),
    "quantsr_x4_w2a2": ("fp32", "int8", "w4a4"),
    "quantsr_x4_w4a4": ("w4a4",),
    "fp_x2": ("fp32",),
    "bireal_x2_w1a1": ("fp32", "w4a4"),
    "quantsr_x2_w2a2": ("fp32", "w4a4"),
    "quantsr_x2_w4a4": ("w4a4",),
    "fp_t_x4": ("fp32",),
    "quantsr_t_x4_w4a4": ("fp32",),
    "frb_t_x4_w1a1": ("fp32",),
}


def model_file(name: str, folder: Path) -> Path:
    """A model file of the option file's network as it starts, calibrated. Layout msr, so that all files are one family."""
    torch.manual_seed(0)
    changed = [] if "_t_" in name else ["network_g.layout=msr"]
    chosen = options.load(READY / f"{name}.yml", [*changed, "depth.dqa=null"]).options
    network = archs.build(chosen)
    archs.quantize(network, chosen)
    smooth = torch.nn.functional.avg_pool2d(torch.rand(4, 3, 54, 54), 7, 1)
    calibrate(network, [(smooth - smooth.min()) / (smooth.max() - smooth.min())])
    path = folder / f"{name}.safetensors"
    save_model(path, network, ModelInfo(options=chosen.to_json()))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", help="option files; left out: all")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for name in asked.only or NETWORKS:
        with tempfile.TemporaryDirectory() as scratch:
            model = model_file(name, Path(scratch))
            for tail in NETWORKS[name]:
                out = asked.folder / f"{name}_{tail}.qsr"
                floats = "fp16" if tail == "fp16" else "fp32"
                made = export_packed(model, out, Packing(tail=tail, floats=floats))
                print(f"{out.name:<36} {made.sizes.file:>10,} bytes", flush=True)


if __name__ == "__main__":
    main()

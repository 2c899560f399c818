"""Freezes the files that this version writes, and the numbers that they give, into tests/compatibility/VERSION/.

    python tests/compatibility/freeze.py [--again]

One tiny network per family and per quantization method, each as a model file and as a packed file; a run stopped in the
middle; what the released models make of one picture. `test_frozen.py` holds every later version to them, so a folder is
written once, when its version is released, and never again (--again: for a version that is not released yet).

The pictures are cut from `chelsea` of scikit-image (CC0) and kept beside the files: nothing but the files themselves is
needed to repeat the numbers.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import qsr
from qsr import archs
from qsr.archs import depth
from qsr.archs.modelfile import ModelInfo, load_model, save_model
from qsr.data.image import read_rgb, write_png
from qsr.data.photos import HELD_OUT, write_photos
from qsr.data.resize import degrade
from qsr.evaluate.metrics import compare
from qsr.evaluate.protocol import default
from qsr.evaluate.upscale import Upscaler
from qsr.export.command import export_packed
from qsr.options import Options, from_dict
from qsr.quant import calibrate
from qsr.runtime import load
from qsr.spec import METHODS
from qsr.train.run import train
from qsr.zoo.index import get, read_index

HERE = Path(__file__).resolve().parent
SIDE = 64  # HR pixels
CUT = (120, 70)  # top left corner of the cut in chelsea: an eye
RUN = "stopped"
STOPPED_AT = 12
FILES = "files.zip"

SMALL = {"type": "SRResNet", "num_feat": 4, "num_block": 2}
ONE_BIT = {"type": "MSRResNet", "num_feat": 4, "num_block": 2, "block": "unit"}
SWIN = {"type": "SwinIR", "depths": [2], "num_heads": [2], "embed_dim": 8, "window_size": 4}
FAMILIES: dict[str, dict[str, Any]] = {
    "fp": {"network_g": SMALL},
    "rlq_w4a4": {"network_g": SMALL, "quant": {"method": "rlq", "w_bits": 4, "a_bits": 4}},
    "lsq_w2a2": {"network_g": SMALL, "quant": {"method": "lsq", "w_bits": 2, "a_bits": 2}},
    "srb_w1a1": {"network_g": ONE_BIT, "quant": {"method": "srb", "w_bits": 1, "a_bits": 1, "start": "balanced"}},
    "dqa": {
        "network_g": {**SMALL, "num_block": 4},
        "quant": {"method": "rlq", "w_bits": 2, "a_bits": 2},
        "depth": {"dqa": {"depths": [4, 2, 1]}},
    },
    "swinir": {"network_g": SWIN, "quant": {"method": "rlq", "w_bits": 4, "a_bits": 4}},
}


def families() -> dict[str, dict[str, Any]]:
    """Name -> sections of options: the families, and every other method with its fewest bits on a network of one block."""
    found = dict(FAMILIES)
    for method in sorted(set(METHODS) - {family.get("quant", {}).get("method") for family in FAMILIES.values()}):
        facts = METHODS[method]
        bits = {"w_bits": facts.w_bits[0], "a_bits": facts.a_bits[0]}
        network = {**(ONE_BIT if bits["w_bits"] == 1 else SMALL), "num_block": 1}
        found[f"method_{method}"] = {"network_g": network, "quant": {"method": method, **bits, "start": "balanced"}}
    return found


def options_of(sections: dict[str, Any]) -> Options:
    return from_dict({"name": "frozen", "scale": 2, **sections})


def trained(options: Options, lr: Tensor, hr: Tensor) -> nn.Module:
    """A network that has learned a little of one picture, first in full precision, then quantized: nothing is at its start."""
    torch.manual_seed(0)
    network = archs.build(options)
    _fit(network, lr, hr, 150, 4e-3)
    archs.quantize(network, options)
    if options.quant is not None:
        calibrate(network, [lr])
    if depth.find_stack(network) is not None:
        depth.freeze_order(network)
    _fit(network, lr, hr, 60, 1e-3)
    return network.eval()


def _fit(network: nn.Module, lr: Tensor, hr: Tensor, steps: int, rate: float) -> None:
    depths = depth.depths(network) if depth.order_frozen(network) else ()
    optimiser = torch.optim.Adam(network.parameters(), rate)
    network.train()
    for step in range(steps):
        if depths:
            depth.set_depth(network, depths[step % len(depths)])
        optimiser.zero_grad()
        nn.functional.l1_loss(network(lr), hr).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()


def as_tensor(picture: np.ndarray) -> Tensor:
    """(h, w, 3) uint8 -> (1, 3, h, w) float32 in [0, 1]."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255


def float_psnr(network: nn.Module, lr: np.ndarray, hr: np.ndarray) -> float:
    """dB of the network's values before they become bytes, all channels: no rounding between it and the weights."""
    with torch.inference_mode():
        error = (network(as_tensor(lr)) - as_tensor(hr)).double()
    return float(-10 * torch.log10(error.square().mean()))


def measured(output: np.ndarray, hr: np.ndarray) -> dict[str, Any]:
    """What is recorded of a picture of bytes."""
    psnr, ssim = compare(output, hr, default(2))
    return {"psnr_y": psnr, "ssim_y": ssim, "sha256": sha256(output.tobytes()).hexdigest()}


def freeze_networks(folder: Path, lr: np.ndarray, hr: np.ndarray) -> dict[str, Any]:
    found = {}
    for name, sections in families().items():
        options = options_of(sections)
        model = folder / f"{name}.safetensors"
        save_model(model, trained(options, as_tensor(lr), as_tensor(hr)), ModelInfo(options.to_json(), iteration=210))
        export_packed(model, folder / f"{name}.qsr")
        packed = load(folder / f"{name}.qsr", threads=1)
        facts: dict[str, Any] = {"depths": list(packed.depths), "torch": {}, "packed": {}}
        for choice in packed.depths or (None,):
            network = load_model(model, depth=choice)[0]
            output = packed.upscale(lr, depth=choice)
            key = "" if choice is None else str(choice)
            facts["torch"][key] = {"float_psnr": float_psnr(network, lr, hr), **measured(Upscaler(network)(lr), hr)}
            facts["packed"][key] = measured(output, hr)
            if name in FAMILIES:
                write_png(folder / f"{name}{key and '_' + key}.png", output)
        found[name] = facts
        print(f"  {name}: {facts['torch']}")
    return found


def freeze_run(folder: Path, picture: Path) -> dict[str, Any]:
    """A run of 6 + 10 iterations through all stages, of which the checkpoint after 12 is kept; the losses of the others."""
    for place in ("train", "val"):
        (folder / "pictures" / place).mkdir(parents=True)
        shutil.copyfile(picture, folder / "pictures" / place / "hr.png")
    here = Path.cwd()
    os.chdir(folder)  # the options then name the pictures by relative paths
    try:
        options = run_options()
        train(options, notify=print)
        rows = [json.loads(line) for line in Path(RUN, "metrics.jsonl").read_text().splitlines()]
        kept = Path(RUN, "checkpoints")
        (kept / "LATEST").write_text(f"{STOPPED_AT:08d}")
        for other in [path for path in kept.iterdir() if path.name not in ("LATEST", f"{STOPPED_AT:08d}")]:
            shutil.rmtree(other)
        for path in [path for path in Path(RUN).iterdir() if path.name != "checkpoints"]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally:
        os.chdir(here)
    shutil.rmtree(folder / "pictures")
    losses = {str(row["iter"]): row["l_pix"] for row in rows if "l_pix" in row and row["iter"] > STOPPED_AT}
    return {"losses": losses}


def run_options() -> Options:
    return from_dict(
        {
            "name": RUN,
            "scale": 2,
            "device": "cpu",
            "datasets": {
                "train": {"dataroot_gt": "pictures/train", "gt_size": 16, "batch_size_per_gpu": 2},
                "val": {"name": "held-out", "dataroot_gt": "pictures/val"},
            },
            "network_g": {"type": "SRResNet", "num_feat": 4, "num_block": 2},
            "quant": {"method": "rlq", "w_bits": 4, "a_bits": 4, "calibration_batches": 2},
            "path": {"experiments_root": "."},
            "train": {"total_iter": 10, "fp_iter": 6, "optim_g": {"lr": 1e-3}, "grad_clip": 1.0, "ema_decay": 0.9},
            "val": {"val_freq": 100, "crops_every": 0},
            "logger": {"print_freq": 1, "save_checkpoint_freq": 4, "use_tb_logger": False, "keep_checkpoints": 4},
        }
    )


def freeze_zoo(lr: np.ndarray) -> dict[str, Any]:
    """Of every released model: the hashes of its two files and of the picture that each makes of `lr`."""
    found = {}
    for model in read_index():
        network = load_model(get(model.name))[0]
        made = Upscaler(network)(lr)
        packed = load(get(model.name, packed=True), threads=1).upscale(lr)
        found[model.name] = {
            "sha256": model.sha256,
            "packed_sha256": model.packed_sha256,
            "mean": float(made.mean()),
            "packed_mean": float(packed.mean()),
            "packed_picture": sha256(packed.tobytes()).hexdigest(),
        }
    return found


def pack(folder: Path, archive: Path) -> None:
    """All files of a folder in one archive: most of them is metadata, which shrinks well."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                out.writestr(zipfile.ZipInfo(str(path.relative_to(folder))), path.read_bytes(), zipfile.ZIP_DEFLATED)


def unpack(version: str, folder: Path) -> Path:
    """The frozen files of a version, in `folder`."""
    with zipfile.ZipFile(HERE / version / FILES) as archive:
        archive.extractall(folder)
    return folder


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    place = HERE / qsr.__version__
    if place.exists() and "--again" not in arguments:
        sys.exit(f"{place} exists: files of a released version stay as they are (--again before the release)")
    with tempfile.TemporaryDirectory() as raw:
        folder = Path(raw, "files")
        _, val = write_photos(Path(raw, "photos"))
        top, left = CUT
        hr = read_rgb(val / HELD_OUT[0])[top : top + SIDE, left : left + SIDE]
        write_png(folder / "hr.png", hr)
        lr = degrade(hr, 2)
        write_png(folder / "lr.png", lr)
        expected = {
            "version": qsr.__version__,
            "networks": freeze_networks(folder, lr, hr),
            "run": freeze_run(folder, folder / "hr.png"),
            "zoo": freeze_zoo(lr),
        }
        place.mkdir(exist_ok=True)
        pack(folder, place / FILES)
    (place / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
    print(f"{place}: {sum(path.stat().st_size for path in place.iterdir()):,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])

"""A leaderboard.json as `qsr leaderboard` writes it, made from code: numbers of realistic size, pictures of scikit-image."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np

from qsr.data.image import read_rgb, write_png
from qsr.data.photos import _shipped_folder
from qsr.data.resize import bicubic_upscale, degrade
from qsr.evaluate.reference import published

SETS = ("Set5", "Set14", "B100")
BICUBIC = {"Set5": (33.67, 0.9302), "Set14": (30.33, 0.8693), "B100": (29.56, 0.8435)}
# label, method, published as, dB above bicubic on Set5 at 4, 2 and 1 bit (None: no such row)
METHODS = (
    ("QuantSR-C", "rlq", "QuantSR-C", (3.02, 2.55, None)),
    ("LSQ+", "lsq_plus", "", (2.96, 2.31, None)),
    ("LSQ", "lsq", "", (2.95, 2.34, None)),
    ("DoReFa", "dorefa", "DoReFa", (2.41, 1.62, 0.4)),
    ("PAMS", "pams", "PAMS", (2.74, 1.21, None)),
    ("CADyQ", "cadyq", "CADyQ", (2.79, None, None)),
    ("FRBC (SRB, order 2)", "srb", "FRBC", (None, None, 1.93)),
    ("ReActNet", "reactnet", "ReActNet", (None, None, 1.64)),
    ("IR-Net", "irnet", "IR-Net", (None, None, 1.41)),
    ("Bi-Real", "bireal", "Bi-Real", (None, None, 1.04)),
    ("BNN", "bnn", "BNN", (None, None, -0.85)),
)
LAYER = {"kind": "Conv2d", "params": 9216, "granularity": "channel", "act_at": "input, before padding", "reason": ""}


def layer_table(method: str, bits: int) -> dict:
    kept = {"w_method": "", "w_bits": 32, "a_method": "", "a_bits": 32, "granularity": "", "act_at": ""}
    low = {"w_method": method, "w_bits": bits, "a_method": method, "a_bits": bits}
    body = [{**LAYER, **low, "module": f"body.{i}.conv{j}"} for i in range(8) for j in (1, 2)]
    head = {**LAYER, **kept, "module": "conv_first", "params": 896, "reason": "first layer"}
    return {"rows": [head, *body, {**head, "module": "conv_last", "reason": "last layer"}], "unused": []}


def seed_json(name: str, seed: int, gain: float, offset: float) -> dict:
    scores = {
        s: {"psnr_y": p + gain * w + offset, "ssim_y": q + 0.01 * gain}
        for (s, (p, q)), w in zip(BICUBIC.items(), (1, 0.6, 0.5))
    }
    steps = range(10, 1501, 10)
    noise = np.random.default_rng(seed)
    curve = [[i, (0.03 - 0.003 * gain) * (1 + 2 * math.exp(-i / 150)) * float(noise.uniform(0.85, 1.15))] for i in steps]
    validation = [[i, scores["Set5"]["psnr_y"] - 1.5 * math.exp(-i / 400)] for i in range(250, 1501, 250)]
    return {
        "seed": seed, "experiment": f"rows/{name}_s{seed}", "status": "done", "why": "", "scores": scores, "iterations": 1500,
        "seconds": 312.5, "code": "0123456789ab", "options_hash": "abcdef012345", "data_hash": "5566778899aa",
        "train_command": f"qsr train -opt options/leaderboard/{name}.yml --set manual_seed={seed}",
        "test_command": f"qsr test rows/{name}_s{seed} --sets Set5,Set14,B100", "curve": curve, "validation": validation,
        "average_bits": None,
    }  # fmt: skip


def row_json(label: str, method: str, paper: str, bits: int, gain: float) -> dict:
    name = f"{method}_w{bits}a{bits}"
    seeds = [seed_json(name, 0, gain, 0.0), seed_json(name, 1, gain, 0.03)]
    mean = {}
    for name_of_set, first in seeds[0]["scores"].items():
        both = (first["psnr_y"], seeds[1]["scores"][name_of_set]["psnr_y"])
        mean[name_of_set] = {"psnr_y": sum(both) / 2, "ssim_y": first["ssim_y"], "psnr_spread": 0.03}
    theirs = {s: vars(found) for s in SETS if paper and (found := published(paper, 2, bits, bits, s))}
    return {
        "row": name, "label": label, "method": method, "group": f"w{bits}a{bits}", "w_bits": bits, "a_bits": bits,
        "planes": 2 if method == "srb" else 1, "backbone": "SRResNet edsr 8x32", "scale": 2, "depth": None, "note": "",
        "approximate": method == "cadyq", "status": "done", "why": "", "seeds": seeds, "mean": mean,
        "published": theirs, "published_as": paper,
        "params_k": 12 + 9.2 * bits + (4 if method == "srb" else 0), "ops_g": 4.1 + 0.9 * bits * bits / 4,
        "bits": 1.5e6, "milliseconds": None, "layers": layer_table(method, bits), "pictures": {},
    }  # fmt: skip


def board_json() -> dict:
    full = {
        **row_json("Full precision", "fp", "SRResNet", 32, 3.3),
        "row": "fp",
        "group": "fp",
        "params_k": 168.0,
        "ops_g": 38.2,
    }
    rows = [full]
    for column, bits in enumerate((4, 2, 1)):
        rows += [
            row_json(label, method, paper, bits, gains[column])
            for label, method, paper, gains in METHODS
            if gains[column] is not None
        ]
    broken = row_json("CADyQ", "cadyq", "CADyQ", 2, 0.0)
    broken.update(status="failed", why="loss became NaN at iteration 312", mean={}, seeds=[], layers=None)
    rows.append({**broken, "params_k": None, "ops_g": None})
    return {
        "format": 1, "name": "small_x2", "scale": 2, "made": "2026-11-24T01:02:03+00:00",
        "protocol": "sr-y-crop2-uint8: uint8 pictures, Y of YCbCr, 2 px cut off", "sets": list(SETS),
        "budget": {"iterations": 1500, "fp_iterations": 3000, "batch": 16, "lq_patch": 24},
        "machine": {"cpu": "an example CPU", "isa": "avx2", "cores": 2},
        "versions": {"qsr": "0.1.0", "torch": "2.13"}, "hours": 4.2,
        "rows": rows, "pictures": {}, "bicubic": {s: {"psnr_y": p, "ssim_y": q} for s, (p, q) in BICUBIC.items()},
    }  # fmt: skip


def add_pictures(data: dict, folder: Path, keys: tuple[str, ...]) -> None:
    """Real pictures; a method's output stands in as a blend of bicubic and truth."""
    for key in keys:
        file = key.replace("/", "_") + ".png"
        hr = read_rgb(_shipped_folder() / f"{key.split('/')[1]}.png")
        hr = cv2.resize(hr, (hr.shape[1] // 4 * 2, hr.shape[0] // 4 * 2), interpolation=cv2.INTER_AREA)
        lr = degrade(hr, 2)
        bicubic = bicubic_upscale(lr, 2)
        for kind, picture in (("hr", hr), ("lr", lr), ("bicubic", bicubic)):
            write_png(folder / "pictures" / kind / file, picture)
        data["pictures"][key] = {kind: f"pictures/{kind}/{file}" for kind in ("hr", "lr", "bicubic")}
        for row in data["rows"]:
            if row["status"] == "done":
                part = (row["mean"]["Set5"]["psnr_y"] - 32) / 8
                ours = np.rint(bicubic + part * (hr.astype(np.float32) - bicubic)).clip(0, 255).astype(np.uint8)
                write_png(folder / "pictures" / row["row"] / file, ours)
                row["pictures"][key] = f"pictures/{row['row']}/{file}"


def write_board(folder: Path, data: dict) -> Path:
    path = folder / "leaderboard.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path

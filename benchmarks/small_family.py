"""Train the small family (8 blocks x 32 features, x2) and print its table: which quantizer holds up at which bits.

Every row is an ordinary experiment made by `qsr train -opt options/small/...`; one that is finished is not
trained again, one that was interrupted resumes. Run it from the repository's root:

    python benchmarks/small_family.py --data FOLDER --seeds 0,1 [--only fp,rlq_w4a4] [--md OUT.md]

FOLDER holds train/BSD400 and benchmark/{Set5,Set14,B100}. Each quantized row starts from the full-precision
row of its seed, so a quantized row has seen fp_iter + its own iterations; `fp_long` is full precision trained
for that same total.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

SETS = ("Set5", "Set14", "B100")

# row -> (option file, extra overrides, the row it starts from)
ROWS: dict[str, tuple[str, tuple[str, ...], str | None]] = {
    "fp": ("fp_x2.yml", (), None),
    "fp_long": ("fp_x2.yml", ("train.total_iter=4500",), None),
    "rlq_w4a4": ("rlq_x2_w4a4.yml", (), "fp"),
    "lsq_w4a4": ("lsq_x2_w4a4.yml", (), "fp"),
    "rlq_w2a2": ("rlq_x2_w2a2.yml", (), "fp"),
    "rlq_k1_w2a2": ("rlq_x2_w2a2.yml", ("quant.k=1",), "fp"),
    "lsq_w2a2": ("lsq_x2_w2a2.yml", (), "fp"),
    "rlq_noshift_w2a2": ("rlq_x2_w2a2.yml", ("quant.shift=false",), "fp"),
    "dqa_w4a4": ("dqa_x2_w4a4.yml", (), "fp"),
    # all weight on one depth: what the supernet's 16-block sub-network is compared with, same start and iterations
    "deep16_w4a4": ("rlq_x2_w4a4.yml", ("depth.dqa.depths=[16,8]", "depth.dqa.weights=[1,0]"), "fp"),
    "t_w4a4": ("quantsr_t_x2_w4a4.yml", (), None),
}


def qsr(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "qsr.cli.main", *arguments], check=True)


def experiment(row: str, seed: int) -> str:
    return f"small_{row}_s{seed}"


def train(row: str, seed: int, data: Path) -> float:
    """Train (or finish) one row; returns the seconds that this call took."""
    file, overrides, start = ROWS[row]
    settings = [
        f"name={experiment(row, seed)}",
        f"manual_seed={seed}",
        f"datasets.train.dataroot_gt={data / 'train' / 'BSD400'}",
        f"datasets.val.dataroot_gt={data / 'benchmark' / 'Set5' / 'HR'}",
        "val.val_freq=1500",
        "val.crops_every=0",
        *overrides,
    ]
    if start:
        settings.append(f"path.pretrain_network_g=experiments/{experiment(start, seed)}")
    began = time.monotonic()
    qsr("train", "-opt", f"options/small/{file}", "--auto_resume", *(part for s in settings for part in ("--set", s)))
    return time.monotonic() - began


def measure(row: str, seed: int, data: Path, depth: int | None = None) -> dict[str, tuple[float, float]]:
    """PSNR_Y and SSIM_Y per set of a trained row."""
    name = experiment(row, seed)
    out = Path("results") / name / f"depth{depth or 0}.json"
    where = ["--sets", ",".join(SETS), "--data-root", str(data / "benchmark"), "--json", str(out)]
    out.parent.mkdir(parents=True, exist_ok=True)
    qsr("test", f"experiments/{name}", *where, *(("--depth", str(depth)) if depth else ()))
    return {r["dataset"]: (r["psnr_y"], r["ssim_y"]) for r in json.loads(out.read_text())["rows"]}


def table(results: dict[str, dict[int, dict[str, tuple[float, float]]]]) -> str:
    """Markdown: one line per row, mean PSNR/SSIM over seeds and, in brackets, each seed's PSNR."""
    lines = ["| row | seeds | " + " | ".join(SETS) + " |", "| --- | --- | " + " | ".join("---" for _ in SETS) + " |"]
    for row, by_seed in results.items():
        cells = []
        for name in SETS:
            psnr = [scores[name][0] for scores in by_seed.values()]
            ssim = statistics.mean(scores[name][1] for scores in by_seed.values())
            each = ", ".join(f"{value:.2f}" for value in psnr)
            cells.append(f"{statistics.mean(psnr):.2f} / {ssim:.4f} ({each})")
        lines.append(f"| {row} | {','.join(map(str, by_seed))} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--only", default=",".join(ROWS))
    parser.add_argument("--depths", default="16,8,4", help="depths measured of a dqa row")
    parser.add_argument("--md", type=Path)
    args = parser.parse_args()
    results: dict[str, dict[int, dict[str, tuple[float, float]]]] = {}
    for seed in map(int, args.seeds.split(",")):
        for row in args.only.split(","):
            seconds = train(row, seed, args.data)
            print(f"{experiment(row, seed)}: {seconds:.0f} s", flush=True)
            depths = [int(d) for d in args.depths.split(",")] if row.startswith("dqa") else [None]
            for depth in depths:
                label = f"{row}@{depth}" if depth else row
                results.setdefault(label, {})[seed] = measure(row, seed, args.data, depth)
            print(table(results), flush=True)
            if args.md:
                args.md.write_text(table(results) + "\n")


if __name__ == "__main__":
    main()

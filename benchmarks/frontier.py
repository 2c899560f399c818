"""Quality against time: every packed model of a folder in our runtime, and the full-precision ones in other engines.

    python benchmarks/frontier.py experiments/zoo -o frontier.json [--data FOLDER] [--size 320x180] [--threads 2]
    qsr report frontier.json

Times are medians of interleaved runs of all models of a scale on one picture; PSNR_Y is that of the packed files through
the runtime, on the sets that the folder has. An 8-bit twin is drawn at the quality of its full-precision network.
"""

from __future__ import annotations

import argparse
import json
import os
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import numpy as np

from qsr.bench import peers, twin
from qsr.bench.measure import interleaved
from qsr.bench.torch_twin import TorchTwin
from qsr.data.image import read_rgb
from qsr.data.resize import degrade, modcrop
from qsr.evaluate.metrics import psnr
from qsr.quantities import picture_size
from qsr.report.frontier import markdown, read_frontier
from qsr.runtime.cpu import cpu_name
from qsr.runtime.model import load
from qsr.runtime.packed.container import read

SETS = ("Set5", "Set14", "B100")


def quality(model, data: Path) -> dict[str, float]:
    """Mean PSNR_Y of each set that is there; pictures cropped to multiples of the scale, LR by the protocol's bicubic."""
    scores = {}
    for name in SETS:
        files = sorted(file for file in (data / name / "HR").glob("*") if file.suffix in (".png", ".jpg"))
        values = []
        for file in files:
            hr = read_rgb(file)
            s = model.scale
            hr = modcrop(hr, s)
            values.append(psnr(model.upscale(degrade(hr, s)), hr, crop=s))
        if values:
            scores[name] = float(np.mean(values))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, help="folder of *.qsr files")
    parser.add_argument("-o", "--out", type=Path, default=Path("frontier.json"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data/benchmark"))
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=60.0, help="per scale")
    asked = parser.parse_args()
    width, height = picture_size(asked.size)
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    x = np.ascontiguousarray((picture.astype(np.float32) / np.float32(255)).transpose(2, 0, 1)[None])
    rows, versions = [], {}
    models = {path: load(path, threads=asked.threads) for path in sorted(asked.models.glob("*.qsr"))}
    scores = {path: quality(model, asked.data) for path, model in models.items()}
    for scale in sorted({model.scale for model in models.values()}):
        here = [path for path, model in models.items() if model.scale == scale]
        with ExitStack() as keep:
            rivals, about = {}, {}
            for path in here:
                bits = sorted({kernel.bits for kernel in models[path].kernels()} - {"float"})
                rivals[path.stem] = lambda path=path: models[path].upscale(picture, tile=None)
                about[path.stem] = {"model": path.stem, "engine": "qsr", "bits": " ".join(bits) or "fp32", "path": path}
            for path in here:
                if about[path.stem]["bits"] != "fp32":
                    continue
                header, tensors = read(path)
                program = header.programs[0]
                twins = {"fp32": twin.fp32(header, tensors, program), "int8": twin.int8(header, tensors, program)}
                for name in peers.wanted("all"):
                    engine = f"{name} {peers.version(name)}"
                    versions[name] = peers.version(name)
                    for precision in peers.PEERS[name].precisions if name in peers.PEERS else ("fp32",):
                        if name == "torch":
                            run = TorchTwin(*twins["fp32"], x, asked.threads, channels_last=True)
                        else:
                            from qsr.export.onnx_graph import to_onnx

                            content = to_onnx(*twins[precision]).SerializeToString()
                            run = peers.PEERS[name].make(content, x, asked.threads, keep)
                        key = f"{path.stem} {engine} {precision}"
                        rivals[key] = run
                        about[key] = {"model": path.stem, "engine": f"{engine} {precision}", "bits": precision, "path": path}
            for key, timing in interleaved(rivals, seconds=asked.seconds).items():
                entry = about[key]
                path = entry.pop("path")
                rows.append(
                    {
                        **entry,
                        "scale": scale,
                        "ms": timing.median,
                        "ms_min": timing.fastest,
                        "bytes": path.stat().st_size if entry["engine"] == "qsr" else None,
                        "psnr": scores[path],
                        "estimated": entry["bits"] == "int8",
                    }
                )
                print(f"{key:<48} {timing.median:8.1f} ms", flush=True)
    about = {"date": date.today().isoformat(), "cpu": cpu_name(), "threads": asked.threads, "size": asked.size, **versions}
    asked.out.write_text(json.dumps({"format": "qsr.frontier/1", "about": about, "rows": rows}, indent=1))
    print(markdown(read_frontier(asked.out)))


if __name__ == "__main__":
    main()

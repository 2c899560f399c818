"""The first five minutes: train a small quantized network on photographs that ship with scikit-image, and look at it.

One option file (`options/demo.yml`) drives it; nothing here knows about bits or layers. Everything is written
below the current folder: the photographs to datasets/photos, the experiment to experiments/demo.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsr.archs.modelfile import load_model
from qsr.data.benchmark import BenchmarkSet, open_folders
from qsr.data.image import write_png
from qsr.data.photos import write_photos
from qsr.data.resize import bicubic_upscale
from qsr.evaluate.benchmark import SetResult, evaluate_set
from qsr.evaluate.protocol import default
from qsr.evaluate.upscale import upscale
from qsr.options import load
from qsr.report.crops import comparison
from qsr.train.run import train

PHOTOS = Path("datasets/photos")


@dataclass(frozen=True)
class DemoResult:
    """What the demo made: the two rows of its table and the files to look at."""

    experiment: Path
    bicubic: SetResult
    ours: SetResult
    picture: Path
    crops: Path

    @property
    def gain(self) -> float:
        """PSNR_Y above bicubic on the held-out photographs, in dB."""
        return self.ours.psnr_y - self.bicubic.psnr_y


def run_demo(option_file: Path, overrides: tuple[str, ...] = (), say: Callable[[str], None] = print) -> DemoResult:
    """Photographs, training, evaluation on the two that were held out, one upscaled picture with zoomed crops.

    An experiment that is finished is not trained again; one that was interrupted is resumed.
    """
    say(f"1/4  photographs that scikit-image ships -> {PHOTOS}")
    write_photos(PHOTOS)
    options = load(option_file, overrides).options
    say(f"2/4  train {options.name}: full precision first, then quantized ({option_file})")
    outcome = train(options, auto_resume=True)

    say("3/4  evaluate on the photographs that were held out")
    held_out = open_folders(options.datasets["val"].dataroot_gt, scale=options.scale, name="held-out photos")
    protocol = default(options.scale)
    network, _ = load_model(outcome.folder)
    ours = evaluate_set(lambda lr: upscale(network, lr), held_out, protocol)
    bicubic = evaluate_set(lambda lr: bicubic_upscale(lr, options.scale), held_out, protocol)

    say("4/4  upscale a held-out picture")
    pair = held_out.pair(0)
    result = upscale(network, pair.lr)
    picture = outcome.folder / "visualization" / f"{pair.name}_x{options.scale}.png"
    crops = outcome.folder / "visualization" / f"{pair.name}_compare.png"
    write_png(picture, result)
    write_png(crops, _strip(held_out, result, options.scale))
    return DemoResult(outcome.folder, bicubic, ours, picture, crops)


def _strip(held_out: BenchmarkSet, result: np.ndarray, scale: int) -> np.ndarray:
    pair = held_out.pair(0)
    return comparison(pair.lr, bicubic_upscale(pair.lr, scale), result, pair.hr, scale=scale)

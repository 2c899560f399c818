"""The first five minutes: train a small quantized network on photographs that ship with scikit-image, and look at it.

One option file (`options/demo.yml`) drives it; nothing here knows about bits or layers. Everything is written
below the current folder: the photographs to datasets/photos, the experiment to experiments/demo.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qsr.archs.modelfile import load_model
from qsr.data.benchmark import open_folders
from qsr.data.image import write_png
from qsr.data.photos import write_photos
from qsr.data.resize import bicubic_upscale
from qsr.evaluate.benchmark import SetResult, evaluate_set
from qsr.evaluate.protocol import default
from qsr.evaluate.upscale import upscale
from qsr.export.command import Exported, Packing, export_packed
from qsr.options import load
from qsr.report.crops import comparison
from qsr.runtime.model import load as load_packed
from qsr.train.run import train

PHOTOS = Path("datasets/photos")


@dataclass(frozen=True)
class DemoResult:
    """What the demo made: the two rows of its table, the packed file and the pictures to look at."""

    experiment: Path
    bicubic: SetResult
    ours: SetResult
    exported: Exported
    picture: Path
    crops: Path

    @property
    def gain(self) -> float:
        """PSNR_Y above bicubic on the held-out photographs, in dB."""
        return self.ours.psnr_y - self.bicubic.psnr_y


def run_demo(option_file: Path, overrides: tuple[str, ...] = (), say: Callable[[str], None] = print) -> DemoResult:
    """Photographs, training, evaluation on the two that were held out, packed export, one upscaled picture.

    An experiment that is finished is not trained again; one that was interrupted is resumed.
    """
    say(f"1/5  photographs that scikit-image ships -> {PHOTOS}")
    write_photos(PHOTOS)
    options = load(option_file, overrides).options
    say(f"2/5  train {options.name}: full precision first, then quantized ({option_file})")
    outcome = train(options, auto_resume=True)

    say("3/5  evaluate on the photographs that were held out")
    held_out = open_folders(options.datasets["val"].dataroot_gt, scale=options.scale, name="held-out photos")
    protocol = default(options.scale)
    network, _ = load_model(outcome.folder)
    ours = evaluate_set(lambda lr: upscale(network, lr), held_out, protocol)
    bicubic = evaluate_set(lambda lr: bicubic_upscale(lr, options.scale), held_out, protocol)

    pair = held_out.pair(0)
    looks = outcome.folder / "visualization"
    small = looks / f"{pair.name}_LR.png"
    write_png(small, pair.lr)
    say("4/5  export the packed file and compare it with the trained network")
    exported = export_packed(outcome.folder, how=Packing(verify=small))
    exported.check()

    say("5/5  upscale a held-out picture from the packed file, without torch")
    result = load_packed(exported.path).upscale(pair.lr)
    picture, crops = looks / f"{pair.name}_x{options.scale}.png", looks / f"{pair.name}_compare.png"
    write_png(picture, result)
    write_png(crops, comparison(pair.lr, bicubic_upscale(pair.lr, options.scale), result, pair.hr, scale=options.scale))
    return DemoResult(outcome.folder, bicubic, ours, exported, picture, crops)

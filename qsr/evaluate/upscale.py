"""From a network and an LR picture to the HR picture: [0, 1] in, clamp, round to uint8, in tiles where it has to be.

Only tiles travel to the device; the whole picture stays in host memory as uint8.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from qsr.errors import DataError, EnvironmentFault, NumericalError, OptionsError
from qsr.evaluate import tiling
from qsr.evaluate.exact import PositionIndependent

log = logging.getLogger(__name__)
TileChoice = int | Literal["auto"] | None


@dataclass
class Upscaler:
    """A network made callable on pictures: (h, w, 3) uint8 -> (scale h, scale w, 3) uint8.

    network: has `scale`; `window` and `receptive_field` where it can be tiled well (qsr.archs).
    tile: LR pixels per side; None never tiles; "auto" tiles what would not fit and halves on out-of-memory.
    self_ensemble: mean of the eight flips and turns, taken before clamping (the papers' `+` rows).
    exact: the same bytes whatever the tile (evaluate/exact.py); None: for convolutional networks on the CPU.
    """

    network: nn.Module
    device: str | torch.device = "cpu"
    tile: TileChoice = "auto"
    self_ensemble: bool = False
    exact: bool | None = None
    tiles_used: set[int | None] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.device = pick_device(str(self.device))
        self.network.to(self.device)
        if isinstance(self.tile, int):
            tiling.check_tile(self.network, self.tile)
        if self.exact is None:
            self.exact = self.device.type == "cpu" and getattr(self.network, "receptive_field", None) is not None

    def __call__(self, lr: np.ndarray) -> np.ndarray:
        """Raises DataError for another shape or dtype, EnvironmentFault without memory, NumericalError for NaN or Inf."""
        if lr.dtype != np.uint8 or lr.ndim != 3 or lr.shape[2] != 3 or not lr.size:
            raise DataError(f"cannot upscale: found {lr.dtype} {lr.shape}, expected uint8 (h, w, 3)")
        was_training = self.network.training
        self.network.eval()
        try:
            with torch.inference_mode(), PositionIndependent() if self.exact else nullcontext():
                return self._in_tiles_that_fit(lr)
        finally:
            self.network.train(was_training)

    def _in_tiles_that_fit(self, lr: np.ndarray) -> np.ndarray:
        height, width = lr.shape[:2]
        auto = self.tile == "auto"
        tile = tiling.auto_tile(self.network, height, width) if self.tile == "auto" else self.tile
        while True:
            try:
                result = self._in_tiles(lr, tile)
            except (MemoryError, RuntimeError) as fault:
                if not tiling.is_out_of_memory(fault):
                    raise
                smaller = tiling.halve(self.network, tile, height, width) if auto else None
                if smaller is None:
                    raise _no_memory(lr, tile, auto) from fault
                log.warning("out of memory at tile %s, going on with tile %d", tile or "none", smaller)
                tile = smaller
            else:
                if tile is not None and auto and tile not in self.tiles_used:
                    log.info("picture of %dx%d upscaled in tiles of %d", width, height, tile)
                self.tiles_used.add(tile)
                return result

    def _in_tiles(self, lr: np.ndarray, tile: int | None) -> np.ndarray:
        scale = self.network.scale
        result = np.empty((lr.shape[0] * scale, lr.shape[1] * scale, 3), np.uint8)
        for part in tiling.plan(lr.shape[0], lr.shape[1], tile, tiling.overlap_of(self.network)):
            output = self._forward(lr[part.read])  # (h, w, 3)
            result[part.outside(scale)] = output[part.inside(scale)]
        return result

    def _forward(self, lr: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.array(lr)).to(self.device)  # a copy: decoded pictures may be read-only
        x = x.permute(2, 0, 1).unsqueeze(0).float() / 255  # (1, 3, h, w)
        y = _ensemble(self.network, x) if self.self_ensemble else self.network(x)
        if not torch.isfinite(y).all():
            raise NumericalError(
                "the network's output holds NaN or Inf", hint="were its weights trained and its quantizers calibrated?"
            )
        y = (y[0].clamp(0, 1) * 255).round().to(torch.uint8)
        return y.permute(1, 2, 0).cpu().numpy()


def upscale(
    network: nn.Module,
    lr_u8: np.ndarray,
    *,
    device: str | torch.device = "cpu",
    tile: TileChoice = "auto",
    self_ensemble: bool = False,
) -> np.ndarray:
    """One picture, (h, w, 3) uint8 -> (scale h, scale w, 3) uint8; see `Upscaler`."""
    return Upscaler(network, device, tile, self_ensemble)(lr_u8)


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU. Raises EnvironmentFault for a device that is absent."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as fault:
        raise OptionsError(f"device is {name!r}, expected auto, cpu, cuda or mps") from fault
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EnvironmentFault("device cuda asked for, but this machine or this torch has none", hint="use --device cpu")
    return device


def _ensemble(network: nn.Module, x: Tensor) -> Tensor:
    """Mean output over the eight symmetries of the square, each turned back; float, not clamped."""
    total: Tensor | None = None
    for flip in (False, True):
        for turns in range(4):
            view = torch.rot90(x.flip(3) if flip else x, turns, (2, 3))
            output = torch.rot90(network(view.contiguous()), -turns, (2, 3))
            output = output.flip(3) if flip else output
            total = output if total is None else total + output
    assert total is not None
    return total / 8


def _no_memory(lr: np.ndarray, tile: int | None, auto: bool) -> EnvironmentFault:
    size = f"{lr.shape[1]}x{lr.shape[0]}"
    hint = "use a smaller network or another device" if auto else "use --tile auto or a smaller tile"
    return EnvironmentFault(f"out of memory for a picture of {size} at tile {tile or 'none'}", hint=hint)

"""Large pictures in tiles: the geometry, the overlap that a network needs, and the size that fits in memory.

A tile of side t gives t x t LR pixels of the result; the network sees `overlap` more on every side, cut off at
the picture's border. Convolutional networks say how far a pixel can depend on others (`receptive_field`): with
that overlap a tile equals the whole picture. Window attention has no such bound; there the tiles start at
multiples of the window, so that every window holds the same pixels as in the whole picture, and the overlap of
four windows makes the seams invisible (docs/protocol.md has the measurement), not exact.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from qsr.errors import OptionsError

SMALLEST = 16  # LR pixels; below that a tile is nearly all overlap
ATTENTION_OVERLAP = 32
BUDGET = 2 * 1024**3  # bytes of activations that one forward may need; fixed, so that results do not vary by machine
PROBE = 32


@dataclass(frozen=True)
class Tile:
    """One tile in LR pixels: rows and columns that the network reads, and those it is responsible for."""

    read: tuple[slice, slice]
    keep: tuple[slice, slice]

    def inside(self, scale: int) -> tuple[slice, slice]:
        """Where the kept pixels lie in the network's output for this tile."""
        rows, columns = (
            slice((keep.start - read.start) * scale, (keep.stop - read.start) * scale)
            for keep, read in zip(self.keep, self.read)
        )
        return rows, columns

    def outside(self, scale: int) -> tuple[slice, slice]:
        """Where they lie in the whole result."""
        rows, columns = (slice(keep.start * scale, keep.stop * scale) for keep in self.keep)
        return rows, columns


def plan(height: int, width: int, tile: int | None, overlap: int) -> Iterator[Tile]:
    """The tiles of a picture, row by row; one tile for the whole picture where `tile` is None.

    >>> [t.read[1] for t in plan(10, 10, 6, 2)][:2]
    [slice(0, 8, None), slice(4, 10, None)]
    """
    tile = tile or max(height, width)
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            keep = (slice(top, min(top + tile, height)), slice(left, min(left + tile, width)))
            yield Tile(keep=keep, read=(_widen(keep[0], overlap, height), _widen(keep[1], overlap, width)))


def _widen(keep: slice, overlap: int, side: int) -> slice:
    return slice(max(0, keep.start - overlap), min(side, keep.stop + overlap))


def overlap_of(network: nn.Module) -> int:
    """LR pixels around a tile: the receptive field, or whole windows for attention (at least ATTENTION_OVERLAP)."""
    field = getattr(network, "receptive_field", None)
    return field if field is not None else _up(ATTENTION_OVERLAP, window_of(network))


def window_of(network: nn.Module) -> int:
    return getattr(network, "window", 1)


def check_tile(network: nn.Module, tile: int) -> None:
    """Refuse a tile that this network cannot use as it stands: it is never rounded behind the user's back."""
    window = window_of(network)
    if tile < 1 or tile % window:
        nearest = max(window, _up(tile, window))
        raise OptionsError(
            f"tile is {tile}, expected a positive multiple of {window} for this network", hint=f"--tile {nearest}"
        )


def auto_tile(network: nn.Module, height: int, width: int, budget: int | None = None) -> int | None:
    """None (whole picture) where its activations fit the budget, else the largest tile that does."""
    per_pixel = bytes_per_pixel(network)
    budget = min(BUDGET, available_memory(next(network.parameters()).device) // 2) if budget is None else budget
    if height * width * per_pixel <= budget:
        return None
    step = max(SMALLEST, window_of(network))
    side = int((budget / per_pixel) ** 0.5) - 2 * overlap_of(network)
    return max(step, side // step * step)


def halve(network: nn.Module, tile: int | None, height: int, width: int) -> int | None:
    """The next smaller tile after `tile` ran out of memory, or None where there is none left."""
    window = window_of(network)
    smaller = _up((tile or max(height, width)) // 2, window)
    return smaller if smaller >= SMALLEST and smaller != tile else None


_measured: weakref.WeakKeyDictionary[nn.Module, float] = weakref.WeakKeyDictionary()


def bytes_per_pixel(network: nn.Module) -> float:
    """Bytes of activations per LR pixel, measured on a small forward: three times the largest layer's input and output.

    Three, because residual sums keep an older tensor alive and convolution libraries reorder into buffers of their own.
    """
    if network not in _measured:
        largest = 0

        def note(module: nn.Module, inputs: tuple, output: object) -> None:
            nonlocal largest
            sizes = (t.numel() * t.element_size() for t in (*inputs, output) if isinstance(t, Tensor))
            largest = max(largest, sum(sizes))

        leaves = [module for module in network.modules() if not any(module.children())]
        hooks = [leaf.register_forward_hook(note) for leaf in leaves]
        try:
            with torch.inference_mode():
                network(torch.zeros(1, 3, PROBE, PROBE, device=next(network.parameters()).device))
        finally:
            for hook in hooks:
                hook.remove()
        _measured[network] = 3 * largest / PROBE**2
    return _measured[network]


def available_memory(device: torch.device) -> int:
    """Bytes that can be allocated now without swapping."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    facts = Path("/proc/meminfo")
    if not facts.exists():
        return 2 * BUDGET
    fields = dict(line.split(":", 1) for line in facts.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def is_out_of_memory(fault: BaseException) -> bool:
    """True for the three ways in which torch and Python say that memory is short."""
    return isinstance(fault, torch.OutOfMemoryError | MemoryError) or (
        isinstance(fault, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(fault)
    )


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple

"""Windows of a feature map (N, h, w, c), as tensor operations on run-time shapes.

Nothing here turns a size into a Python constant, so an exported graph takes any image size
(sizes baked into the graph are the known trouble with exported SwinIR networks).
"""

from __future__ import annotations

import torch
from torch import Tensor

MASKED = -100.0  # added to the logit of two pixels that are no neighbours in the picture; the value of the original SwinIR


def reflected(size: int, multiple: int, device: torch.device) -> Tensor:
    """Indices (int64) that continue an axis of `size` by reflection up to the next multiple of `multiple`.

    The reflection repeats as often as needed, so axes shorter than the padding (down to 1) work as well.

    >>> reflected(3, 8, torch.device("cpu")).tolist()
    [0, 1, 2, 1, 0, 1, 2, 1]
    """
    period = max(2 * (size - 1), 1)
    index = torch.arange((size + multiple - 1) // multiple * multiple, device=device) % period
    return torch.minimum(index, period - index) if size > 1 else index


def pad_to_windows(image: Tensor, window: int) -> Tensor:
    """(N, c, h, w) -> (N, c, H, W), bottom and right continued by reflection to multiples of `window`."""
    height, width = image.shape[-2:]
    # gathered even where nothing is missing: a branch on the size would be baked into an exported graph
    tall = image.index_select(-2, reflected(height, window, image.device))
    return tall.index_select(-1, reflected(width, window, image.device))


def crop(image: Tensor, height: int, width: int) -> Tensor:
    """(N, c, H, W) -> (N, c, height, width), the upper left part.

    Gathered: a slice is a view with strides of its own, and export would tie the graph to sizes where it really cuts.
    """
    top = image.index_select(-2, torch.arange(height, device=image.device))
    return top.index_select(-1, torch.arange(width, device=image.device))


def partition(x: Tensor, window: int) -> Tensor:
    """(N, h, w, c) -> (N * h/window * w/window, window * window, c); windows of one image in row-major order."""
    n, h, w, c = x.shape
    grid = x.reshape(n, h // window, window, w // window, window, c)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(-1, window * window, c)


def merge(windows: Tensor, window: int, height: int, width: int) -> Tensor:
    """Inverse of `partition`: (N * windows, window * window, c) -> (N, height, width, c)."""
    grid = windows.reshape(-1, height // window, width // window, window, window, windows.shape[-1])
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, windows.shape[-1])


def shift_mask(height: int, width: int, window: int, shift: int, like: Tensor) -> Tensor:
    """(windows, window^2, window^2), dtype and device of `like`: 0, or MASKED between pixels of different regions.

    After the cyclic shift a border window holds pixels from opposite sides of the picture. Along one axis the regions
    begin at size - window and size - shift.
    """

    def region(size: int) -> Tensor:
        position = torch.arange(size, device=like.device)
        return (position >= size - window).to(torch.int64) + (position >= size - shift).to(torch.int64)

    regions = 3 * region(height)[:, None] + region(width)[None, :]
    numbers = partition(regions[None, :, :, None], window).squeeze(-1)  # (windows, window^2)
    different = numbers[:, :, None] != numbers[:, None, :]
    return different.to(like.dtype) * MASKED


def relative_positions(window: int) -> Tensor:
    """(window^2 * window^2,) int64: row of the bias table for each pair of pixels of one window, row-major."""
    axis = torch.arange(window)
    offset = axis[:, None] - axis[None, :] + window - 1  # (window, window): how far apart along one axis, from 0
    pairs = offset[:, None, :, None] * (2 * window - 1) + offset[None, :, None, :]  # (row i, column i, row j, column j)
    return pairs.reshape(-1)

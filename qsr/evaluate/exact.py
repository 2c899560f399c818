"""Convolutions whose result at a pixel does not depend on where the pixel lies in the tensor.

Float convolution libraries choose the order of additions by the shape of the whole tensor: the same pixel,
computed inside a tile and inside the full image, differs in the last bit. In front of a quantizer that bit can
move an activation by a whole step. Under `PositionIndependent` every stride-1 convolution runs on blocks of one
fixed shape, so the library picks one order of additions for all of them, and a tile equals the whole image bit
for bit. It costs 1.3 to 2 times the time of the convolutions (docs/protocol.md has the measurement).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

# Output pixels per side of a block: smaller ones pay for their halo, larger ones for padding small pictures up.
BLOCK = 48


class PositionIndependent(TorchFunctionMode):
    """Context: convolutions by fixed blocks; bilinear and bicubic interpolation with float64 coordinates."""

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.conv2d:
            return _conv2d(*args, **kwargs)
        if func is F.interpolate:
            # float32 source coordinates round differently at every absolute position
            image, *rest = args
            return func(image.double(), *rest, **kwargs).to(image.dtype)
        return func(*args, **kwargs)


def _conv2d(
    x: Tensor,  # (n, ci, h, w)
    weight: Tensor,  # (co, ci / groups, kh, kw)
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """`F.conv2d` by blocks; strided and dilated convolutions (none in the networks here) go to the library as they are."""
    if _pair(stride) != (1, 1) or _pair(dilation) != (1, 1) or x.dim() != 4:
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    kh, kw = weight.shape[2:]
    top, left, bottom, right = _margins(padding, kh, kw)
    out_h, out_w = x.shape[2] + top + bottom - kh + 1, x.shape[3] + left + right - kw + 1
    rows, columns = range(0, out_h, BLOCK), range(0, out_w, BLOCK)
    spare_h, spare_w = len(rows) * BLOCK - out_h, len(columns) * BLOCK - out_w
    padded = F.pad(x, (left, right + spare_w, top, bottom + spare_h))
    # channels_last kernels are not the same for every position, contiguous ones are (tests/evaluate/test_exact.py)
    weight = weight.contiguous()
    out = x.new_empty(x.shape[0], weight.shape[0], out_h + spare_h, out_w + spare_w)
    for n in range(x.shape[0]):
        for r in rows:
            for c in columns:
                block = padded[n : n + 1, :, r : r + BLOCK + kh - 1, c : c + BLOCK + kw - 1]
                block = block.contiguous(memory_format=torch.contiguous_format)
                out[n : n + 1, :, r : r + BLOCK, c : c + BLOCK] = F.conv2d(block, weight, bias, groups=groups)
    return out[:, :, :out_h, :out_w]


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, *rest = value
    return first, rest[0] if rest else first


def _margins(padding: int | str | Sequence[int], kh: int, kw: int) -> tuple[int, int, int, int]:
    """Rows and columns of zeros (top, left, bottom, right)."""
    if padding == "valid":
        return 0, 0, 0, 0
    if padding == "same":  # as torch: the odd one goes to the bottom and the right
        return (kh - 1) // 2, (kw - 1) // 2, kh - 1 - (kh - 1) // 2, kw - 1 - (kw - 1) // 2
    vertical, horizontal = _pair(padding)  # type: ignore[arg-type]
    return vertical, horizontal, vertical, horizontal

"""HR/LR pairs: shipped LR pictures, or LR made from HR by MATLAB-exact bicubic.

One rule for benchmarks and training: HR is cut to a multiple of the scale (below and at the right), and LR must then
be exactly `scale` times smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qsr.data.resize import degrade, modcrop
from qsr.data.store import Store
from qsr.errors import DataError


@dataclass(frozen=True, slots=True)
class Pair:
    """lr (h, w, 3) and hr (scale h, scale w, 3), both uint8 RGB."""

    name: str
    lr: np.ndarray
    hr: np.ndarray


class Pairs:
    """Aligned stores: picture i of `lq` belongs to picture i of `gt`; without `lq` it is made from HR when read."""

    def __init__(self, gt: Store, lq: Store | None, scale: int) -> None:
        self.gt = gt
        self.lq = lq
        self.scale = scale
        self.names = gt.names

    def __len__(self) -> int:
        return len(self.names)

    def read(self, i: int, lr: np.ndarray | None = None) -> Pair:
        """Pair i; an `lr` that the caller still has spares making it. Raises DataError naming both files."""
        hr = modcrop(self.gt.read(i), self.scale)
        if 0 in hr.shape:
            raise DataError(f"smaller than the scale {self.scale}", where=self.gt.where(i))
        if lr is None and self.lq is not None:
            lr = self.lq.read(i)
            self._check_sizes(i, hr.shape[:2], lr.shape[:2])
        if lr is None:
            lr = degrade(hr, self.scale)
        return Pair(self.names[i], lr, hr)

    def check_headers(self, i: int, smallest_gt: int) -> int:
        """Check pair i from file headers alone: the sizes agree and HR holds a patch of `smallest_gt`.

        Returns the bytes that the decoded pair takes. Raises DataError naming the file.
        """
        height, width = (side - side % self.scale for side in self.gt.size(i))
        if min(height, width) < smallest_gt:
            raise DataError(
                f"{height}x{width} pixels cannot hold a patch of gt_size {smallest_gt}",
                where=self.gt.where(i),
                hint="remove the picture or lower gt_size",
            )
        if self.lq is not None:
            self._check_sizes(i, (height, width), self.lq.size(i))
        return 3 * height * width + 3 * (height // self.scale) * (width // self.scale)

    def _check_sizes(self, i: int, gt: tuple[int, int], lq: tuple[int, int]) -> None:
        wanted = (gt[0] // self.scale, gt[1] // self.scale)
        if tuple(lq) == wanted or self.lq is None:
            return
        raise DataError(
            f"LR is {lq[0]}x{lq[1]}, but its HR {self.gt.where(i)} of {gt[0]}x{gt[1]} asks for {wanted[0]}x{wanted[1]}"
            f" at x{self.scale}",
            where=self.lq.where(i),
            hint="wrong scale or wrong pair",
        )

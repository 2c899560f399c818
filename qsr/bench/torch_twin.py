"""The full-precision twin in PyTorch, eager: every researcher's baseline. Convolutional networks only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.errors import OptionsError
from qsr.runtime.packed.ops import (
    Add,
    Affine,
    Average,
    Bilinear,
    Conv,
    Depthwise,
    FloatWeight,
    Image,
    PackedHeader,
    PReLU,
    Repeat,
    Shuffle,
)


class TorchTwin:
    """Callable: one run on x, (1, 3, h, w) float32, in channels_last where asked, on `threads` threads.

    Raises OptionsError for operations that are not of a convolutional network.
    """

    def __init__(
        self, header: PackedHeader, tensors: dict[str, NDArray[Any]], x: NDArray[np.float32], threads: int, channels_last: bool
    ) -> None:
        import torch

        self._torch = torch
        self._threads = threads
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._ops = header.programs[0].ops
        for op in self._ops:
            if not isinstance(op, Image | Add | Affine | Average | Bilinear | Conv | Depthwise | PReLU | Repeat | Shuffle):
                raise OptionsError(f"the torch twin has no {op.op!r}", hint="choose another engine for this network")
        self._x = torch.from_numpy(x).contiguous(memory_format=self._format)
        self._tensors = {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}

    def __call__(self) -> NDArray[Any]:
        torch = self._torch
        torch.set_num_threads(self._threads)
        values: list[Any] = []
        with torch.inference_mode():
            for op in self._ops:
                values.append(self._run(op, [values[one] for one in getattr(op, "inputs", ())]))
        result: NDArray[Any] = values[-1].numpy()
        return result

    def _run(self, op: Any, x: list[Any]) -> Any:
        functional = self._torch.nn.functional
        if isinstance(op, Image):
            return self._x
        if isinstance(op, Add):
            return x[0] + x[1]
        if isinstance(op, Affine):
            return x[0] * self._channels(op.scale) + self._channels(op.offset)
        if isinstance(op, Bilinear):
            return functional.interpolate(x[0], scale_factor=float(op.factor), mode="bilinear", align_corners=False)
        if isinstance(op, Shuffle):
            return functional.pixel_shuffle(x[0], op.factor)
        if isinstance(op, PReLU):
            slope = self._tensors[op.slope] if isinstance(op.slope, str) else None
            y = x[0] if op.before == 0.0 else x[0] + self._channels(op.before)
            y = functional.leaky_relu(y, op.slope) if slope is None else functional.prelu(y, slope)  # type: ignore[arg-type]
            return y if op.after == 0.0 else y + self._channels(op.after)
        if isinstance(op, Repeat):
            return x[0].repeat(1, op.factor, 1, 1)
        if isinstance(op, Average):
            return x[0].unflatten(1, (op.factor, -1)).mean(1)
        assert isinstance(op, Conv | Depthwise)
        assert isinstance(op.weight, FloatWeight)
        outputs, groups = (op.c_out, 1) if isinstance(op, Conv) else (op.channels, op.channels)
        bias = self._tensors[op.bias] if isinstance(op.bias, str) else self._torch.full((outputs,), op.bias)
        weight = self._tensors[op.weight.tensor].view(outputs, -1, *op.kernel)
        return functional.conv2d(x[0], weight, bias, padding=(op.kernel[0] // 2, op.kernel[1] // 2), groups=groups)

    def _channels(self, value: float | str) -> Any:
        return self._tensors[value].view(-1, 1, 1) if isinstance(value, str) else value

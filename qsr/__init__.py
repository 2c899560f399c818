"""qsr: quantized super-resolution, from an option file to a small, fast model.

Names are loaded when first used: importing qsr loads neither torch nor cv2.

>>> import qsr
>>> qsr.RLQ(w_bits=2, a_bits=2).weight.bits
2
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "quantize_": "qsr.quant",
    "calibrate": "qsr.quant",
    "LayerReport": "qsr.quant",
    "rules": "qsr.quant.presets",
    "RLQ": "qsr.quant.presets",
    "LSQ": "qsr.quant.presets",
    "QuantSpec": "qsr.spec",
    "QuantRule": "qsr.spec",
    "QsrError": "qsr.errors",
}
__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'qsr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""Floor 3: backbones, the depth-dynamic architecture, and building, filling, saving a network.

From options to a running network: `build` -> `start_from` (first weights) -> `quantize`; `modelfile` saves and loads
it, `depth` chooses a sub-network. Adding a backbone: its file, a section in options/schema.py, a line in build.py.
"""

from __future__ import annotations

from qsr.archs.balance import balance
from qsr.archs.build import base_options, build, build_base, quantize
from qsr.archs.features import block_outputs, body_output
from qsr.archs.rules import quant_rules
from qsr.archs.start import start_from

__all__ = [
    "balance",
    "base_options",
    "block_outputs",
    "body_output",
    "build",
    "build_base",
    "quant_rules",
    "quantize",
    "start_from",
]

"""Floor 5: quantization without training, and how many bits each layer deserves.

`run.ptq` turns a full-precision model into a quantized one from a folder of pictures; `sensitivity.measure` says what each
layer loses at which bits, and `allocate.allocate` chooses bits under a budget from that. See docs/ptq.md.
"""

from __future__ import annotations

from qsr.ptq.allocate import Allocation, Budget, allocate
from qsr.ptq.run import Ptq, ptq
from qsr.ptq.sensitivity import Sensitivity, measure

__all__ = ["Allocation", "Budget", "Ptq", "Sensitivity", "allocate", "measure", "ptq"]

"""Floor 4: from a trained network to the packed file, and back to prove it. The file is described in docs/format.md."""

from __future__ import annotations

from qsr.export.packed import pack, write_packed
from qsr.export.unpack import PackedModel, read_packed, to_network
from qsr.export.verify import VerifyReport, verify

__all__ = ["PackedModel", "VerifyReport", "pack", "read_packed", "to_network", "verify", "write_packed"]

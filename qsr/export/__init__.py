"""Floor 4: from a trained network to the packed file, and the proof that it is the same. docs/export.md, docs/format.md."""

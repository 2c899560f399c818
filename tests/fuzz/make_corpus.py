"""Writes tests/fuzz/corpus: where the engine's fuzzing begins. A few dozen bytes make a whole network (engine_network.h).

    python tests/fuzz/make_corpus.py

Random inputs of fixed seeds, and what fuzzing once found, each by the name of what it broke.
"""

from __future__ import annotations

import random
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "corpus"
COUNT = 40
FOUND = {
    "scales_of_no_vector": b"\xff" * 8,  # a Swin layer read the scales of a quantizer that has none
    "slots": bytes.fromhex("bf00a741ad00f200010000081200000000ad"),  # a run's numbers, as many as the network says: 8 GB
}


def corpus() -> dict[str, bytes]:
    """Name -> content."""
    made = {f"found_{name}": data for name, data in FOUND.items()}
    for number in range(COUNT):
        r = random.Random(number)
        made[f"seed_{number:02}"] = r.randbytes(r.choice((8, 24, 64, 160, 400)))
    return made


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, data in corpus().items():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()

"""The small released networks as test pieces: they give the bytes they once gave, and damaged ones are refused.

The expected bytes are in released.json. Whoever releases a network again under the same name calls `write` here, once the
tests of the runtime have passed; tests/doctor/test_released.py says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qsr.doctor.check import Finding, fail, ok, skip, warn
from qsr.doctor.kernels import OTHER_KERNELS
from qsr.surroundings import variable

if TYPE_CHECKING:
    import numpy as np

FILE = Path(__file__).with_name("released.json")
NAMES = ("onebit_x2_w1a1", "quantsr_x2_w2a2", "quantsr_x2_w4a4")
AGAIN = "pip install --force-reinstall qsr, or restore experiments/zoo of the clone"


def picture() -> np.ndarray:
    """(20, 24, 3) uint8 from an integer formula: soft waves, an edge, and some texture."""
    import numpy as np

    rows, columns, channels = np.indices((20, 24, 3))
    soft = 60 + 6 * rows + 3 * columns - (rows - 10) * (columns - 12) // 4 + 15 * channels
    texture = (rows * 7 + columns * 13) % 5 * 8
    return np.clip(np.where(columns > rows + 6, soft // 2 + texture, soft - texture), 0, 255).astype(np.uint8)


def check_released() -> Finding:
    """Equal bytes; the runtime's promise is 99.9 % of them equal and none off by more than 1, across all ways to compute."""
    import numpy as np

    from qsr.data.golden_resize import decoded

    stored, ways, off = json.loads(FILE.read_text(encoding="utf-8")), 0, 0
    strangers = []
    for name in NAMES:
        path, digest = _path(name)
        if digest != stored[name]["sha256"]:
            strangers.append(name)
            continue
        wanted = decoded(stored[name])
        for way, found in outputs(path):
            if found.shape != wanted.shape:
                return fail(f"{name} by {way}: a picture of {found.shape}, expected {wanted.shape}", OTHER_KERNELS)
            distance = np.abs(found.astype(int) - wanted)
            differ = int((distance > 0).sum())
            if distance.max() > 1 or differ > distance.size // 1000:
                how = f"{differ} of {distance.size} bytes differ, by {distance.max()} at most"
                return fail(f"{name} by {way}: {how}", OTHER_KERNELS)
            ways, off = ways + 1, off + differ
    if strangers:
        return warn(f"{', '.join(strangers)}: another release than this version of qsr knows", "upgrade qsr")
    rest = f", but for {off} that are off by 1" if off else ""
    return ok(f"{len(NAMES)} networks, {ways} runs: the expected bytes{rest}")


def _path(name: str) -> tuple[Path, str]:
    """The packed file of a released network, its hash compared with the index's; and that hash."""
    from qsr.errors import FormatError
    from qsr.zoo.index import find, get

    try:
        return get(name, packed=True), find(name).packed_sha256
    except FormatError as fault:
        raise FormatError(fault.message, where=fault.where, hint=AGAIN) from fault


def outputs(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """(way to compute, (h, w, 3) uint8): the compiled engine with each instruction set; the interpreter where there is none."""
    from qsr.runtime.model import load

    try:
        from qsr import _kernels
        from qsr.runtime.engine import ISAS, VARIABLE
    except ImportError:
        yield "the interpreter", load(path).upscale(picture())
        return
    for isa in ISAS:
        if _kernels.isa_supported()[isa]:
            with variable(VARIABLE, isa):
                yield isa, load(path).upscale(picture())


def write(path: Path = FILE) -> None:
    """Store what the networks of the zoo give here, by the best instruction set."""
    from qsr.data.golden_resize import encoded

    entries = {}
    for name in NAMES:
        file, digest = _path(name)
        entries[name] = {"sha256": digest, **encoded([found for _, found in outputs(file)][-1])}
    path.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


# --- damaged files --------------------------------------------------------------------------------------------------------
def check_refusals() -> Finding:
    """A released file, damaged in a dozen ways: the loader has to refuse each, and has to take the whole one."""
    from qsr.errors import EnvironmentFault, FormatError
    from qsr.runtime.packed.container import from_bytes

    try:
        content = _path(NAMES[0])[0].read_bytes()
    except EnvironmentFault as fault:  # no zoo at all
        return skip(fault.message, AGAIN)
    from_bytes(content)  # raises where it is refused
    damaged = list(damages(content))
    for how, altered in damaged:
        try:
            from_bytes(altered)
        except FormatError:
            continue
        return fail(f"a packed file {how} is accepted", "load no files of strangers; reinstall qsr and safetensors")
    return ok(f"{len(damaged)} damaged packed files are refused, the whole one is accepted")


def damages(content: bytes) -> Iterator[tuple[str, bytes]]:
    """(how, file): in the container, in the header's text, in the numbers."""
    import numpy as np

    length = int.from_bytes(content[:8], "little")
    for share in (0.001, 0.05, 0.5, 0.999):
        yield f"cut to {share:.1%}", content[: int(len(content) * share)]
    yield "with 64 bytes behind its end", content + bytes(64)
    yield "with a longer header than it has", (length + 8).to_bytes(8, "little") + content[8:]
    yield "with a header of 2^62 bytes", (1 << 62).to_bytes(8, "little") + content[8:]
    yield "of an unknown version", _replaced(content, b"qsr.packed/", b"qsr.pocked/")
    yield "with an unknown operation", _replaced(content, b'\\"prelu\\"', b'\\"prolu\\"')
    yield "with an unknown key", _replaced(content, b'\\"c_out\\"', b'\\"c_aut\\"')
    yield "with another number of channels", _replaced(content, b'\\"c_in\\":32', b'\\"c_in\\":31')
    yield "with overlapping tensors", _replaced(content, b'"data_offsets":[0,', b'"data_offsets":[4,')
    numbers = bytearray(content)
    at = _first_float(content)
    numbers[at : at + 4] = np.float32("nan").tobytes()
    yield "with a number that is none", bytes(numbers)


def _replaced(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content, f"the test piece has no {old!r}"
    return content.replace(old, new, 1)


def _first_float(content: bytes) -> int:
    """Where the numbers of the first float32 tensor begin."""
    length = int.from_bytes(content[:8], "little")
    table = json.loads(content[8 : 8 + length])
    return 8 + length + min(entry["data_offsets"][0] for entry in table.values() if entry.get("dtype") == "F32")

"""Coverage-guided fuzzing of what reads files of strangers, for `make fuzz` (atheris; libFuzzer's own options go through):

    python tests/fuzz/atheris_target.py packed|options|picture -max_total_time=60 build/fuzz/packed

Half of the mutations are libFuzzer's, half are the ones of this folder, which know what they damage. An input that breaks a
promise is left as crash-*, slow-unit-* or oom-* where -artifact_prefix says; the same command with that file as its last
argument runs it again.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import atheris

with atheris.instrument_imports(include=["qsr"]):
    from qsr.errors import DataError, FormatError, OptionsError

Target = tuple[Callable[[bytes], None], Callable[[random.Random, bytes], bytes], list[bytes]]
MOST_BYTES = 1 << 20


def one_line(text: str) -> None:
    expect(text.isprintable() and len(text) < 600, ascii(text[:600]))


def expect(condition: bool, why: str) -> None:
    """Ends the fuzzing, with the input kept, where a promise is broken."""
    if not condition:
        raise AssertionError(why)


def packed() -> Target:
    """The loader, the second opinion, and one small picture through what is accepted."""
    with atheris.instrument_imports(include=["qsr"]):
        from qsr.runtime.interpreter import Interpreter
        from qsr.runtime.packed.container import from_bytes
    import numpy as np

    from tests.fuzz.packed_checker import refused
    from tests.fuzz.packed_mutate import damage, seeds

    def run(data: bytes) -> None:
        try:
            header, tensors = from_bytes(data, "net.qsr")
        except FormatError as fault:
            one_line(str(fault))
            expect(refused(data) is not None, f"the checker accepts it; the loader says: {fault}")
            return
        expect(refused(data) is None, f"accepted, but {refused(data)}")
        if header.window <= 8:
            for program in header.programs:
                Interpreter(header, tensors, program).run(np.zeros((header.window, header.window, 3), np.uint8), True)

    return run, lambda r, data: damage(r, data)[0], list(seeds())


def options() -> Target:
    with atheris.instrument_imports(include=["qsr"]):
        from qsr.options import load
        from qsr.options.show import show
    from tests.fuzz.options_mutate import damage, good

    file = Path(tempfile.mkdtemp()) / "net.yml"

    def run(data: bytes) -> None:
        file.write_bytes(data)
        try:
            show(load(file))
        except OptionsError as fault:
            expect(all(line.isprintable() for line in str(fault).splitlines()), ascii(str(fault)))
            expect(str(file) in str(fault), str(fault))

    def changed(r: random.Random, data: bytes) -> bytes:
        return damage(r, data.decode("utf-8", "replace")).encode("utf-8", "surrogatepass")

    return run, changed, [text.encode() for text in good()]


def picture() -> Target:
    with atheris.instrument_imports(include=["qsr", "PIL"]):
        from qsr.upscale.picture import from_bytes
    from tests.fuzz.picture_mutate import FORMS, damage, good

    def run(data: bytes) -> None:
        try:
            from_bytes(data, "a.png", 1 << 20)
        except DataError as fault:
            one_line(str(fault))

    return run, lambda r, data: damage(r, data, "PNG" if data[1:4] == b"PNG" else "any"), [good(form) for form in FORMS]


TARGETS = {"packed": packed, "options": options, "picture": picture}


def main() -> None:
    name = sys.argv.pop(1)
    run, damage, seeds = TARGETS[name]()
    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-") and not Path(argument).is_file()]
    for folder in folders[:1]:
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (folder / f"seed{number}").write_bytes(seed)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        if seed % 2:
            return atheris.Mutate(data, most)
        try:
            return damage(random.Random(seed), data)[:most]
        except (ValueError, LookupError, TypeError, AttributeError):  # no file that a structured mutation understands
            return atheris.Mutate(data, most)

    limits = ["-timeout=10", "-rss_limit_mb=2048", f"-max_len={MOST_BYTES >> 4}"]
    atheris.Setup([sys.argv[0], *limits, *sys.argv[1:]], run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""Pictures from strangers (D1, D2): each is decoded, or one error names the file; what is damaged is found."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from qsr.data.check import check_set
from qsr.data.image import decode
from qsr.errors import DataError
from qsr.upscale.picture import from_bytes, outline
from tests.fuzz.picture_mutate import FORMS, KINDS, bombs, damage, good, odd

# what Pillow says about damaged TIFF tags on the way to our error
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")


def taken_in(data: bytes, drill, suffix: str) -> np.ndarray | None:
    """What both intakes make of a picture: pixels, or None for an error in one printable line; all else fails the drill."""
    made, began = None, time.process_time()
    for intake in (decode, from_bytes):
        try:
            made = intake(data, "pictures/a.bin", 1 << 22)
        except DataError as fault:
            made, text = None, str(fault)
            if not (text.startswith("pictures/a.bin: ") and text.isprintable() and len(text) < 600):
                drill.fail(f"a message that is not one short line: {text[:200]!r}", data, suffix)
        except Exception as fault:
            drill.fail(f"{intake.__name__}: {type(fault).__name__}: {fault}", data, suffix)
    if time.process_time() - began > 1:
        drill.fail("took more than a second", data, suffix)
    return None if made is None else made.pixels


@pytest.mark.drill("D1")
def test_damaged_pictures(drill) -> None:
    """Both intakes, on files that are damaged with some knowledge of what they are."""
    decoded = 0
    for number in drill.rounds(push=1200, nightly=50_000):
        form = FORMS[number % len(FORMS)]
        data = good(form)
        for _ in range(drill.random.choice((1, 1, 2))):
            data = damage(drill.random, data, form) or b"\0"
        decoded += taken_in(data, drill, f".{form.lower()}") is not None
    assert 0 < decoded < drill.runs
    print(f"{decoded} of {drill.runs} decoded")


@pytest.mark.drill("D1")
@pytest.mark.parametrize("kind", KINDS)
def test_data_check_finds_every_changed_picture(kind: str, drill, tmp_path: Path) -> None:
    """`qsr data check` with the manifest of the whole file: whatever changes a pixel, or a byte, is a problem."""
    folder = tmp_path / "HR"
    folder.mkdir()
    path = folder / f"a.{kind.lower()}"
    path.write_bytes(good(kind))
    assert check_set(folder).problems == []
    for _ in drill.rounds(push=200, nightly=10_000):
        data = damage(drill.random, good(kind), kind)
        path.write_bytes(data)
        problems = check_set(folder).problems
        if (data != good(kind)) != bool(problems):
            drill.fail(f"a changed file is not found: {problems}", data, path.suffix)


@pytest.mark.drill("D1")
@pytest.mark.parametrize("form", ["JPEG", "JPEG-progressive", "PNG", "PNG16", "TIFF", "TIFF-lzw", "BMP", "WebP"])
def test_cut_short(form: str, drill) -> None:
    """Without a manifest too, a file that ends early is never taken for whole."""
    data = good(form, seed=3)
    for _ in drill.rounds(push=30, nightly=3000):
        cut = data[: drill.random.randrange(len(data))]
        if taken_in(cut, drill, f".{form.lower()}") is not None:
            drill.fail("decoded a picture that was cut short", cut, f".{form.lower()}")


@pytest.mark.drill("D1")
@pytest.mark.parametrize("name", odd())
def test_odd_pictures(name: str, drill, tmp_path: Path) -> None:
    data = odd()[name]()
    taken_in(data, drill, ".bin")
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    try:
        said = f"{path}: {outline(path)}"
    except DataError as fault:
        said = str(fault)
    assert said.startswith(f"{path}: ")
    drill.count()


# One process decodes all of them: its imports take longer than they do. The kernel forgets the peak of memory on request.
CHILD = """
    import json, sys, time
    from pathlib import Path
    import cv2
    from qsr.data.image import decode, size_of
    from qsr.errors import DataError
    from qsr.upscale.picture import read

    def peak():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    for path in map(Path, json.loads(sys.argv[1])):
        for intake in (lambda path: decode(path.read_bytes(), str(path)), read):
            Path("/proc/self/clear_refs").write_text("5")
            before, began = peak(), time.process_time()
            try:
                intake(path)
                said = "decoded"
            except DataError as fault:
                said = str(fault)
            print(json.dumps([path.stem, said, time.process_time() - began, (peak() - before) << 10]), flush=True)
"""


@pytest.mark.drill("D2")
def test_header_bombs(tmp_path: Path, drill) -> None:
    """Refused before they are decoded: half a second, 32 MiB, all memory of the process counted."""
    (tmp_path / "good.tif").write_bytes(good("TIFF16"))  # the first picture loads what decoding needs
    files = [tmp_path / "good.tif"]
    for name, bomb in bombs().items():
        files.append(tmp_path / f"{name}.bin")
        files[-1].write_bytes(bomb())
        assert files[-1].stat().st_size < 8000
    child = [sys.executable, "-c", textwrap.dedent(CHILD), json.dumps([str(file) for file in files])]
    done = subprocess.run(child, capture_output=True, text=True, timeout=100, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 2 * len(files)
    for name, said, seconds, memory in lines[2:]:
        drill.count()
        print(name, said, seconds, memory)
        assert said.startswith(str(tmp_path)), name
        assert "limit" in said or "twice" in said, (name, said)
        assert seconds < 0.5, name
        assert memory < 32 << 20, name


@pytest.mark.drill("D1")
def test_a_picture_that_is_whole_is_taken_in() -> None:
    """What is refused is refused for its damage."""
    for form in FORMS:
        assert (
            decode(good(form), form).shape[:2] == from_bytes(good(form), form).pixels.shape[:2]
            or "exif" in form
            or form == "JPEG"
        )

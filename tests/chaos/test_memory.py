"""Out of memory while a picture is enlarged (M4): smaller tiles and the same bytes, or one line; never a dead process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qsr.runtime.packed import container
from tests.drill import NIGHTLY
from tests.runtime.packed.build import conv_net, swin_net

# Loaded in front of the C library: while it is armed, the n-th allocation of so many bytes or more is refused, and all after
# it that are no smaller than the refused one, as many as are asked for.
HOOK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
static _Atomic long left = -1, more = 0;
static _Atomic size_t least = 0;
static _Atomic long refused = 0;
void qsr_arm(long nth, size_t bytes, long again) { least = bytes; more = again; refused = 0; left = nth; }
long qsr_disarm(void) { left = -1; more = 0; return refused; }
static int refuse(size_t bytes) {
  if (bytes < least) return 0;
  if (left > 0 && --left == 0) { ++refused; least = bytes; return 1; }
  if (left == 0 && more > 0) { --more; ++refused; return 1; }
  return 0;
}
void *malloc(size_t size) {
  static void *(*real)(size_t);
  if (!real) real = dlsym(RTLD_NEXT, "malloc");
  return refuse(size) ? (errno = ENOMEM, (void *)0) : real(size);
}
void *realloc(void *old, size_t size) {
  static void *(*real)(void *, size_t);
  if (!real) real = dlsym(RTLD_NEXT, "realloc");
  return refuse(size) ? (errno = ENOMEM, (void *)0) : real(old, size);
}
void *aligned_alloc(size_t align, size_t size) {
  static void *(*real)(size_t, size_t);
  if (!real) real = dlsym(RTLD_NEXT, "aligned_alloc");
  return refuse(size) ? (errno = ENOMEM, (void *)0) : real(align, size);
}
int posix_memalign(void **made, size_t align, size_t size) {
  static int (*real)(void **, size_t, size_t);
  if (!real) real = dlsym(RTLD_NEXT, "posix_memalign");
  return refuse(size) ? ENOMEM : real(made, align, size);
}
"""

# Enlarges one picture again and again, another allocation refused each time, and says what became of it.
VICTIM = """
import ctypes, json, logging, resource, sys
from pathlib import Path
import numpy as np
from PIL import Image
from qsr.runtime.model import load
from qsr.upscale import batch, large
from qsr.upscale.enlarge import Way
from qsr.upscale.names import Job

plan = json.loads(sys.argv[1])
folder = Path(plan["folder"])
said = []
class Said(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
logging.getLogger("qsr").addHandler(Said())
pixels = np.random.default_rng(plan["seed"]).integers(0, 256, (plan["height"], plan["width"], 3), np.uint8)
source = folder / "in.png"
Image.fromarray(pixels).save(source)
expected = load(plan["net"], threads=2).upscale(pixels)
if plan["streamed"]:
    large.STREAM_BYTES = 1

def attempt(number, way, arm):
    said.clear()
    net = load(plan["net"], threads=2)  # a fresh one: a network keeps the memory of a run for the next
    arm()
    target = folder / f"out{number}.png"
    outcome = batch.run(net, [Job(source, target)], batch.How("mark", way), lambda outcome: None)[0]
    return target, outcome

def report(number, target, outcome, refused):
    same = target.exists() and bool(np.array_equal(np.asarray(Image.open(target)), expected))
    left = sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
    told = {"number": number, "state": outcome.state, "why": outcome.why, "code": outcome.exit_code, "there": target.exists()}
    print(json.dumps({**told, "same": same, "left": left, "refused": refused, "said": said}), flush=True)

attempt("warm", Way(), lambda: None)  # what is imported on the way must not be what is refused
for number, (way, nth, least, again) in enumerate(plan["attempts"]):
    way = Way(tile=way)
    if plan["hook"]:
        hook = ctypes.CDLL(None)
        how = (ctypes.c_long(nth), ctypes.c_size_t(least), ctypes.c_long(again))
        target, outcome = attempt(number, way, lambda: hook.qsr_arm(*how))
        refused = hook.qsr_disarm()
    else:
        def arm():
            there = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (there + least, resource.RLIM_INFINITY))
        target, outcome = attempt(number, way, arm)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        refused = -1
    report(number, target, outcome, refused)
"""


@pytest.fixture(scope="module")
def hook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler for the allocator that refuses, or not Linux")
    folder = tmp_path_factory.mktemp("hook")
    (folder / "hook.c").write_text(HOOK)
    made = folder / "hook.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", made, folder / "hook.c", "-ldl"], check=True, timeout=60)
    return made


@pytest.fixture
def net(tmp_path: Path) -> Path:
    pytest.importorskip("qsr._kernels", reason="the extension was not built", exc_type=ImportError)
    container.write(tmp_path / "net.qsr", *conv_net("w2a2", features=16, blocks=1))
    return tmp_path / "net.qsr"


def attempts(net: Path, seed: int, hooked: Path | None, wanted: list[Any], **plan: Any) -> list[dict[str, Any]]:
    """One process for all of them: it has to live through each."""
    folder = net.parent / "pictures"
    folder.mkdir()
    places = {"net": str(net), "folder": str(folder), "seed": seed, "hook": bool(hooked)}
    plan = {**places, "streamed": False, **plan, "attempts": wanted}
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1"}
    if hooked:
        environment["LD_PRELOAD"] = str(hooked)
    done = subprocess.run(
        [sys.executable, "-c", VICTIM, json.dumps(plan)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110 if not NIGHTLY else 1800,
    )
    assert done.returncode == 0, f"the process ended with {done.returncode}: {done.stderr[-2000:]}"
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(wanted)
    return found


def check(drill: Any, one: dict[str, Any], what: str) -> None:
    """Whole and right, or one line that speaks of memory, and nothing left behind."""
    if one["state"] == "done":
        fine = one["same"]
    else:
        fine = one["state"] == "failed" and one["code"] in (3, 6) and "memory" in one["why"] and not one["there"]
    if not fine or one["left"]:
        drill.fail(f"{what}: {one}")


@pytest.mark.drill("M4")
def test_any_large_allocation_may_be_refused(drill, hook: Path, net: Path) -> None:
    """The 1st, 2nd, ... allocation of 200 kB or more is refused: once, or that and all larger ones."""
    count = 100 if NIGHTLY else 20
    wanted = [("auto", 1 + number // 2, 200_000, 0 if number % 2 else 3) for number in range(count)]
    found = attempts(net, drill.seed, hook, wanted, height=260, width=300)
    drill.count(len(found))
    for one, attempt in zip(found, wanted):
        check(drill, one, f"allocation {attempt}")
    refused = [one for one in found if one["refused"]]
    assert len(refused) >= 8, "hardly anything was refused"
    assert any(one["state"] == "done" and one["said"] for one in refused), "no run went on with smaller tiles"


@pytest.mark.drill("M4")
def test_a_run_that_does_not_fit_goes_on_with_smaller_tiles(drill, hook: Path, net: Path) -> None:
    """All that a run asks for above some size is refused, for good: the tile is halved until it fits, and says so."""
    wanted = [("auto", 1, least, 10**6) for least in (4_000_000, 1_600_000)]
    found = attempts(net, drill.seed, hook, wanted, height=300, width=420)
    drill.count(len(found))
    for one in found:
        check(drill, one, "a run that does not fit")
    done = [one for one in found if one["state"] == "done" and one["said"]]
    assert done, found
    assert all("out of memory at tiles of" in line and "going on with" in line for one in done for line in one["said"])


@pytest.mark.drill("M4")
def test_a_tile_that_was_asked_for_is_never_changed(drill, hook: Path, net: Path) -> None:
    found = attempts(net, drill.seed, hook, [(200, 1, 1_600_000, 10**6), (16, 1, 1_600_000, 10**6)], height=300, width=420)
    drill.count(len(found))
    assert found[0]["state"] == "failed"
    assert found[0]["code"] == 6
    assert "out of memory at tiles of 200 x 200 (use tile='auto', or a smaller tile)" in found[0]["why"]
    assert found[0]["said"] == []
    check(drill, found[1], "small tiles")


@pytest.mark.drill("M4")
def test_a_stream_begins_again_with_a_smaller_tile(drill, hook: Path, net: Path) -> None:
    pytest.importorskip("pyvips")
    wanted = [("auto", 1 + number, 300_000, number % 3) for number in range(24 if NIGHTLY else 6)]
    found = attempts(net, drill.seed, hook, wanted, height=700, width=300, streamed=True)
    drill.count(len(found))
    for one, attempt in zip(found, wanted):
        check(drill, one, f"streamed, allocation {attempt}")
    assert any(one["state"] == "done" and one["refused"] for one in found)


@pytest.mark.drill("M4")
def test_a_process_that_may_have_no_more(drill, net: Path) -> None:
    """The system itself says no (RLIMIT_AS), where threads and libraries ask as well."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("not Linux")
    wanted = [("auto", 0, more << 20, 0) for more in (range(1, 65, 2) if NIGHTLY else (1, 3, 6, 10, 16, 40))]
    found = attempts(net, drill.seed, None, wanted, height=300, width=420)
    drill.count(len(found))
    for one, attempt in zip(found, wanted):
        check(drill, one, f"{attempt[2] >> 20} MiB more")
    assert found[0]["state"] == "failed"
    assert found[-1]["state"] == "done"


@pytest.mark.drill("M4")
def test_without_the_extension_too(drill, hook: Path, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy's own MemoryError, and a network whose tiles differ a little: one that cannot be cut is told so."""
    monkeypatch.setenv("QSR_BACKEND", "numpy")
    container.write(net, *swin_net("w4a4", features=8, window=4))
    found = attempts(net, drill.seed, hook, [("auto", 1, 400_000, 10**6), ("auto", 3, 100_000, 2)], height=40, width=60)
    drill.count(len(found))
    for one in found:
        assert one["state"] == "done" or (one["code"] == 6 and "memory" in one["why"]), one
        assert one["left"] == []

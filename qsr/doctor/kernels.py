"""Which kernels run here, and do they compute what they should: exact sums by numpy are what they are held against."""

from __future__ import annotations

import importlib.util
import os
import random
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsr.doctor.check import Finding, fail, ok, warn

if TYPE_CHECKING:
    import numpy as np

SIDES = (1, 3, 5)
ROUNDS = 3  # random convolutions per kernel and kernel side
FLOAT_TOLERANCE = 1e-5  # of the largest sum
OTHER_KERNELS = "QSR_BACKEND=numpy computes without them until qsr is reinstalled (pip install --force-reinstall qsr)"


# --- what there is --------------------------------------------------------------------------------------------------------
def check_isa() -> Finding:
    from qsr.runtime.cpu import cpu_name, isa_flags

    name, flags = cpu_name(), isa_flags()
    try:
        from qsr.runtime.engine import VARIABLE, limit
    except ImportError:
        return ok(f"{name}: {' '.join(flags) or 'unknown'} (no compiled kernels, see backend)", flags=flags)
    used = limit()  # raises for a QSR_ISA that is unknown or not there
    if os.environ.get(VARIABLE):
        return warn(f"{name}: {VARIABLE} limits kernels to {used}", f"unset {VARIABLE} for full speed", flags=flags, used=used)
    if used == "portable":
        return warn(
            f"{name}: no AVX2; kernels are correct and several times slower", "use an x86-64 processor of 2013 or later"
        )
    return ok(f"{name}: {used}", flags=flags, used=used)


def check_backend() -> Finding:
    """Not built is a reservation, for it may be meant; built and not loadable is a failure."""
    from qsr.runtime.backend import backend_info

    info = backend_info()  # raises for a QSR_BACKEND that is unknown or cannot be loaded
    facts = {"name": info.name, "unavailable": dict(info.unavailable)}
    if info.name == "extension":
        return ok("extension: the compiled kernels", **facts)
    why, slow = info.unavailable.get("extension", info.reason), f"{info.name} computes, many times slower"
    if importlib.util.find_spec("qsr._kernels") is not None and "extension" in info.unavailable:
        return fail(f"the extension is there and cannot be loaded: {why}; {slow}", "pip install --force-reinstall qsr", **facts)
    if not info.unavailable:
        return warn(f"{info.name}: {info.reason}", "unset QSR_BACKEND for full speed", **facts)
    if any(Path(file.name).name.startswith("_kernels") for file in _installed_files()):
        return fail(f"the extension was installed and is gone; {slow}", "pip install --force-reinstall qsr", **facts)
    return warn(f"{why}; {slow}", "install g++ and Python's headers, then reinstall qsr", **facts)


def _installed_files() -> list[Any]:
    try:
        return list(metadata.files("qsr") or ())
    except metadata.PackageNotFoundError:
        return []


# --- what they compute ----------------------------------------------------------------------------------------------------
def check_convolutions() -> Finding:
    """Random convolutions through every row kernel that this processor can run, and through the backend's reference."""
    import numpy as np

    seed = random.randrange(2**32)
    rng = np.random.default_rng(seed)
    cases = 0
    for _ in range(3 * ROUNDS):
        problem = _reference_problem(rng)
        if problem:
            return fail(f"{problem} (seed {seed})", OTHER_KERNELS, seed=seed)
        cases += 1
    try:
        from qsr import _kernels
    except ImportError:
        from qsr.runtime.backend import backend_info

        return ok(f"{backend_info().name}: {cases} random convolutions equal exact sums (no compiled kernels, see backend)")
    deep = [{**kernel, "depthwise": True} for kernel in _kernels.depthwise_kernels()]
    kernels = [kernel for kernel in (*_kernels.row_kernels(), *deep) if kernel["supported"]]
    ran = dict.fromkeys((kernel["name"] for kernel in kernels), 0)
    for kernel, side, _ in product(kernels, SIDES, range(ROUNDS)):
        case = _case(_kernels, kernel, side, rng)
        if case is None:
            continue
        picture, weights, ranges = case
        problem = difference(
            kernel["input"], _kernels.run_row_kernel(kernel["name"], picture, weights, ranges)[0], picture, weights
        )
        if problem:
            shape = f"{'x'.join(map(str, picture.shape))} * {'x'.join(map(str, weights.shape))}"
            return fail(f"{kernel['name']}: {problem} ({shape}, codes {ranges}, seed {seed})", OTHER_KERNELS, seed=seed)
        ran[kernel["name"]] += 1
        cases += 1
    idle = [name for name, count in ran.items() if not count]
    if idle:
        return fail(f"{', '.join(idle)}: no convolution of the self-test was accepted", "report this line", seed=seed)
    return ok(f"{len(kernels)} kernels equal exact sums on {cases} random convolutions", seed=seed, cases=ran)


def _reference_problem(rng: np.random.Generator) -> str:
    """The backend's plain convolution, through which numpy, numba and the extension all can be reached."""
    import numpy as np

    from qsr.runtime import backend_info, conv2d_int

    channels, out, side = (int(rng.integers(1, most)) for most in (20, 20, 4))
    height, width = (int(rng.integers(2 * side - 1, 12)) for _ in range(2))
    codes = rng.integers(0, 256, (1, channels, height, width), np.uint8, endpoint=False)
    weights = rng.integers(-128, 128, (out, channels, 2 * side - 1, 2 * side - 1), np.int8)
    found = conv2d_int(codes, weights, padding=side - 1)[0].transpose(1, 2, 0)
    wanted = exact(codes[0].transpose(1, 2, 0), weights)
    wrong = int((found != wanted).sum())
    return f"{backend_info().name}: {wrong} of {wanted.size} sums of a convolution differ from exact ones" if wrong else ""


def _case(extension: Any, kernel: dict[str, Any], side: int, rng: np.random.Generator) -> Any:
    """(picture (H, W, C), weights (O, C, side, side), ranges of codes) that the kernel accepts, None where it takes none.

    Weights of a depthwise kernel: (C, 1, side, side).
    """
    import numpy as np

    dtype = np.float32 if kernel["input"] == "float" else np.int16
    # some kernels leave few channels to others, some take no more than three outputs
    few, many = rng.integers(1, 18, 2), rng.integers(45, 66, 2)
    deep = kernel.get("depthwise", False)
    pairs = [(few[0], few[1]), (many[0], many[1]), (many[0], rng.integers(1, 4))]
    for c_in, c_out in rng.permutation(pairs).tolist():
        sides = (c_in, 1, side, side) if deep else (c_out, c_in, side, side)
        shapes = np.zeros((1, 1, c_in), dtype), np.zeros(sides, dtype)
        choices = [r for r in _ranges(kernel["input"]) if extension.row_kernel_accepts(kernel["name"], *shapes, r)]
        if not choices:
            continue
        ranges = choices[int(rng.integers(len(choices)))]
        sizes = (int(rng.integers(1, 7)), int(rng.integers(1, 41)), c_in), shapes[1].shape
        if dtype == np.float32:
            picture, weights = (rng.standard_normal(size).astype(np.float32) for size in sizes)
        else:
            draw = rng.choice if kernel["input"] == "bits" or rng.random() < 0.3 else None  # both ends only, or all codes
            picture, weights = (
                (draw([low, high], size) if draw else rng.integers(low, high, size, endpoint=True)).astype(np.int16)
                for size, (low, high) in zip(sizes, (ranges[:2], ranges[2:]))
            )
        return picture, weights, ranges
    return None


def _ranges(kind: str) -> list[tuple[int, ...]]:
    """(a_min, a_max, w_min, w_max) of codes as they occur in networks; () for float."""
    if kind == "float":
        return [()]
    if kind == "bits":
        return [(-1, 1, -1, 1)]
    activations = [(0, 2**bits - 1) for bits in range(1, 9)] + [
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in range(2, 9)
    ]
    weights = [(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in range(2, 9)] + [(1 - 2**b, 2**b - 1) for b in range(1, 9)]
    return [(*a, *w) for a, w in product(activations, weights)]


def exact(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Zero-padded sums in float64, exact for codes: (H, W, C) x (O, C, k, k) -> (H, W, O), depthwise with (C, 1, k, k)."""
    import numpy as np

    height, width, _ = picture.shape
    side = weights.shape[2]
    padded = np.pad(picture.astype(np.float64), ((side // 2, side // 2), (side // 2, side // 2), (0, 0)))
    sums = np.zeros((height, width, weights.shape[0]))
    for u, v in product(range(side), range(side)):
        near, by = padded[u : u + height, v : v + width], weights[:, :, u, v].astype(np.float64)
        sums += near @ by.T if by.shape[1] == near.shape[2] else near * by[:, 0]
    return sums


def difference(kind: str, found: np.ndarray, picture: np.ndarray, weights: np.ndarray) -> str:
    """What is wrong with a kernel's sums, "" where nothing is."""
    import numpy as np

    wanted = exact(picture, weights)
    if kind == "float":
        off = float(np.abs(found - wanted).max()) if np.isfinite(found).all() else float("inf")
        most = FLOAT_TOLERANCE * float(np.abs(wanted).max())
        return f"off by {off:.2e}, expected at most {most:.2e}" if off > most else ""
    wrong = int((found != wanted).sum())
    return f"{wrong} of {wanted.size} sums differ from exact ones" if wrong else ""


def check_packing() -> Finding:
    """Every backend that can be loaded packs codes into the same bytes and finds them again."""
    import numpy as np

    from qsr.runtime.backend import MODULES, load_kernels
    from qsr.runtime.bits import code_range

    seed = random.randrange(2**32)
    rng = np.random.default_rng(seed)
    backends = {}
    for name in MODULES:
        try:
            backends[name] = load_kernels(name)
        except ImportError:
            continue  # said by check_backend
    for bits, signed in product(range(1, 9), (False, True)):
        low, high = code_range(bits, signed)
        codes = rng.integers(low, high, int(rng.integers(1, 3000)), np.int16, endpoint=True)
        # the layout's definition: element i is the bits [i b, i b + b) of the stream, the least significant first
        number = sum((int(code) & (2**bits - 1)) << (bits * i) for i, code in enumerate(codes))
        stream = np.frombuffer(number.to_bytes((codes.size * bits + 7) // 8, "little"), np.uint8)
        for name, kernels in backends.items():
            same = np.array_equal(kernels.pack_bits(codes, bits, signed), stream)
            back = kernels.unpack_bits(stream, codes.size, bits, signed)
            if not (same and np.array_equal(back, codes)):
                what = "unpacks codes" if same else "packs codes"
                return fail(f"{name} {what} of {bits} bits wrongly (seed {seed})", OTHER_KERNELS, seed=seed)
    return ok(f"{', '.join(backends)}: codes of 1 to 8 bits give the same bytes, and come back", seed=seed)

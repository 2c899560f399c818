"""A small Swin network with random weights: the compiled engine, on every instruction set, against the numpy interpreter."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from qsr.doctor.check import Finding, fail, ok, skip
from qsr.doctor.kernels import OTHER_KERNELS
from qsr.surroundings import variable

if TYPE_CHECKING:
    import numpy as np

FEATURES, HEADS, WINDOW, BITS = 12, 2, 4, 4
# In float32 another order of additions moves the last bit. Without codes that is at most a level of 255, now and then; with
# them a value on a rounding border becomes another code, which the layers behind it spread over a window and its neighbours.
# One random network in a thousand has more of those than SHARE, so it takes several to call a kernel wrong.
MOST_OFF = 1
SHARE = {False: 0.01, True: 0.05}
NETWORKS = {False: 1, True: 3}


def check_attention() -> Finding:
    try:
        from qsr import _kernels
        from qsr.runtime.engine import ISAS
    except ImportError:
        return skip("no compiled kernels, see backend")
    import numpy as np

    seed = random.randrange(2**32)
    rng = np.random.default_rng(seed)
    there = [isa for isa in ISAS if _kernels.isa_supported()[isa]]
    for quantized, most in NETWORKS.items():
        for _ in range(most):
            problem = compare(rng, quantized, there)
            if not problem:
                break
        else:
            return fail(f"{problem} (seed {seed})", OTHER_KERNELS, seed=seed)
    return ok(f"{', '.join(there)}: full precision and {BITS} bits as the interpreter computes them", seed=seed)


def compare(rng: np.random.Generator, quantized: bool, isas: list[str]) -> str:
    """One random network and picture: which instruction set differs from the interpreter, and how much; "" if none."""
    import numpy as np

    from qsr.runtime.engine import VARIABLE, Engine
    from qsr.runtime.interpreter import Interpreter
    from qsr.runtime.packed.check import check

    header, tensors = network(rng, quantized)
    check(header, tensors)
    picture = rng.integers(0, 256, (16, 20, 3), np.uint8)
    wanted = Interpreter(header, tensors, header.programs[0]).run(picture, True)
    for isa in isas:
        with variable(VARIABLE, isa):
            found = Engine(header, tensors, header.programs[0], threads=1).run(picture, True)
        off = np.abs(found.astype(int) - wanted)
        differ = int((off > 0).sum())
        if differ > SHARE[quantized] * off.size or (not quantized and off.max() > MOST_OFF):
            what = f"{BITS} bits" if quantized else "full precision"
            return f"{isa}, {what}: {differ} of {off.size} bytes differ, by {off.max()} at most"
    return ""


def network(rng: np.random.Generator, quantized: bool) -> tuple[Any, dict[str, np.ndarray]]:
    """(header, tensors) of a convolution, two Swin layers (the second with shifted windows) and a x2 upsampler."""
    import numpy as np

    from qsr.runtime.packed import ops
    from qsr.runtime.packed.codes import pack_codes

    tensors: dict[str, np.ndarray] = {}

    def vector(name: str, count: int, spread: float, centre: float = 0.0) -> str:
        tensors[name] = rng.normal(centre, spread, count).astype(np.float32)
        return name

    def conv(source: int, name: str, c_in: int, c_out: int) -> ops.Conv:
        tensors[f"{name}.weight"] = rng.normal(0, 1 / np.sqrt(9 * c_in), (c_out, c_in, 3, 3)).astype(np.float32)
        return ops.Conv(
            (source,), name, c_in, c_out, (3, 3), ops.FloatWeight(f"{name}.weight"), None, vector(f"{name}.b", c_out, 0.05)
        )

    def linear(name: str, c_in: int, c_out: int) -> ops.Linear:
        size, bias = 1 / np.sqrt(c_in), vector(f"{name}.b", c_out, 0.05)
        if not quantized:
            tensors[name] = rng.normal(0, size, (c_out, c_in)).astype(np.float32)
            return ops.Linear(name, c_in, c_out, ops.FloatWeight(name), None, bias)
        top = 1 << BITS - 1
        tensors[name] = pack_codes(rng.integers(-top, top, (c_out, c_in)), BITS)
        act = ops.UniformAct(BITS, False, float(np.float32(2.0 / (2 * top - 1))), False, vector(f"{name}.shift", c_in, 0.1))
        return ops.Linear(name, c_in, c_out, ops.UniformWeight(name, BITS, float(np.float32(1.7 * size / top))), act, bias)

    def layer(source: int, number: int) -> ops.Swin:
        name = f"layer{number}"
        tensors[f"{name}.table"] = rng.normal(0, 0.5, ((2 * WINDOW - 1) ** 2, HEADS)).astype(np.float32)
        signed = ops.UniformAct(BITS, True, float(np.float32(1.0 / (1 << BITS - 1))))
        of_map = ops.UniformAct(BITS, False, float(np.float32(0.5 / ((1 << BITS) - 1))))
        return ops.Swin(
            (source,),
            name,
            FEATURES,
            WINDOW,
            shift=WINDOW // 2 if number else 0,
            heads=HEADS,
            table=f"{name}.table",
            norm1=(vector(f"{name}.n1.w", FEATURES, 0.1, 1.0), vector(f"{name}.n1.b", FEATURES, 0.1)),
            norm2=(vector(f"{name}.n2.w", FEATURES, 0.1, 1.0), vector(f"{name}.n2.b", FEATURES, 0.1)),
            eps=1e-5,
            qkv=linear(f"{name}.qkv", FEATURES, 3 * FEATURES),
            proj=linear(f"{name}.proj", FEATURES, FEATURES),
            fc1=linear(f"{name}.fc1", FEATURES, 2 * FEATURES),
            fc2=linear(f"{name}.fc2", 2 * FEATURES, FEATURES),
            operands=ops.Operands(signed, signed, signed, of_map) if quantized else None,
        )

    program = ops.Program(
        (
            ops.Image(),
            conv(0, "first", 3, FEATURES),
            layer(1, 0),
            layer(2, 1),
            conv(3, "last", FEATURES, 12),
            ops.Shuffle((4,), 2),
        )
    )
    header = ops.PackedHeader(
        scale=2,
        programs=(program,),
        receptive_field=None,
        window=WINDOW,
        whole_picture=False,
        network={"type": "self-test"},
        protocol=None,
        metrics={},
        provenance={},
    )
    return header, tensors

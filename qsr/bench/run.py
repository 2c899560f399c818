"""One benchmark of a packed network: ours beside the engines asked for, with what makes the numbers believable."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsr.bench import peers, twin
from qsr.bench.layers import LayerTime, layer_times
from qsr.bench.measure import Timing, interleaved
from qsr.bench.torch_twin import TorchTwin
from qsr.errors import OptionsError
from qsr.runtime.cpu import cpu_name
from qsr.runtime.model import Model, load

OURS = "qsr"
MAX_PIXELS = 1 << 26  # of the picture: a run takes minutes, and its time grows with the pixels alone


@dataclass(frozen=True)
class Settings:
    """size: (width, height) of the LR picture. threads: None is all cores of the process. depth: of a depth-dynamic network.

    against: engines, as peers.wanted gives them. rounds: 0 for as many as `seconds` allow. per_layer: also a layer table.
    """

    size: tuple[int, int] = (320, 180)
    threads: int | None = None
    depth: int | None = None
    against: tuple[str, ...] = ()
    rounds: int = 0
    seconds: float = 20.0
    per_layer: bool = False


@dataclass(frozen=True)
class Bench:
    """What was measured. timings: by rival, ours first; names say engine, version and precision.

    macs: of one run at `size`. failed: why, by engine that could not run the twin.
    """

    model: str
    file_bytes: int
    network: dict[str, Any]
    scale: int
    size: tuple[int, int]
    threads: int
    cpu: str
    macs: int
    timings: dict[str, Timing]
    failed: dict[str, str] = field(default_factory=dict)
    layers: tuple[LayerTime, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "file_bytes": self.file_bytes,
            "network": self.network,
            "scale": self.scale,
            "size": list(self.size),
            "threads": self.threads,
            "cpu": self.cpu,
            "gmac": self.macs / 1e9,
            "timings": {name: timing.to_json() for name, timing in self.timings.items()},
            "failed": self.failed,
            "layers": [layer.to_json() for layer in self.layers],
        }


def bench(path: Path, settings: Settings, note: Callable[[str], None] = lambda _: None) -> Bench:
    """Measure the packed file. note: told what is going on, a line at a time. Raises as `load` and the settings' parsers do."""
    threads = settings.threads or len(os.sched_getaffinity(0))
    model = load(path, threads=threads)
    width, height = settings.size
    if width * height > MAX_PIXELS:
        raise OptionsError(
            f"{width} x {height} pixels, expected at most {MAX_PIXELS:,}",
            where="--size",
            hint="the time per pixel is that of a smaller picture",
        )
    picture = np.random.default_rng(0).integers(0, 256, (height, width, model.header.channels), dtype=np.uint8)
    rivals: dict[str, Callable[[], object]] = {OURS: lambda: model.upscale(picture, tile=None, depth=settings.depth)}
    failed: dict[str, str] = {}
    with ExitStack() as keep:
        for name, run in _rivals(path, model, settings, picture, threads, keep, failed, note):
            rivals[name] = run
        note(f"timing {len(rivals)} rivals in turn")
        timings = interleaved(rivals, settings.rounds, settings.seconds)
    layers = layer_times(model, picture, settings.depth, threads) if settings.per_layer else ()
    return Bench(
        model=path.name,
        file_bytes=path.stat().st_size,
        network=dict(model.header.network),
        scale=model.scale,
        size=settings.size,
        threads=threads,
        cpu=cpu_name(),
        macs=twin.macs(model.program(settings.depth), width * height),
        timings=timings,
        failed=failed,
        layers=tuple(layers),
    )


def _rivals(
    path: Path,
    model: Model,
    settings: Settings,
    picture: NDArray[np.uint8],
    threads: int,
    keep: ExitStack,
    failed: dict[str, str],
    note: Callable[[str], None],
) -> list[tuple[str, Callable[[], object]]]:
    """The peers' runs; what an engine cannot do is noted in `failed`, it does not end the benchmark."""
    if not settings.against:
        return []
    from qsr.runtime.packed.container import read

    header, tensors = read(path)
    program = model.program(settings.depth)
    x = np.ascontiguousarray((picture.astype(np.float32) / np.float32(255)).transpose(2, 0, 1)[None])
    twins = {"fp32": twin.fp32(header, tensors, program), "int8": twin.int8(header, tensors, program)}
    made: list[tuple[str, Callable[[], object]]] = []

    def attempt(name: str, make: Callable[[], Callable[[], object]]) -> None:
        note(f"preparing {name}")
        try:
            run = make()
            run()
        except Exception as fault:  # whatever an engine throws at a network that it does not like
            failed[name] = f"{type(fault).__name__}: {str(fault).strip().splitlines()[0][:200] if str(fault).strip() else ''}"
            return
        made.append((name, run))

    for name in settings.against:
        version = peers.version(name)
        if name == "torch":
            for layout in (False, True):
                label = f"torch {version} fp32{' channels_last' if layout else ''}"
                attempt(label, lambda layout=layout: TorchTwin(*twins["fp32"], x, threads, layout))  # type: ignore[misc]
            continue
        from qsr.export.onnx_graph import to_onnx

        for precision in peers.PEERS[name].precisions:
            onnx_bytes = to_onnx(*twins[precision]).SerializeToString()
            make = peers.PEERS[name].make
            attempt(f"{name} {version} {precision}", lambda make=make, b=onnx_bytes: make(b, x, threads, keep))  # type: ignore[misc]
    return made

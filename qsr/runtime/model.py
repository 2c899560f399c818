"""A packed network that upscales pictures: the one class that users of the runtime meet. No torch here.

>>> from qsr.runtime import load                                    # doctest: +SKIP
>>> net = load("net.qsr", threads=2)                                # doctest: +SKIP
>>> net.upscale(picture).shape          # (h, w, 3) uint8           # doctest: +SKIP
(4 * h, 4 * w, 3)
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qsr.errors import DataError, EnvironmentFault, OptionsError, OutOfMemory
from qsr.runtime.backend import VARIABLE
from qsr.runtime.executor import Executor, LayerKernel, float_block
from qsr.runtime.feeder import Feeder, check_picture
from qsr.runtime.packed.codes import Tensors
from qsr.runtime.packed.container import read
from qsr.runtime.packed.ops import Conv, PackedHeader, Program, Quantize
from qsr.runtime.packed.reach import reach
from qsr.runtime.packed.shapes import infer
from qsr.runtime.tiles import Span, choose, halved, span_at, spans, up

Tile = int | Literal["auto"] | None
log = logging.getLogger(__name__)

BUDGET = 512 << 20  # bytes of one run that tile="auto" stays within
BAND = 384 << 20  # bytes of the rows that a stream's band of tiles takes
MAX_RUN = 2 << 30  # bytes of one run that no tile may exceed
OVERLAP = 16  # LR pixels around a tile where the network has no bounded receptive field
MAX_THREADS = 256


def load(path: Path | str, threads: int | None = None) -> Model:
    """Read, check and prepare a packed file. threads: of one run; None: as many as there are cores.

    Raises FormatError naming the file and what is wrong, OptionsError for a bad number of threads.
    """
    header, tensors = read(path)
    return Model(header, tensors, threads)


@dataclass(frozen=True)
class _Ready:
    """What runs one depth. context: pixels around a tile, a multiple of `align`, as is where a tile begins."""

    executor: Executor
    context: int
    align: int


class Model:
    """A network, ready to run. Nothing in it changes, so threads may share it; scratch memory belongs to each call.

    header, tensors: of a file that was checked (packed.container.read, or packed.check.check).
    """

    def __init__(self, header: PackedHeader, tensors: Tensors, threads: int | None = None) -> None:
        if threads is not None and (type(threads) is not int or not 1 <= threads <= MAX_THREADS):
            raise OptionsError(f"threads: found {threads!r}, expected 1 to {MAX_THREADS}")
        self._header = header
        self._tensors = tensors
        self._threads = threads
        self._ready: dict[int | None, _Ready] = {}  # by depth; filled when first asked for
        self._lock = Lock()
        self._get(None)

    @property
    def header(self) -> PackedHeader:
        return self._header

    @property
    def scale(self) -> int:
        return self._header.scale

    @property
    def depths(self) -> tuple[int, ...]:
        """Numbers of blocks to choose from, the default first; empty where there is no choice."""
        return tuple(program.depth for program in self._header.programs if program.depth is not None)

    @property
    def receptive_field(self) -> int | None:
        return self._header.receptive_field

    @property
    def whole_picture(self) -> bool:
        return self._header.whole_picture

    def kernels(self, depth: int | None = None) -> list[LayerKernel]:
        """Who computes each layer. Raises OptionsError for a depth that the file does not have."""
        return self.executor(depth).kernels()

    # --- pictures ---------------------------------------------------------------------------------------------------
    def upscale(self, picture: NDArray[Any], tile: Tile = "auto", depth: int | None = None) -> NDArray[Any]:
        """(h, w, 3) uint8 -> (s h, s w, 3) uint8, or float32 in [0, 1] -> float32 clipped to [0, 1]. RGB; any strides.

        tile: "auto" keeps a run within 512 MiB; a number: tiles of that many LR pixels; None: the picture in one run.
        With a bounded receptive field all three give the same picture bit for bit, but for networks without any codes, whose
        fast float kernels round by position: there floats differ by 1e-6, and a byte now and then by 1. Without a bound
        (SwinIR) tiles overlap by 16 pixels and differ slightly. Networks that look at the whole picture take no tiles.
        "auto" goes on with smaller tiles where the system refuses memory, and logs a warning that says which; a tile that was
        asked for is never changed.
        Raises DataError for another kind of array, OptionsError for a tile or depth that cannot be, EnvironmentFault where
        a run would need more memory than there is, OutOfMemory where the system did not give it.
        """
        check_picture(picture)
        height, width = picture.shape[:2]
        ready, feeder = self._get(depth), Feeder([picture], height, width, self._header.window)
        bands = self._bands(ready, feeder, self._tile(ready, height, width, tile), tile == "auto")
        first = next(bands)
        if len(first) == height * self.scale:
            return first
        out = _empty((height * self.scale, width * self.scale, 3), picture.dtype)
        out[: len(first)] = first
        top = len(first)
        for band in bands:
            out[top : top + len(band)] = band
            top += len(band)
        return out

    def rows(
        self, source: Iterable[NDArray[Any]], width: int, height: int, tile: Tile = "auto", depth: int | None = None
    ) -> Iterator[NDArray[Any]]:
        """`upscale` of a picture that comes and goes in bands, so that neither it nor the result is ever in memory whole.

        source: yields bands (n, width, 3) of any n, from top to bottom, `height` rows in all, all uint8 or all float32; it is
        asked for the first one at once.
        Yields bands (n, s width, 3), from top to bottom, as they are done. Memory: one run's, plus the rows that a band of
        tiles sees and makes; tile="auto" keeps each of the two within BUDGET and BAND. Raises as `upscale`, and DataError for
        bands that do not fit.
        """
        if height < 1 or width < 1:
            raise DataError(f"found a picture of {width} x {height}, expected at least 1 x 1")
        ready, feeder = self._get(depth), Feeder(source, height, width, self._header.window)
        row = 3 * width * feeder.itemsize * (1 + self.scale**2)  # bytes of a row that comes, and of what becomes of it
        return self._bands(ready, feeder, self._tile(ready, height, width, tile, max(BAND // row, 1)), tile == "auto")

    def memory(self, height: int, width: int, tile: Tile = "auto", depth: int | None = None) -> int:
        """Bytes of scratch that one run of `upscale` takes at most, pictures of that size."""
        ready, window = self._get(depth), self._header.window
        cores = self._tile(ready, height, width, tile)
        sizes = (min(up(core + 2 * ready.context, window), up(side, window)) for core, side in zip(cores, (height, width)))
        return ready.executor.memory(*sizes)

    # --- how ----------------------------------------------------------------------------------------------------------
    def _bands(self, ready: _Ready, feeder: Feeder, cores: tuple[int, int], may_halve: bool) -> Iterator[NDArray[Any]]:
        tall, wide = up(feeder.height, self._header.window), up(feeder.width, self._header.window)
        begin = 0
        while begin < tall:
            down = span_at(begin, tall, cores[0], ready.context, ready.align)
            size = f"tiles of {min(cores[1], wide)} x {min(cores[0], tall)}"
            try:
                seen = feeder.rows(down.first, down.last)
            except MemoryError as fault:  # what it had fetched is lost: no smaller tile can go on from here
                raise OutOfMemory(f"out of memory for {down.last - down.first} rows of {feeder.width} pixels") from fault
            try:
                band = self._band(ready, seen, down, cores[1], (feeder.height, feeder.width))
            except MemoryError as fault:
                smaller = halved(cores, tall, wide, ready.align) if may_halve and not self.whole_picture else None
                if smaller is None:
                    hint = "use tile='auto', or a smaller tile" if not may_halve and not self.whole_picture else None
                    raise OutOfMemory(f"out of memory at {size}", hint=hint or "free some, or use a smaller network") from fault
                log.warning("out of memory at %s, going on with %d x %d", size, smaller[1], smaller[0])
                cores = smaller
                continue
            yield band
            begin = down.end

    def _band(self, ready: _Ready, seen: NDArray[Any], down: Span, columns: int, picture: tuple[int, int]) -> NDArray[Any]:
        """The result's rows of one row of tiles. seen: rows down.first to down.last. picture: its height and width."""
        scale = self.scale
        height, top = min(down.end, picture[0]) - down.begin, down.begin - down.first
        shape = (height * scale, picture[1] * scale, 3)
        band: NDArray[Any] | None = None
        for side in spans(up(picture[1], self._header.window), columns, ready.context, ready.align):
            made = ready.executor.run(np.ascontiguousarray(seen[:, side.first : side.last]), seen.dtype == np.uint8)
            made = made[top * scale : (top + height) * scale]
            if made.shape == shape:  # as wide as the picture: nothing to put together
                band = made
                break
            band = np.empty(shape, seen.dtype) if band is None else band
            left, core = (side.begin - side.first) * scale, band[:, side.begin * scale : side.end * scale]
            core[:] = made[:, left : left + core.shape[1]]
        assert band is not None
        return band if band.dtype == np.uint8 else np.clip(band, 0, 1, out=band)

    def _tile(self, ready: _Ready, height: int, width: int, tile: Tile, most: int | None = None) -> tuple[int, int]:
        """Core sizes (rows, columns). most: rows of a band where "auto" has the choice."""
        executor, window, context = ready.executor, self._header.window, ready.context
        tall, wide = up(height, window), up(width, window)
        if tile is None or (tile == "auto" and self.whole_picture):
            return self._refuse_memory(executor.memory(tall, wide), (tall, wide))
        if tile == "auto":
            most = tall if most is None else most
            if tall <= most and executor.memory(tall, wide) <= BUDGET:
                return tall, wide
            return choose(tall, wide, context, ready.align, executor.memory, BUDGET, most)
        if type(tile) is not int or tile < 1:
            raise OptionsError(f"tile: found {tile!r}, expected a number of pixels, 'auto' or None")
        if self.whole_picture and (tile < height or tile < width):
            raise OptionsError(
                f"tile: this network looks at the whole picture at once, tiles of {tile} would change a picture of "
                f"{width} x {height}",
                hint="use tile='auto'",
            )
        core = up(tile, ready.align)
        need = executor.memory(min(core + 2 * context, tall), min(core + 2 * context, wide))
        if need > MAX_RUN:
            raise OptionsError(f"tile: {tile} takes {need:,} bytes, expected at most {MAX_RUN:,}", hint="use a smaller one")
        return core, core

    def _refuse_memory(self, need: int, size: tuple[int, int]) -> tuple[int, int]:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if need > there:
            hint = "a smaller picture, or another network: this one takes no tiles" if self.whole_picture else "use tiles"
            raise EnvironmentFault(f"a picture of {size[1]} x {size[0]} takes {need:,} bytes, there are {there:,}", hint=hint)
        return size

    def executor(self, depth: int | None = None) -> Executor:
        """What runs the program of a depth (None: the first); made when first asked for. Raises OptionsError as `upscale`."""
        return self._get(depth).executor

    def _get(self, depth: int | None) -> _Ready:
        with self._lock:
            if depth not in self._ready:
                self._ready[depth] = self._prepare(self.program(depth))
            return self._ready[depth]

    def _prepare(self, program: Program) -> _Ready:
        header = self._header
        executor = make_executor(header, self._tensors, program, self._threads)
        context, align = header.receptive_field, header.window
        blocks = {kernel.name: float_block(kernel) for kernel in executor.kernels()}
        # a last bit decides a code now and then: tiles see what the float blocks see, if there are codes at all
        if context is not None and any(isinstance(op, Conv | Quantize) and op.act is not None for op in program.ops):
            seen = reach(program, infer(header, program), {name: block - 1 for name, block in blocks.items()})
            context = max(context, seen or 0)
            align = math.lcm(align, *blocks.values())
        return _Ready(executor, up(OVERLAP if context is None else context, align), align)

    def program(self, depth: int | None = None) -> Program:
        """The operations of a depth (None: the first). Raises OptionsError for a depth that the file does not have."""
        if depth is None:
            return self._header.programs[0]
        for program in self._header.programs:
            if program.depth == depth:
                return program
        there = ", ".join(map(str, self.depths)) or "no choice of depths"
        raise OptionsError(f"depth: found {depth!r}, this file has {there}")


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    try:
        return np.empty(shape, dtype)
    except MemoryError as fault:
        size = f"{shape[1]} x {shape[0]}"
        raise OutOfMemory(f"out of memory for a result of {size} pixels", hint="stream it: Model.rows") from fault


def make_executor(header: PackedHeader, tensors: Tensors, program: Program, threads: int | None) -> Executor:
    """The compiled engine where it is there, else the interpreter. QSR_BACKEND=extension or numpy (numba) forces one."""
    forced = os.environ.get(VARIABLE, "")
    if forced in ("", "extension"):
        try:
            from qsr.runtime.engine import Engine
        except ImportError as fault:
            if forced:
                raise EnvironmentFault(f"the compiled engine cannot be loaded: {fault}", where=VARIABLE) from fault
        else:
            engine: Executor = Engine(header, tensors, program, threads)
            return engine
    from qsr.runtime.interpreter import Interpreter

    return Interpreter(header, tensors, program)

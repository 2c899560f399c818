"""From stored results and cells to what the formulas take: one look-up for everything that was measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from qsr.bibench import cells as cells_of
from qsr.bibench import metrics
from qsr.bibench.metrics import Metric, Reading
from qsr.bibench.rows import TWIN, Network, Work
from qsr.bibench.run import Run
from qsr.bibench.spec import Operator
from qsr.data.corrupt import MOVES_LEVEL
from qsr.leaderboard.collect import baseline_of
from qsr.leaderboard.work import read_result

ROBUST_STILL = "robust_still"
"""Robustness without the kinds that move a picture's level, which no network can undo."""
INFER_PORTABLE = "infer_portable"
"""Inference by the portable kernels."""
COLUMNS: tuple[str, ...] = ("task", "arch", "robust", ROBUST_STILL, "comp", "train", "infer", INFER_PORTABLE)
BOTH_READINGS = ("task", "arch", "robust", ROBUST_STILL)


@dataclass
class Scores:
    """Everything that is there of a benchmark. Nothing is guessed: what is not there is None."""

    run: Run

    @property
    def work(self) -> Work:
        return self.run.work

    # --- single values ------------------------------------------------------------------------------------------------
    def psnr(self, network: Network, dataset: str) -> float | None:
        """PSNR_Y (dB) of a trained network, None where it is not trained or the result no longer holds."""
        found = self._results.get(network)
        value = found["measures"][0]["scores"].get(dataset, {}).get("psnr_y") if found else None
        return None if value is None else float(value)

    def bicubic(self, scale: int, dataset: str) -> float | None:
        cell = self._bicubic.get(scale, {}).get(dataset)
        return None if cell is None else float(cell["psnr_y"])

    def pair(self, network: Network | None, scale: int, kind: str) -> tuple[float, float] | None:
        """(clean, mean over the severities) PSNR of a network, or of bicubic, under one kind of corruption."""
        found = self._cell("robust", network.name if network else f"{cells_of.BICUBIC}_x{scale}")
        if found is None or kind not in found["corrupted"]:
            return None
        return float(found["clean"]), statistics.fmean(found["corrupted"][kind])

    def cell(self, kind: cells_of.Kind, network: Network) -> dict[str, Any] | None:
        return self._cell(kind, network.name)

    def result(self, network: Network) -> dict[str, Any] | None:
        return self._results.get(network)

    def grid(self, operator: str, family: str) -> list[float | None]:
        """PSNR on the grid's set of each of its short trainings."""
        session = self.run.sessions.get("grid")
        dataset = self.work.bench.grid_set
        values: list[float | None] = []
        for task in self.work.grid(operator, family):
            found = read_result(task) if session is not None and session.finished(task) else None
            value = found["measures"][0]["scores"].get(dataset, {}).get("psnr_y") if found else None
            values.append(None if value is None else float(value))
        return values

    def ratios(self, network: Network) -> tuple[float, float]:
        """(r_c, r_s): 32-bit parameters and operations of the twin over the network's, counted honestly; needs no training."""
        return self._counted(network)

    # --- the six metrics ------------------------------------------------------------------------------------------------
    def metric(self, column: str, operator: Operator, reading: Reading, seed: int) -> Metric:
        """One of COLUMNS for one seed; cells that do not depend on the seed are those of the first."""
        networks = list(self._of(operator, seed))
        if column in ("task", "arch"):
            cells = [
                ((network.scale, name) if column == "task" else network.family, self._share(network, name, reading))
                for network in networks
                for name in self.work.bench.sets
            ]
            return metrics.grouped(cells)
        if column in ("robust", ROBUST_STILL):
            kinds = [kind for kind in self.work.bench.robust.kinds if column == "robust" or kind not in MOVES_LEVEL]
            return metrics.grouped([(kind, self.degradation(network, kind, reading)) for network in networks for kind in kinds])
        first = list(self._of(operator, self.work.bench.seeds[0]))
        if column == "comp":
            found = [self.ratios(network) for network in first]
            return metrics.two_sided([r_c for r_c, _ in found], [r_s for _, r_s in found])
        if column == "train":
            here = [network for network in first if network.scale == self.work.bench.scales[0]]
            grid = [family for family in self.work.bench.grid_families if family in self.work.bench.families_of(operator)]
            stable = [metrics.stability(self.grid(operator.operator, f), self.grid(TWIN, f)) for f in grid]
            return metrics.two_sided([_ratio(self.cell("train", network)) for network in here], stable)
        timed = [self.cell("infer", network) for network in first]
        if column == INFER_PORTABLE:
            times = [_ratio(found["portable"]) if found else None for found in timed]
        else:
            times = [_ratio(found) for found in timed]
        return metrics.two_sided(times, [float(found["bytes_ratio"]) if found else None for found in timed])

    def degradation(self, network: Network, kind: str, reading: Reading) -> float | None:
        """G / G^bi of one network and kind."""
        own, full = self.pair(network, network.scale, kind), self.pair(network.twin, network.scale, kind)
        return metrics.robustness(own, full, self.pair(None, network.scale, kind), reading)

    def _share(self, network: Network, dataset: str, reading: Reading) -> float | None:
        own, full = self.psnr(network, dataset), self.psnr(network.twin, dataset)
        return metrics.share(own, full, self.bicubic(network.scale, dataset), reading)

    def _of(self, operator: Operator, seed: int) -> Iterator[Network]:
        bench = self.work.bench
        return (Network(operator.operator, f, scale, seed) for scale in bench.scales for f in bench.families_of(operator))

    # --- reading ----------------------------------------------------------------------------------------------------------
    @cached_property
    def _results(self) -> dict[Network, dict[str, Any]]:
        found = {}
        for network in self.work.networks():
            session = self.run.sessions.get(f"x{network.scale}")
            if session is not None:
                task = self.work.task(network)
                result = read_result(task) if session.finished(task) else None
                if result is not None:
                    found[network] = result
        return found

    @cached_property
    def _bicubic(self) -> dict[int, dict[str, Any]]:
        sessions = {scale: self.run.sessions.get(f"x{scale}") for scale in self.work.bench.scales}
        return {scale: baseline_of(session)["bicubic"] for scale, session in sessions.items() if session is not None}

    def _cell(self, kind: cells_of.Kind, name: str) -> dict[str, Any] | None:
        found = self._cells.get(f"{kind}/{name}")
        return found["values"] if found else None

    @cached_property
    def _cells(self) -> dict[str, dict[str, Any]]:
        """Stored cells that hold, by title."""
        kinds: tuple[cells_of.Kind, ...] = ("robust", "train", "infer")
        found = {}
        for kind in kinds:
            for cell in cells_of.cells(self.work, kind):
                if self.run.ready(cell) and cells_of.finished(cell, self.run.how.any_code):
                    found[cell.title] = cells_of.read(cell) or {}
        return found

    def stored(self) -> dict[str, dict[str, Any]]:
        """Every cell that holds, as stored, by title."""
        return self._cells

    def _counted(self, network: Network) -> tuple[float, float]:
        if network not in self._ratios:
            from qsr.evaluate.complexity import complexity

            own = complexity(self.work.task(network).options)
            full = complexity(self.work.task(network.twin).options)
            self._ratios[network] = (full.params_k / own.params_k, full.ops_g / own.ops_g)
        return self._ratios[network]

    @cached_property
    def _ratios(self) -> dict[Network, tuple[float, float]]:
        return {}


def _ratio(found: dict[str, Any] | None) -> float | None:
    return float(found["ratio"]) if found else None

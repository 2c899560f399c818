"""bibench.json: the six metrics of every operator, every cell behind them, and the command that makes each again."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

from qsr.bibench import metrics
from qsr.bibench.metrics import READINGS
from qsr.bibench.rows import TWIN, Network
from qsr.bibench.run import Run
from qsr.bibench.scores import BOTH_READINGS, COLUMNS, Scores
from qsr.bibench.spec import Operator
from qsr.evaluate.protocol import default
from qsr.files import write_atomic
from qsr.leaderboard.collect import machine, package_versions
from qsr.leaderboard.work import read_result
from qsr.report.bibench_tables import FORMAT


def collect(run: Run) -> dict[str, Any]:
    """The benchmark as plain JSON of FORMAT."""
    bench, scores = run.work.bench, Scores(run)
    return {
        "format": FORMAT,
        "name": bench.name,
        "scales": list(bench.scales),
        "sets": list(bench.sets),
        "seeds": list(bench.seeds),
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "protocol": default(bench.scales[0]).name,
        "budget": bench.budget.model_dump(mode="json"),
        "robust": bench.robust.model_dump(mode="json"),
        "training": bench.training.model_dump(mode="json"),
        "inference": bench.inference.model_dump(mode="json"),
        "machine": machine(),
        "versions": package_versions(),
        "hours": _hours(run, scores),
        "families": {name: {"label": family.label or name} for name, family in bench.families.items()},
        "columns": list(COLUMNS),
        "operators": [_operator(scores, operator) for operator in bench.operators],
        "networks": [_network(scores, network) for network in run.work.networks() if _planned(run, network)],
        "bicubic": {f"x{scale}": {name: scores.bicubic(scale, name) for name in bench.sets} for scale in bench.scales},
        "grid": _grid(scores),
        "cells": {title: _cell(found) for title, found in scores.stored().items()},
        "failed": run.failed,
    }


def write(run: Run) -> dict[str, Any]:
    """`collect`, written as bibench.json, .csv and .md; returns the JSON. The leaderboards' own tables are written too."""
    from qsr.bibench.tables import csv_text, markdown
    from qsr.leaderboard.collect import write as write_board

    for session in run.sessions.values():
        write_board(session)
    found = collect(run)
    text = json.dumps(found, indent=1, allow_nan=False) + "\n"
    for name, content in (("json", text), ("csv", csv_text(found)), ("md", markdown(found))):
        write_atomic(run.work.out / f"bibench.{name}", content.encode())
    return found


def _planned(run: Run, network: Network) -> bool:
    return f"x{network.scale}" in run.work.plans


def _operator(scores: Scores, operator: Operator) -> dict[str, Any]:
    bench = scores.work.bench
    found: dict[str, Any] = {}
    if operator.group == "operator":
        for reading in READINGS:
            found[reading] = {
                column: _metric(scores, operator, column, reading)
                for column in COLUMNS
                if reading == "psnr" or column in BOTH_READINGS
            }
    return {
        "operator": operator.operator,
        "label": operator.label or operator.operator,
        "group": operator.group,
        "families": list(bench.families_of(operator)),
        "note": operator.note,
        "published": dict(operator.published),
        "metrics": found,
    }


def _metric(scores: Scores, operator: Operator, column: str, reading: metrics.Reading) -> dict[str, Any]:
    """Mean over the seeds, spread, and how many of the cells were there."""
    by_seed = {seed: scores.metric(column, operator, reading, seed) for seed in scores.work.bench.seeds}
    known = [found.value for found in by_seed.values() if found.value is not None]
    several = len(by_seed) > 1 and column in BOTH_READINGS
    return {
        "value": statistics.fmean(known) if known else None,
        "spread": metrics.spread({seed: found.value for seed, found in by_seed.items()}) if several else None,
        "measured": sum(found.measured for found in by_seed.values()),
        "wanted": sum(found.wanted for found in by_seed.values()),
    }


def _network(scores: Scores, network: Network) -> dict[str, Any]:
    """One trained network with all that was measured of it."""
    bench, task, result = scores.work.bench, scores.work.task(network), scores.result(network)
    params, ops = scores.ratios(network) if network.operator != TWIN else (1.0, 1.0)
    degradation = {
        reading: {kind: scores.degradation(network, kind, reading) for kind in bench.robust.kinds} for reading in READINGS
    }
    return {
        "operator": network.operator,
        "family": network.family,
        "scale": network.scale,
        "seed": network.seed,
        "experiment": str(task.folder),
        "psnr": {name: scores.psnr(network, name) for name in bench.sets},
        "r_c": params,
        "r_s": ops,
        "degradation": degradation if network.operator != TWIN else {},
        "seconds": result["seconds"] if result else None,
        "iterations": result["iterations"] if result else None,
        "train_command": task.train_command,
        "test_command": result["measures"][0]["test_command"] if result else None,
    }


def _grid(scores: Scores) -> list[dict[str, Any]]:
    found = []
    for family in scores.work.bench.grid_families if "grid" in scores.work.plans else ():
        for operator in (TWIN, *(one.operator for one in scores.work.bench.operators if one.group == "operator")):
            tasks = scores.work.grid(operator, family)
            values = scores.grid(operator, family)
            for task, value in zip(tasks, values, strict=True):
                point = task.row.row.partition(".")[2]
                found.append(
                    {"operator": operator, "family": family, "point": point, "psnr": value, "train_command": task.train_command}
                )
    return found


def _cell(found: dict[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("made", "seconds", "machine", "command", "values")}


def _hours(run: Run, scores: Scores) -> dict[str, float]:
    """Of training, as the results say, and of measuring."""
    trained = [read_result(task) for session in run.sessions.values() for task in session.plan.tasks]
    training = sum(found.get("seconds") or 0 for found in trained if found is not None)
    measuring = sum(found["seconds"] for found in scores.stored().values())
    return {"training": round(training / 3600, 2), "measuring": round(measuring / 3600, 2)}

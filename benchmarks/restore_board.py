"""Fills a leaderboard's folder from a committed table, so that `qsr leaderboard --any-code` trains only what is missing.

    python benchmarks/restore_board.py options/leaderboard/small_x4.yml FOLDER --data-root DATA \
        --table benchmarks/results/leaderboard_small_x4_2026-11-28.csv --network fp_msr_s0=experiments/zoo/fp_x4.safetensors

A table has scores and costs, no networks, curves or pictures: a row that others start from has to be trained again, unless
--network gives its model file (a released model is one). A row whose options or pictures changed since is left out and named.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qsr.files import write_atomic
from qsr.leaderboard.identity import Identities
from qsr.leaderboard.measure import Gauge, variants
from qsr.leaderboard.plan import Plan, Task, make
from qsr.leaderboard.work import IDENTITY_FILE, Job, write_result

Line = Mapping[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("board", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument(
        "--network", nargs="*", default=[], help="TASK=MODEL.safetensors, for instance fp_msr_s0=fp_x4.safetensors"
    )
    asked = parser.parse_args()
    plan = make(asked.board, asked.folder, data_root=asked.data_root)
    identities = Identities(plan)
    table: dict[tuple[str, int], list[Line]] = defaultdict(list)
    with open(asked.table, encoding="utf-8", newline="") as handle:
        for line in csv.DictReader(handle):
            if line["status"] == "done" and line["psnr_y"]:
                table[line["row"], int(line["seed"])].append(line)
    restored = [task.name for task in plan.tasks if restore(plan, task, table, identities)]
    for text in asked.network:
        name, _, model = text.partition("=")
        task = plan.by_name[name]
        (task.folder / "models").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model, task.folder / "models" / "net_g_latest.safetensors")
        write_atomic(task.folder / IDENTITY_FILE, json.dumps(identities.of(task).to_json()).encode())
    print(f"{len(restored)} results restored, {len(asked.network)} networks placed; {len(plan.tasks)} tasks in all")


def restore(plan: Plan, task: Task, table: Mapping[tuple[str, int], list[Line]], identities: Identities) -> bool:
    """Write the task's result where the table has all its lines and no result is there; says whether it did."""
    wanted = [
        (depth, ensemble, table.get((task.row.row + (f"@{depth}" if depth else "") + ("+" if ensemble else ""), task.seed), []))
        for depth, ensemble in variants(task)
    ]
    if task.result_file.exists() or not all(lines for _, _, lines in wanted):
        return False
    identity, first = identities.of(task), wanted[0][2][0]
    if (first["options_hash"], first["data_hash"]) != (identity.options, identity.data):
        print(f"{task.name}: other options or pictures than in the table, left out")
        return False
    board = plan.board
    gauge = Gauge(board.scale, tuple(board.sets), tuple(board.pictures), plan.data_root)
    older = replace(identity, training=first["code"], code=first["code"])
    facts = {"status": "done", "why": "", "curve": [], "validation": [], "seconds": number(first["seconds"])}
    facts |= {"iterations": int(first["iterations"]), "measures": [measured(*variant) for variant in wanted]}
    write_result(Job(task, older, gauge, any_code=True), older, facts)
    return True


def measured(depth: int | None, ensemble: bool, lines: list[Line]) -> dict[str, Any]:
    """One entry of a result's `measures`, as qsr.leaderboard.measure makes it, as far as the table knows."""
    scores = {line["dataset"]: {"psnr_y": float(line["psnr_y"]), "ssim_y": float(line["ssim_y"])} for line in lines}
    costs = {key: number(lines[0][key]) for key in ("params_k", "ops_g", "average_bits")}
    planes = number(lines[0]["planes"])
    known = {"depth": depth, "self_ensemble": ensemble, "scores": scores, **costs, "planes": int(planes) if planes else None}
    return {**known, "bits": None, "layers": [], "pictures": {}, "test_command": None}


def number(text: str) -> float | None:
    return float(text) if text else None


if __name__ == "__main__":
    main()

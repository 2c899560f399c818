"""In which order stages run, and which of them run together."""

from __future__ import annotations

import heapq
from typing import Any

Stage = dict[str, Any]

WHOLE = ("mean", "swin")  # stages over a whole map, which have a segment of their own
LATE = ("picture", "bilinear")  # cheap to make, large to keep: they run right before what needs them


def inputs(stage: Stage) -> list[int]:
    """Maps that it reads."""
    return [stage[key] for key in ("input", "second") if stage.get(key, -1) >= 0]


def outputs(stage: Stage) -> list[int]:
    """Maps that it makes."""
    made = [stage["out"]] if stage.get("out", -1) >= 0 else []
    return made + [sink["map"] for sink in stage.get("sinks", [])]


def ordered(stages: list[Stage], maps: int) -> list[Stage]:
    """Stages so that each comes behind those whose maps it reads, else in the order of their operations.

    A Swin layer changes its map in place: it comes behind the map's maker and whatever layers were before it.
    """
    versions: list[list[int]] = [[] for _ in range(maps)]  # stages that make or change a map, in order
    for number, stage in enumerate(stages):
        for made in outputs(stage):
            versions[made].append(number)
    before: list[set[int]] = []
    for number, stage in enumerate(stages):
        needed = {maker for read in inputs(stage) for maker in _seen(versions[read], number)}
        if stage["kind"] != "mean" and stage.get("slot", -1) >= 0:
            needed |= {n for n, other in enumerate(stages) if other["kind"] == "mean" and other["slot"] == stage["slot"]}
        before.append(needed - {number})
    behind: list[list[int]] = [[] for _ in stages]
    for number, needed in enumerate(before):
        for maker in needed:
            behind[maker].append(number)

    position = [float(stage["position"]) for stage in stages]
    for number in reversed(range(len(stages))):
        if stages[number]["kind"] in LATE and behind[number]:
            position[number] = min(position[user] for user in behind[number]) - 2.0**-10
    waiting = [len(needed) for needed in before]
    ready = [(position[n], n) for n in range(len(stages)) if not waiting[n]]
    heapq.heapify(ready)
    result = []
    while ready:
        _, number = heapq.heappop(ready)
        result.append(stages[number])
        for user in behind[number]:
            waiting[user] -= 1
            if not waiting[user]:
                heapq.heappush(ready, (position[user], user))
    assert len(result) == len(stages), "stages wait for each other"
    return result


def _seen(versions: list[int], reader: int) -> list[int]:
    """The stage that last made or changed a map when `reader` reads it; a maker that was listed later is its maker too."""
    earlier = [number for number in versions if number < reader]
    return earlier[-1:] if earlier else versions[:1]


def cut(stages: list[Stage], maps: list[Any], convs: int) -> list[int]:
    """The first stage of each segment.

    Rows of one segment roll from stage to stage without ever being a whole map. Where the map grows, everything behind it
    is one segment: a map of the enlarged picture is too large to exist. Before that, about `convs` convolutions run
    together, and a cut is where a residual sum has just been made: there the fewest maps are alive.
    """
    starts = [0]
    together, summed, enlarged = 0, False, False
    for number, stage in enumerate(stages):
        conv = stage["kind"] == "conv" and not stage.get("depthwise")  # as cheap as what a cut in front of it would cost
        alone = stage["kind"] in WHOLE
        grows = not enlarged and any(maps[made][2] > 1 for made in outputs(stage))
        full = conv and not enlarged and (together >= 2 * convs or (together >= convs and summed))
        begins = alone or grows or full or (number > 0 and stages[number - 1]["kind"] in WHOLE)
        if number > 0 and begins:
            starts.append(number)
            together = 0
        if conv:
            together += 1
            summed = stage.get("second", -1) >= 0
        enlarged = enlarged or grows
    return starts

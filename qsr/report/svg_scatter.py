"""The scatter chart: quality against cost, every point with its name, and the line of what nothing else beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from qsr.report import svg
from qsr.report.html import Markup, tag

WIDTH, HEIGHT = 620, 420
LEFT, RIGHT, TOP, BOTTOM = 52, 84, 14, 42
ASIDE = 70  # left of the cheapest points, for names
LINE = 12  # height of a label
REACHES = (9, 24)  # from a mark to its name; the second with a line between them
LONGEST = 22  # letters of a label
SHIFTS = tuple(sign * LINE / 2 * i for i in range(14) for sign in (1, -1))
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Point:
    """x: cost, above zero; y: quality. words: the label; more: what pointing at the mark says.

    kind: number that picks shape and colour; key: the group, which a filter hides.
    """

    x: float
    y: float
    words: str
    more: str
    kind: int
    key: str


def scatter_chart(points: Sequence[Point], title: str, x_label: str, y_label: str) -> Markup:
    """The chart, costs on a logarithmic axis."""
    x = svg.Scale.around((point.x for point in points), LEFT + ASIDE, WIDTH - RIGHT, log=True, room=0.04).widened(LEFT)
    y = svg.Scale.around((point.y for point in points), HEIGHT - BOTTOM, TOP)
    front = [(x.at(point.x), y.at(point.y)) for point in pareto(points)]
    marks = [_drawn(point, x.at(point.x), y.at(point.y)) for point in points]
    names = _labels(points, x, y)
    together = [tag("g", mark, name, data_group=point.key) for point, mark, name in zip(points, marks, names)]
    return svg.chart(WIDTH, HEIGHT, title, svg.axes(x, y, x_label, y_label), svg.path(front, "front"), *together)


def pareto(points: Sequence[Point]) -> list[Point]:
    """Those that no other point beats at the same or a lower cost, cheapest first."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, -p.y)):
        if not kept or point.y > kept[-1].y:
            kept.append(point)
    return kept


def _drawn(point: Point, x: float, y: float) -> Markup:
    return svg.marker(shape_of(point.kind), x, y, 4.5, tag("title", point.more), class_=f"mark s{point.kind % svg.COLOURS}")


def shape_of(kind: int) -> str:
    return svg.SHAPES[kind % len(svg.SHAPES)]


def _labels(points: Sequence[Point], x: svg.Scale, y: svg.Scale) -> list[Markup]:
    """A name beside each point, where it runs into the fewest marks and names; a line ties it on if it had to move away.

    Greedy, from the top down: of the places right and left of the mark, and above and below those, the cheapest.
    """
    spots = [(x.at(point.x), y.at(point.y)) for point in points]
    # wider than drawn, so that no name stands beside a mark that is not its own
    marks = [(px - 16, py - 5, px + 16, py + 5) for px, py in spots]
    names = [point.words if len(point.words) <= LONGEST else point.words[: LONGEST - 1] + "…" for point in points]
    taken: list[Box] = []
    made: dict[int, Markup] = {}
    for i in sorted(range(len(points)), key=lambda i: spots[i][1]):
        width = len(names[i]) * svg.CHARACTER
        others = marks[:i] + marks[i + 1 :]
        places = [Place(*spots[i], width, side, reach, shift) for side in (1, -1) for reach in REACHES for shift in SHIFTS]
        best = min(places, key=lambda place: place.price(taken, others))
        taken.append(best.box)
        made[i] = best.drawn(names[i])
    return [made[i] for i in range(len(points))]


@dataclass(frozen=True)
class Place:
    """Where the name of the mark at (x, y) could stand: right (side 1) or left (-1), `reach` away, `shift` lower."""

    x: float
    y: float
    width: float
    side: int
    reach: float
    shift: float

    @property
    def box(self) -> Box:
        left = self.x + self.reach if self.side > 0 else self.x - self.reach - self.width
        return (left, self.y + self.shift - LINE / 2, left + self.width, self.y + self.shift + LINE / 2)

    def price(self, names: Sequence[Box], marks: Sequence[Box]) -> float:
        """Low is good: what it covers counts most, then how far away it is."""
        box = self.box
        outside = box[0] < LEFT + 2 or box[2] > WIDTH or box[1] < 0 or box[3] > HEIGHT - BOTTOM
        hits = 60 * sum(_overlap(box, other) for other in names) + 40 * sum(_overlap(box, other) for other in marks)
        return hits + abs(self.shift) + (self.side < 0) * 3 + (self.reach > REACHES[0]) * 5 + outside * 1000

    def drawn(self, words: str) -> Markup:
        near, height = self.x + self.side * self.reach, self.y + self.shift
        tied = self.reach > REACHES[0] or abs(self.shift) > LINE / 2
        tie = svg.line(self.x + 5 * self.side, self.y, near - 2 * self.side, height, "tie") if tied else None
        return tag("g", tie, svg.label(near, height + 4, words, "start" if self.side > 0 else "end"), aria_hidden="true")


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def scatter_legend(points: Sequence[Point]) -> Markup:
    """One entry per group."""
    firsts = [next(run) for _, run in groupby(sorted(points, key=lambda p: p.kind), key=lambda p: p.kind)]
    return svg.legend(
        (point.key, svg.marker(shape_of(point.kind), 10, 7, 4.5, class_=f"mark s{point.kind % svg.COLOURS}"), "")
        for point in firsts
    )

"""leaderboard.json as typed values: what every section of the page (page_*.py) reads.

The file may come from somebody else: numbers are checked, text stays text, pictures have to lie beside the file.
A value that is null or absent is None here and "n/a" on the page; nothing is filled in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from qsr.errors import DataError, FormatError
from qsr.jsonfile import read_json

FORMAT = 1
FILE = "leaderboard.json"
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Score:
    """PSNR_Y in dB, SSIM_Y, and how far apart the seeds are (dB, greatest minus least; None for one seed)."""

    psnr: float | None
    ssim: float | None
    spread: float | None = None
    source: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seed:
    """One experiment. curve: (iteration, loss); validation: (iteration, PSNR in dB); commands as a shell takes them."""

    seed: int
    experiment: str
    status: str
    why: str
    scores: Mapping[str, Score]
    iterations: float | None
    seconds: float | None
    identity: Mapping[str, str]
    train_command: str
    test_command: str
    curve: Points
    validation: Points
    average_bits: float | None


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard. number: its place in the file, from 0; the page's anchors are made of it.

    ensemble: eight passes instead of one. mean, published: by set. pictures: "set/picture" -> file relative to the
    board's folder. layers: LayerReport.to_json().
    """

    number: int
    name: str
    label: str
    method: str
    group: str
    w_bits: int | None
    a_bits: int | None
    planes: int | None
    backbone: str
    note: str
    approximate: bool
    ensemble: bool
    status: str
    why: str
    seeds: tuple[Seed, ...]
    mean: Mapping[str, Score]
    published: Mapping[str, Score]
    published_as: str
    params_k: float | None
    ops_g: float | None
    bits: float | None
    milliseconds: float | None
    layers: Mapping[str, Any]
    pictures: Mapping[str, str]

    @property
    def anchor(self) -> str:
        return f"r{self.number}"

    def psnr(self, dataset: str) -> float | None:
        """Our mean PSNR on a set, if it was measured."""
        score = self.mean.get(dataset)
        return score.psnr if score else None


@dataclass(frozen=True)
class Board:
    """The whole file; `folder` is where it lies. pictures: "set/picture" -> {"hr", "lr", "bicubic"} -> relative file."""

    folder: Path
    name: str
    scale: int
    made: str
    protocol: str
    sets: tuple[str, ...]
    budget: Mapping[str, Any]
    machine: Mapping[str, Any]
    versions: Mapping[str, Any]
    hours: float | None
    rows: tuple[Row, ...]
    bicubic: Mapping[str, Score]
    pictures: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def groups(self) -> tuple[str, ...]:
        """In the order in which the rows bring them up."""
        return tuple(dict.fromkeys(row.group for row in self.rows))

    def group(self, name: str) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.group == name)


def read_board(source: Path | str) -> Board:
    """Read `source`, the file or the folder that holds it. DataError if there is none, FormatError if it is damaged."""
    path = Path(source)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise DataError("no such file", where=str(path), hint="qsr leaderboard writes it")

    def refuse(name: str) -> NoReturn:
        raise FormatError(f"holds the number {name}, which JSON does not have", where=str(path))

    try:
        data = read_json(path, refuse)
    except ValueError as fault:
        raise FormatError(f"not JSON: {fault}", where=str(path)) from fault
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise FormatError(f"not a leaderboard of format {FORMAT} (found {found})", where=str(path))
    try:
        return _board(data, path.parent)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise FormatError(f"not a leaderboard: {type(fault).__name__} {fault}", where=str(path)) from fault


def _board(data: Mapping[str, Any], folder: Path) -> Board:
    return Board(
        folder=folder,
        name=str(data["name"]),
        scale=int(data["scale"]),
        made=_text(data, "made"),
        protocol=_text(data, "protocol"),
        sets=tuple(str(name) for name in data["sets"]),
        budget=dict(data.get("budget") or {}),
        machine=dict(data.get("machine") or {}),
        versions=dict(data.get("versions") or {}),
        hours=_number(data.get("hours")),
        rows=tuple(_row(number, row) for number, row in enumerate(data["rows"])),
        bicubic=_by_set(data.get("bicubic"), _score),
        pictures={str(key): _files(files) for key, files in (data.get("pictures") or {}).items()},
    )


def _row(number: int, row: Mapping[str, Any]) -> Row:
    texts = {key: _text(row, key) for key in ("method", "group", "backbone", "note", "status", "why", "published_as")}
    return Row(
        **texts,
        number=number,
        name=str(row["row"]),
        label=_text(row, "label") or str(row["row"]),
        w_bits=_whole(row.get("w_bits")),
        a_bits=_whole(row.get("a_bits")),
        planes=_whole(row.get("planes")),
        approximate=bool(row.get("approximate")),
        ensemble=bool(row.get("self_ensemble")),
        seeds=tuple(_seed(seed) for seed in row.get("seeds") or ()),
        mean=_by_set(row.get("mean"), _score),
        published=_by_set(row.get("published"), _score),
        params_k=_number(row.get("params_k")),
        ops_g=_number(row.get("ops_g")),
        bits=_number(row.get("bits")),
        milliseconds=_number(row.get("milliseconds")),
        layers=dict(row.get("layers") or {}),
        pictures=_files(row.get("pictures")),
    )


def _seed(seed: Mapping[str, Any]) -> Seed:
    texts = {key: _text(seed, key) for key in ("experiment", "status", "why", "train_command", "test_command")}
    return Seed(
        **texts,
        seed=int(seed["seed"]),
        scores=_by_set(seed.get("scores"), _score),
        iterations=_number(seed.get("iterations")),
        seconds=_number(seed.get("seconds")),
        identity={key: _text(seed, key) for key in ("code", "options_hash", "data_hash") if _text(seed, key)},
        curve=_points(seed.get("curve")),
        validation=_points(seed.get("validation")),
        average_bits=_number(seed.get("average_bits")),
    )


def _score(data: Mapping[str, Any]) -> Score:
    """Ours (psnr_y, ssim_y, psnr_spread) and published (psnr, ssim, source, notes) alike."""
    return Score(
        psnr=_number(data.get("psnr_y", data.get("psnr"))),
        ssim=_number(data.get("ssim_y", data.get("ssim"))),
        spread=_number(data.get("psnr_spread")),
        source=_text(data, "source"),
        notes=tuple(str(note) for note in data.get("notes") or ()),
    )


def _by_set(data: Any, read: Callable[[Mapping[str, Any]], Score]) -> dict[str, Score]:
    return {str(name): read(value) for name, value in (data or {}).items() if value is not None}


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return "" if value is None else str(value)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"found {value!r}, expected a number")
    return float(value)


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _points(data: Any) -> Points:
    pairs = ((_number(x), _number(y)) for x, y in data or ())
    return tuple((x, y) for x, y in pairs if x is not None and y is not None)


def _files(data: Any) -> dict[str, str]:
    files = {str(key): str(name) for key, name in (data or {}).items() if name}
    for name in files.values():
        # a page made from somebody's file must not show pictures from elsewhere on this machine
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"picture {name!r} does not lie beside the file")
    return files

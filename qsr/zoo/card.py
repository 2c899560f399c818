"""What a person reads about the released models: one card each, and the table of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from qsr.zoo.index import ZooModel

if TYPE_CHECKING:
    from rich.table import Table

MISSING = "n/a"
SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109")


def card(model: ZooModel) -> str:
    """Markdown: numbers, results beside bicubic, data and its licence, recipe, use."""
    return (
        "\n\n".join(
            [f"# {model.name}", _first(model), _numbers(model), _results(model), _data(model), _recipe(model), _use(model)]
        )
        + "\n"
    )


def _first(model: ZooModel) -> str:
    bits = (
        "full precision"
        if model.w_bits == model.a_bits == 32
        else f"{model.w_bits}-bit weights, {model.a_bits}-bit activations"
    )
    text = f"{model.label}, x{model.scale}: {model.backbone}, {bits}."
    return f"{text} {model.note}" if model.note else text


def _numbers(model: ZooModel) -> str:
    lines = [
        (
            "file",
            f"`{model.file}`, {model.bytes / 1000:.0f} KB: weights as trained",
        ),
        ("sha256", f"`{model.sha256}`"),
        ("packed", f"`{model.packed}`, {model.packed_bytes / 1000:.0f} KB, tail {model.tail}" if model.packed else MISSING),
        ("sha256 of it", f"`{model.packed_sha256}`" if model.packed else MISSING),
        ("parameters", f"{model.parameters:,}; {model.params_k:.1f} K in units of 32 bits"),
        ("operations", f"{model.ops_g:.2f} G for a 1280x720 output (docs/complexity.md, mode honest)"),
        ("time", MISSING if model.ms is None else f"{model.ms:.1f} ms ({model.ms_of})"),
        ("trained", f"{model.iterations:,} iterations, {model.weights} weights" + (f", {model.made}" if model.made else "")),
        ("versions", ", ".join(f"{name} {version}" for name, version in model.versions.items()) or MISSING),
    ]
    return _markdown(("", ""), lines, right=0)


def _results(model: ZooModel) -> str:
    lines = []
    for name in _sets([model]):
        ours, theirs = model.scores[name], model.bicubic.get(name)
        gain = f"{ours['psnr_y'] - theirs['psnr_y']:+.2f}" if theirs else MISSING
        lines.append((name, _score(theirs), _score(ours), gain))
    if not lines:
        return "## Results\n\nnot measured"
    table = _markdown(("PSNR_Y / SSIM_Y", "bicubic", model.name, "gain, dB"), lines, right=3)
    return f"## Results\n\n{table}\n\nprotocol {model.protocol}" if model.protocol else f"## Results\n\n{table}"


def _score(score: dict[str, float] | None) -> str:
    return f"{score['psnr_y']:.2f} / {score['ssim_y']:.4f}" if score else MISSING


def _data(model: ZooModel) -> str:
    from qsr.data.cards import find_card  # brings YAML, which printing the list has to do without

    found = find_card(model.data)
    trained = f"Trained on {model.data or 'unknown pictures'}; licence of the pictures: {model.licence or 'unknown'}."
    text = f"## Data and licence\n\n{trained}"
    if found is not None:
        text += f" Source: {found.source} ({found.homepage})."
    return (
        f"{text} LR pictures were made by MATLAB-exact bicubic reduction: pictures that were made small in another way, or "
        "compressed, are not what this model has learned."
    )


def _recipe(model: ZooModel) -> str:
    return "## Recipe\n\n" + ("\n".join(f"- {line}" for line in model.recipe) or "not recorded")


def _use(model: ZooModel) -> str:
    return (
        f"## Use\n\n```\nqsr zoo get {model.name}        # prints where the file is\n"
        f"qsr test --model $(qsr zoo get {model.name}) --sets Set5\n```"
    )


def table(models: Sequence[ZooModel]) -> str:
    """Markdown: file, KB, parameters, operations and PSNR beside bicubic, as the zoo's README shows it."""
    names = _sets(models)
    head = ("model", "scale", "bits", "KB", "params K", "ops G", "ms", *names)
    return _markdown(head, [_line(model, names) for model in models], right=len(head) - 1)


def terminal(models: Sequence[ZooModel]) -> Table:
    """The same for `rich.console.Console.print`."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    names = _sets(models)
    drawn = Table(box=SIMPLE_HEAD)
    for i, name in enumerate(("model", "scale", "bits", "KB", "params K", "ops G", "ms", *names)):
        drawn.add_column(name, justify="right" if i else "left", no_wrap=True)
    for model in models:
        drawn.add_row(*_line(model, names))
    return drawn


def _line(model: ZooModel, names: Iterable[str]) -> tuple[str, ...]:
    bits = "fp" if model.w_bits == model.a_bits == 32 else f"{model.w_bits}/{model.a_bits}"
    ms = MISSING if model.ms is None else f"{model.ms:.1f}"
    fixed = (
        model.name,
        f"x{model.scale}",
        bits,
        f"{(model.packed_bytes or model.bytes) / 1000:.0f}",
        f"{model.params_k:.1f}",
        f"{model.ops_g:.2f}",
        ms,
    )
    return (*fixed, *(_beside(model, name) for name in names))


def _beside(model: ZooModel, name: str) -> str:
    ours, theirs = model.scores.get(name), model.bicubic.get(name)
    if ours is None:
        return MISSING
    return f"{ours['psnr_y']:.2f}" + (f" ({ours['psnr_y'] - theirs['psnr_y']:+.2f})" if theirs else "")


def _sets(models: Sequence[ZooModel]) -> list[str]:
    found = dict.fromkeys(name for model in models for name in model.scores)
    return sorted(found, key=lambda name: SETS.index(name) if name in SETS else len(SETS))


def _markdown(head: Sequence[str], lines: Iterable[Sequence[str]], right: int) -> str:
    """A table whose last `right` columns are aligned to the right."""
    marks = ["---:" if i >= len(head) - right else "---" for i in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, marks, *lines))

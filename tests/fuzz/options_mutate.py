"""Option files that mean harm, and damage to good ones that knows YAML and the schema's keys.

>>> text = damage(random.Random(1), good()[0])
"""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

from qsr.options import load
from qsr.options.schema_walk import every_section
from qsr.options.show import to_yaml

FOLDER = Path(__file__).resolve().parents[2] / "options"
START = "name: x\nscale: 2\nnetwork_g: {type: SRResNet}\n"
WORDS = (
    *("0", "-1", "1", "2", "3.5", "1e308", "1e400", ".nan", ".inf", "-.inf", "1" * 39, "9" * 5000, "0x10", "1_0", "017"),
    *("true", "off", "~", "null", "''", '"\\0"', '"\\ud800"', '"\\e[31m"', "é", "\u2028", "x" * 3000, "../../x", "/dev/zero"),
    *("[]", "{}", "[1, 2]", "[[1]]", "{a: 1}", "[~, ~]", "{type: SwinIR}", "{type: 'basicsr:EDSR'}", "{0: 1}", "[a, {b: c}]"),
    *(
        "!!python/name:os.system",
        "!!python/object/apply:os.system ['true']",
        "!!int x",
        "!!float 1",
        "&a [*a]",
        "*b",
        "? x",
        "- - -",
    ),
)

# name -> text, and the line that the error has to name; None: any line of the file
YAML: dict[str, tuple[str, int | None]] = {
    "python object": (START + "logger: !!python/object/apply:os.system ['touch canary']\n", 4),
    "python name": (START + "logger: !!python/name:os.system\n", 4),
    "python module": (START + "logger: !!python/module:os\n", 4),
    "python tuple": (START + "logger: !!python/tuple [1]\n", 4),
    "tag of ours": (START + "logger: !include /etc/passwd\n", 4),
    "tag in a key": (START + "? !!python/name:os.system\n: 1\n", 4),
    "alias bomb": (
        START
        + "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi")),
        None,
    ),
    "alias of itself": (START + "a: &a {b: *a}\n", 4),
    "merge keys": (START + "a: &a {b: 1}\nc: {<<: *a}\n", 5),
    "deep lists": (START + "a: " + "[" * 100_000, 4),
    "deep maps": (START + "a: " + "{b: " * 100_000, 4),
    "deep blocks": (START + "".join(" " * n + "a:\n" for n in range(900)), None),
    "a scalar of a megabyte and more": (START + "a: " + "x" * (10 << 20), 1),
    "a scalar just below the limit": (START + "a: " + "x" * ((1 << 20) - 100), 4),
    "too many keys": (START + "".join(f"k{n}: 1\n" for n in range(45_000)), None),
    "many keys": (START + "".join(f"k{n}: 1\n" for n in range(9900)), None),
    "many keys in a section": (
        START + "network_g: {type: SRResNet, " + ", ".join(f"k{n}: 1" for n in range(9900)) + "}\n",
        None,
    ),
    "many keys of a known section": (
        "name: x\nscale: 2\nnetwork_g: {type: SRResNet, " + ", ".join(f"k{n}: 1" for n in range(9900)) + "}",
        3,
    ),
    "many data sets": (START + "datasets: {" + ", ".join(f"k{n}: {{}}" for n in range(4900)) + "}\n", 4),
    "many metrics": (START + "val: {metrics: {" + ", ".join(f"k{n}: {{type: x}}" for n in range(4900)) + "}}\n", 4),
    "many layer rules": (START + "quant: {method: rlq, rules: [" + "{match: x, w_bits: 1}," * 3300 + "]}\n", 4),
    "long keys": (START + "".join(f"{'k' * 900}{n}: 1\n" for n in range(900)), None),
    "a key twice": (START + "scale: 3\n", 4),
    "tabs": (START + "train:\n\ttotal_iter: 3\n", 5),
    "byte order mark": ("\ufeff" + START, 1),
    "control characters": (START + "a: \x1b[2J\n", 4),
    "escapes for a terminal": (START + 'a: "\\e[2J"\n"\\e[31mb": 1\n', None),
    "half a surrogate pair": (START + 'a: "\\ud800"\n', None),
    "two documents": (START + "---\n" + START, 4),
    "a list": ("- " + START.replace("\n", "\n  "), 1),
    "a huge number": (START + "manual_seed: " + "9" * 39 + "\n", 4),
    "not a number": (START + "train: {total_iter: .nan}\n", 4),
    "a base that is a device": ("base: /dev/zero\n" + START, 1),
    "a base that is not text": ("base: {a: 1}\n" + START, 1),
    "a base far away": ("base: ../../../../../../etc/passwd\n" + START, None),
    "a base of escapes": ('base: "\\e[2Jx.yml"\n' + START, 1),
    "a base with a NUL": ('base: "a\\0b"\n' + START, 1),
    "a base of a long name": ("base: " + "x" * 5000 + "\n" + START, 1),
    "a base of a long list": ("base: {" + ", ".join(f"k{n}: 1" for n in range(9000)) + "}\n" + START, 1),
    "a tag of escapes": (START + "a: !<%1b[2J> 1\n", 4),
    "a long tag": (START + "a: !" + "x" * 90_000 + " 1\n", 4),
    "a long alias": (START + "a: *" + "x" * 90_000 + "\n", 4),
    "a long key twice": (START + f"{'k' * 900}: 1\n" * 2, 5),
    "a path of escapes": (START + 'datasets: {train: {dataroot_gt: "\\e[2J.lmdb"}}\ntrain: {total_iter: 1}\n', None),
    "a base that is itself": ("base: attack.yml\n" + START, 1),
    "a thousand bases": ("base: [" + ", ".join(["no.yml"] * 1000) + "]\n" + START, 1),
}


@cache
def good() -> tuple[str, ...]:
    """Ready option files of every kind, their bases and defaults written out."""
    files = sorted(FOLDER.glob("*.yml"))[::7]
    return tuple(to_yaml(load(path).options.to_json()) for path in files)


@cache
def keys() -> tuple[str, ...]:
    return tuple(sorted({name for _, model in every_section() for name in model.model_fields}))


def damage(r: random.Random, text: str) -> str:
    """One to four changes: values, keys, indentation, lines, bytes."""
    for _ in range(r.choice((1, 1, 2, 4))):
        lines = text.splitlines(True) or ["\n"]
        at, kind = r.randrange(len(lines)), r.randrange(9)
        key, colon, _ = lines[at].partition(":")
        if kind <= 2 and colon:
            lines[at] = f"{key}: {r.choice(WORDS)}\n"
        elif kind == 3 and colon:
            indent = key[: len(key) - len(key.lstrip())]
            lines[at] = f"{indent}{r.choice(keys())}:{lines[at].partition(':')[2]}"
        elif kind == 4:
            lines.insert(at, f"{' ' * r.choice((0, 2, 4))}{r.choice(keys())}: {r.choice(WORDS)}\n")
        elif kind == 5:
            lines[at] = r.choice((" ", "\t", "  ", "- ", "? ", "&a ", "!x ")) + lines[at]
        elif kind == 6:
            del lines[at]
        elif kind == 7:
            lines.insert(at, r.choice(lines))
        else:
            place = r.randrange(len(lines[at]) + 1)
            lines[at] = (
                lines[at][:place]
                + r.choice((":", "{", "}", "[", "]", "'", '"', "\x00", "#", "\r", "%", "|", "é", "*"))
                + lines[at][place:]
            )
        text = "".join(lines)
    return text

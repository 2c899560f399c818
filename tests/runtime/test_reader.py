"""docs/format.md is enough: a reader written from it, in plain numpy, makes the pictures that the interpreter makes."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from qsr.runtime.feeder import reflected
from qsr.runtime.interpreter import Interpreter
from qsr.runtime.model import Model
from qsr.runtime.packed.container import to_bytes
from tests.runtime import reader
from tests.runtime.packed.build import METHODS, conv_net, mixer_net, swin_net

SEED = 5
ODD = ("w4a4o", "w8a8o", "w2a2ns", "w4a4f", "w8a8sf", "w1a1m", "w1a1p", "w1a1x2p", "w1a1c", "w4a4w", "w1a1w")


def test_it_uses_nothing_of_ours() -> None:
    path = Path(reader.__file__)
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names == {"__future__", "json", "math", "struct", "numpy"}
    code = [line for line in path.read_text().splitlines() if line.strip() and not line.strip().startswith(("#", '"""'))]
    assert len(code) <= 125


def compare(net, size: tuple[int, int]) -> None:
    header, tensors = net
    picture = np.random.default_rng(SEED).integers(0, 256, (*size, 3), np.uint8)
    found = reader.Network(to_bytes(header, tensors)).upscale(picture)
    rows, columns = (reflected(side, header.window) for side in size)  # Model continues the picture for the interpreter
    made = Interpreter(header, tensors, header.programs[0]).run(picture[rows][:, columns])
    made = made[: size[0] * header.scale, : size[1] * header.scale]
    far = np.abs(found - made)
    # a code that lies on the edge may fall on either side where float sums differ in the last bit
    assert np.mean(far < 2e-4) >= 0.97, (far.max(), np.mean(far < 2e-4))
    as_bytes = np.rint(np.clip(found, 0, 1) * 255)
    same = as_bytes == Model(header, tensors).upscale(picture, None)
    assert same.mean() >= 0.97


@pytest.mark.parametrize("method", [*METHODS, *ODD])
@pytest.mark.parametrize("layout", ["edsr", "msr"])
def test_networks_of_convolutions(method: str, layout: str) -> None:
    compare(conv_net(method, features=8, blocks=2, scale=3, layout=layout, seed=SEED), (7, 9))


@pytest.mark.parametrize("method", [*METHODS, *ODD])
@pytest.mark.parametrize("expansion", [2, 3])
def test_networks_of_mixers(method: str, expansion: int) -> None:
    compare(mixer_net(method, 8, 2, expansion, 3, SEED, kernel=(3, 5)), (7, 9))


@pytest.mark.parametrize("method", [*METHODS, "w4a4o", "w2a2ns", "w4a4f", "w1a1m", "w1a1c", "w4a4w"])
@pytest.mark.parametrize("proj_skip", [False, True])
def test_networks_of_attention(method: str, proj_skip: bool) -> None:
    compare(swin_net(method, features=8, seed=SEED, proj_skip=proj_skip), (9, 6))


@pytest.mark.parametrize("make", [conv_net, mixer_net, swin_net])
def test_a_single_pixel(make) -> None:
    compare(make("w4a4", features=8, seed=SEED), (1, 1))


def test_another_version_is_refused() -> None:
    content = to_bytes(*conv_net(features=4, blocks=1)).replace(b"qsr.packed/1", b"qsr.packed/2")
    with pytest.raises(ValueError, match="version qsr.packed/2"):
        reader.Network(content)

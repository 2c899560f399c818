"""How far a program looks, against what really changes when a pixel does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qsr.errors import FormatError
from qsr.runtime.interpreter import Interpreter
from qsr.runtime.packed.ops import Bilinear, Quantize, SignAct
from qsr.runtime.packed.reach import check_reach, reach
from qsr.runtime.packed.shapes import infer
from tests.runtime.packed.build import Builder, conv_net, mixer_net, swin_net


def reach_of(header) -> int | None:
    return reach(header.programs[0], infer(header, header.programs[0]))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("layout", ["edsr", "msr"])
@pytest.mark.parametrize("blocks", [0, 2])
def test_networks_reach_as_far_as_their_architecture_says(layout: str, scale: int, blocks: int) -> None:
    header, _ = conv_net("fp", features=4, blocks=blocks, scale=scale, layout=layout)
    assert reach_of(header) == header.receptive_field == 2 * blocks + (4 if layout == "edsr" else 3)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 7), (5, 3)])
def test_depthwise_convolutions_reach_as_others_do(kernel: tuple[int, int]) -> None:
    header, _ = mixer_net("fp", features=4, blocks=2, kernel=kernel)
    assert reach_of(header) == header.receptive_field == 2 * (max(kernel) // 2) + 2


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 6])
def test_no_pixel_farther_away_matters(scale: int) -> None:
    """And the farthest one does, where the sums of a path are whole pixels."""
    b = Builder("fp")
    x = b.conv(0, "first", 3, 3, 5)
    x = b.add(Bilinear((x,), 2)) if scale % 2 == 0 else x
    x = b.conv(x, "second", 3, 3, 3)
    x = b.add(Bilinear((x,), 3)) if scale % 3 == 0 else x
    x = b.add(Bilinear((x,), 2)) if scale == 4 else x
    b.conv(x, "third", 3, 3, 7)
    header = b.header(scale, 99)
    far = reach_of(header)
    run = Interpreter(header, b.tensors, header.programs[0])
    rng = np.random.default_rng(scale)
    picture = rng.random((31, 31, 3), np.float32)
    before = run.run(picture)
    picture[15, 15] += 1
    changed = np.argwhere((run.run(picture) != before).any(2)) // scale
    assert np.abs(changed - 15).max() <= far
    assert np.abs(changed - 15).max() >= far - 1


def test_attention_has_no_bound() -> None:
    assert reach_of(swin_net(features=4)[0]) is None


def test_promises_that_are_too_small() -> None:
    header, _ = conv_net("fp", features=4, blocks=1)
    values = infer(header, header.programs[0])
    check_reach(replace(header, receptive_field=None), header.programs[0], values)
    with pytest.raises(FormatError, match="receptive_field: found 5, expected 6 or more"):
        check_reach(replace(header, receptive_field=5), header.programs[0], values)
    b = Builder("fp")
    b.add(Quantize((0,), SignAct(0.0, "mean")))
    header = b.header(1, 0)
    with pytest.raises(FormatError, match="whole_picture: found false"):
        check_reach(header, header.programs[0], infer(header, header.programs[0]))

"""The card and the table: what was measured, beside bicubic; what was not says n/a."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from qsr.zoo.card import card, table, terminal
from qsr.zoo.index import read_index


def test_the_card_says_what_one_has_to_know(zoo):
    (model,) = read_index(zoo)
    text = card(model)
    assert text.startswith("# tiny_x2_w2a2\n")
    for words in (
        "2-bit weights, 2-bit activations. A test model.",
        f"`{model.sha256}`",
        "| Set5 | 33.67 / 0.9302 | 34.50 / 0.9400 | +0.83 |",
        "protocol sr-y-crop2-uint8",
        "Trained on BSD400; licence of the pictures: non-commercial research and education. Source: BSDS500",
        "1,500 iterations, averaged weights",
        "- quantized by rlq, from a full-precision network",
        "- resumed twice",
        "| time | n/a |",
        "qsr zoo get tiny_x2_w2a2",
    ):
        assert words in text, words


def test_what_is_unknown_says_so(zoo):
    (model,) = read_index(zoo)
    bare = replace(model, scores={}, recipe=(), data="", licence="", ms=3.5, ms_of="LR 128x128", w_bits=32, a_bits=32)
    text = card(bare)
    for words in ("not measured", "not recorded", "unknown pictures", "3.5 ms (LR 128x128)", "full precision"):
        assert words in text
    alone = card(replace(model, bicubic={}))
    assert "| Set5 | n/a | 34.50 / 0.9400 | n/a |" in alone


def test_the_table_has_a_line_per_model_and_a_column_per_set(zoo):
    (model,) = read_index(zoo)
    other = replace(model, name="other", w_bits=32, a_bits=32, scores={"B100": {"psnr_y": 30.0, "ssim_y": 0.8}}, ms=4.0)
    lines = table((model, other)).splitlines()
    assert lines[0].endswith("| Set5 | Set14 | B100 |")
    assert "| 34.50 (+0.83) | 30.90 (+0.57) | n/a |" in lines[2]
    assert "| other | x2 | fp |" in lines[3]
    assert "| 4.0 | n/a | n/a | 30.00 |" in lines[3]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(terminal((model, other)))
    assert "34.50 (+0.83)" in console.export_text()

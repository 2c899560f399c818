from __future__ import annotations

import pytest

from qsr.data.report import card_text, cards_table
from qsr.errors import DataError


def test_table_says_what_is_here_and_what_is_not_whole(make_folder, tmp_path, monkeypatch):
    monkeypatch.delenv("QSR_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    make_folder("data/Set5/HR", **dict.fromkeys("abcde", (8, 8)))
    make_folder("data/BSDS100/HR", a=(8, 8))
    make_folder("data/photos/train", **dict.fromkeys("abcdef", (8, 8)))
    make_folder("data/photos/val", g=(8, 8), h=(8, 8))
    lines = {line.split()[0]: line for line in cards_table(tmp_path / "data").splitlines()}
    assert lines["Set5"].endswith("data/Set5")
    assert "data/BSDS100: 1 of 100 pictures" in lines["B100"]
    assert lines["Urban100"].split()[3] == "-"
    assert "of 8" not in lines["photos"]


def test_one_card_in_full():
    text = card_text("cbsd100")
    for word in ("B100", "BSDS100", "Martin", "research", "LR_bicubic/X2"):
        assert word in text
    with pytest.raises(DataError, match=r"no card for 'Set6' \(known sets: Set5"):
        card_text("Set6")

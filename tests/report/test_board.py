"""leaderboard.json: what is there is read as it is, what is missing stays missing, what is wrong is named."""

from __future__ import annotations

import pytest
from example_board import write_board

from qsr.errors import DataError, FormatError
from qsr.report.board import read_board


def test_values_come_back(board_data, tmp_path):
    board = read_board(write_board(tmp_path, board_data))
    assert (board.name, board.scale, board.sets) == ("small_x2", 2, ("Set5", "Set14", "B100"))
    assert board.groups == ("fp", "w4a4", "w2a2", "w1a1")
    row = board.rows[1]
    assert (row.label, row.method, row.anchor, row.w_bits) == ("QuantSR-C", "rlq", "r1", 4)
    assert row.psnr("Set5") == board_data["rows"][1]["mean"]["Set5"]["psnr_y"]
    assert row.published["Set5"].psnr == 37.80
    assert row.seeds[1].curve[0] == tuple(board_data["rows"][1]["seeds"][1]["curve"][0])
    assert board.bicubic["Set5"].ssim == 0.9302


def test_a_folder_means_the_file_in_it(board_data, tmp_path):
    write_board(tmp_path, board_data)
    assert read_board(tmp_path).folder == tmp_path


def test_what_is_null_or_absent_stays_missing(board_data, tmp_path):
    board_data["rows"] = [{"row": "bare"}, {**board_data["rows"][1], "mean": {"Set5": None}, "published": None, "seeds": None}]
    board_data.update(machine=None, hours=None, bicubic=None, pictures=None)
    board = read_board(write_board(tmp_path, board_data))
    bare, other = board.rows
    assert (bare.label, bare.status, bare.seeds, bare.params_k, bare.psnr("Set5")) == ("bare", "", (), None, None)
    assert (other.psnr("Set5"), dict(other.published)) == (None, {})
    assert (board.hours, dict(board.machine)) == (None, {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format 1 .found 2"),
        ({"rows": None}, "TypeError"),
        ({"sets": 3}, "TypeError"),
        ({"hours": "four"}, "'four', expected a number"),
        ({"hours": True}, "expected a number"),
        ({"rows": [{"label": "no name"}]}, "KeyError 'row'"),
        ({"rows": ["text"]}, "AttributeError"),
        ({"rows": [{"row": "a", "params_k": float("inf")}]}, "Infinity"),
        ({"rows": [{"row": "a", "seeds": [{"seed": 0, "curve": [1, 2]}]}]}, "TypeError"),
        ({"pictures": {"a/b": {"hr": "../../secret.png"}}}, "does not lie beside the file"),
        ({"rows": [{"row": "a", "pictures": {"a/b": "/etc/secret.png"}}]}, "does not lie beside the file"),
    ],
)
def test_what_is_wrong_is_refused(board_data, tmp_path, change, said):
    path = write_board(tmp_path, {**board_data, **change})
    with pytest.raises(FormatError, match=said) as fault:
        read_board(path)
    assert fault.value.where == str(path)


def test_no_file_and_no_json(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_board(tmp_path)
    (tmp_path / "leaderboard.json").write_bytes(b"\xff{")
    with pytest.raises(FormatError, match="not JSON"):
        read_board(tmp_path)
    (tmp_path / "leaderboard.json").write_text("[]")
    with pytest.raises(FormatError, match="found list"):
        read_board(tmp_path)

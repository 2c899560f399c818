"""Which cells there are, when a stored one holds, and what is stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qsr.bibench.cells import Cell, cells, command, finished, key, perform, read
from qsr.bibench.rows import Network
from qsr.errors import FormatError
from qsr.leaderboard import identity
from tests.bibench.bench_drill import store_cell, store_model, work


def names(found: list[Cell]) -> list[str]:
    return [cell.name for cell in found]


def test_robust_cells_are_of_every_network_and_bicubic_and_times_of_the_first_seed(data: Path, tmp_path: Path) -> None:
    made = work(tmp_path, data, scales=[2, 4], seeds=[0, 1], operators=[{"operator": "bnn", "families": ["cnn"], "set": {}}])
    assert set(names(cells(made, "robust"))) == {
        *("bicubic_x2", "bicubic_x4"),
        *(f"{row}_x{scale}_s{seed}" for row in ("fp_cnn", "fp_other", "bnn_cnn") for scale in (2, 4) for seed in (0, 1)),
    }
    assert names(cells(made, "infer")) == ["bnn_cnn_x2_s0", "bnn_cnn_x4_s0"]
    assert names(cells(made, "train")) == ["bnn_cnn_x2_s0"], "a step costs the same share at every scale"
    timed = cells(made, "infer")[1]
    assert timed.model.endswith("x4/rows/bnn_cnn_s0")
    assert timed.twin.endswith("x4/rows/fp_cnn_s0")


def test_only_those_that_were_chosen(data: Path, tmp_path: Path) -> None:
    made = work(tmp_path, data, {"only": ("xnor_cnn",)})
    assert names(cells(made, "robust")) == ["bicubic_x2", "fp_cnn_x2_s0", "xnor_cnn_x2_s0"]


def test_a_cell_survives_json(data: Path, tmp_path: Path) -> None:
    for cell in cells(work(tmp_path, data), "robust"):
        assert Cell.from_json(json.loads(json.dumps(cell.to_json()))) == cell


def test_a_stored_cell_holds_until_something_that_it_depends_on_changes(data: Path, tmp_path: Path) -> None:
    made = work(tmp_path, data)
    model = store_model(made, Network("bnn", "cnn", 2, 0))
    cell = next(one for one in cells(made, "robust") if one.name == "bnn_cnn_x2_s0")
    assert not finished(cell)
    store_cell(cell, {"clean": 30.0})
    assert finished(cell)
    changed = Cell(**{**cell.__dict__, "settings": {**cell.settings, "seed": 1}})
    assert not finished(changed)
    assert finished(changed, any_code=True)
    model.write_bytes(model.read_bytes() + b" ")
    assert not finished(cell), "another network"


def test_the_key_knows_the_code_that_decides_and_no_other(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A corruption and the network's own quantizer count; tables, and other quantizers, do not."""
    found = cells(work(tmp_path, data), "robust")
    bicubic, bnn = found[0], next(cell for cell in found if cell.name == "bnn_cnn_x2_s0")
    assert bnn.methods == ("bnn",)
    before = {cell.name: key(cell) for cell in (bicubic, bnn)}
    read_text = Path.read_text

    def changed(names: tuple[str, ...]) -> dict[str, bool]:
        def edited(path: Path, *args: object, **how: object) -> str:
            text = read_text(path, *args, **how)  # type: ignore[arg-type]
            return f"{text}\nADDED = 1\n" if path.name in names else text

        identity.code_version.cache_clear()
        identity.source_version.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", edited)
            now = {cell.name: key(cell) != before[cell.name] for cell in (bicubic, bnn)}
        identity.code_version.cache_clear()
        identity.source_version.cache_clear()
        return now

    assert changed(("corrupt.py",)) == {"bicubic_x2": True, "bnn_cnn_x2_s0": True}
    assert changed(("bnn.py",)) == {"bicubic_x2": False, "bnn_cnn_x2_s0": True}
    assert changed(("fda.py", "tables.py", "collect.py")) == {"bicubic_x2": False, "bnn_cnn_x2_s0": False}


def test_what_is_measured_is_stored_with_its_command(data: Path, tmp_path: Path) -> None:
    made = work(tmp_path, data)
    cell = cells(made, "robust")[0]
    said = command(made, cell)
    assert said.startswith(f"qsr bibench -opt {tmp_path}/bench.yml -o {tmp_path}/out")
    assert said.endswith("--cell robust/bicubic_x2")
    body = perform(cell, said)
    assert finished(cell)
    assert read(cell) == json.loads(json.dumps(body))
    assert body["command"] == said
    assert body["values"]["clean"] > 30


@pytest.mark.parametrize("text", ["{", '{"format": 2, "values": {}}', "[]", '{"format": 1}'])
def test_a_damaged_cell_is_named(text: str, data: Path, tmp_path: Path) -> None:
    cell = cells(work(tmp_path, data), "robust")[0]
    assert read(cell) is None
    cell.file.parent.mkdir(parents=True)
    cell.file.write_text(text)
    with pytest.raises(FormatError) as caught:
        read(cell)
    assert str(cell.file) in str(caught.value)

"""When a job validates and saves, and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from train_drill import small_options, tiny_options

from qsr.archs.convert import load_foreign_state
from qsr.archs.modelfile import load_model, read_info
from qsr.errors import FormatError
from qsr.train import checkpoint
from qsr.train.run import TrainOutcome, train


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainOutcome, list[str]]:
    """A whole run with everything switched on."""
    root = tmp_path_factory.mktemp("job")
    lines: list[str] = []
    options = tiny_options(
        pictures,
        root,
        val={"crops_every": 2},
        logger={"use_tb_logger": True, "save_basicsr": True},
        train={"accumulate": 2},
    )
    return train(options, notify=lines.append), lines


def test_validates_at_the_interval_and_at_the_end_of_each_stage(run: tuple[TrainOutcome, list[str]]) -> None:
    rows = [json.loads(line) for line in (run[0].folder / "metrics.jsonl").read_text().splitlines()]
    validated = [row["iter"] for row in rows if "validation" in row]
    assert validated == [6, 7, 9, 14, 16]
    assert [row["iter"] for row in rows if "lr" in row] == list(range(1, 17))
    assert {"l_pix_4", "l_pix_2", "l_pix_1", "grad_norm"} <= set(rows[-2])
    assert run[0].iteration == 16
    assert run[0].results[0]["dataset"] == "held-out"


def test_keeps_checkpoints_at_the_interval_and_the_end(run: tuple[TrainOutcome, list[str]]) -> None:
    kept = sorted(path.name for path in (run[0].folder / "checkpoints").iterdir())
    assert kept == ["00000012", "00000016", "LATEST"]


def test_a_checkpoint_of_an_unknown_stage_is_refused(pictures: Path, tmp_path: Path) -> None:
    options = small_options(pictures, tmp_path, train={"total_iter": 4})
    folder = train(options, notify=lambda line: None).folder / "checkpoints" / "00000004"
    facts = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**facts, "stage": "polishing"}))
    (folder / checkpoint.MANIFEST).unlink()
    (folder / checkpoint.MANIFEST).write_bytes(checkpoint._manifest(folder))
    with pytest.raises(FormatError, match="the checkpoint's stage 'polishing' is not one of quantized"):
        train(options, auto_resume=True, notify=lambda line: None)


def test_leaves_models_that_load_by_themselves(run: tuple[TrainOutcome, list[str]]) -> None:
    models = run[0].folder / "models"
    assert {path.name for path in models.glob("*.safetensors")} == {
        "net_g_best.safetensors",
        "net_g_full-precision.safetensors",
        "net_g_latest.safetensors",
        "net_g_warm-up_at_full_depth.safetensors",
    }
    network, info = load_model(run[0].folder)
    assert info.iteration == 16
    assert info.layers["rows"]
    assert network(torch.rand(1, 3, 6, 6)).shape == (1, 3, 12, 12)
    full, info = load_model(models / "net_g_full-precision.safetensors")
    assert info.iteration == 6
    assert sum(1 for _ in full.body) == 2


def test_the_best_knows_its_protocol(run: tuple[TrainOutcome, list[str]]) -> None:
    best = read_info(run[0].folder / "models/net_g_best.safetensors").metrics["best"]
    assert best["protocol"] == "sr-y-crop2-uint8"
    assert best["iteration"] > 6, "the full-precision stage does not compete"
    rows = [json.loads(line) for line in (run[0].folder / "metrics.jsonl").read_text().splitlines()]
    scores = {row["iter"]: row["validation"]["held-out"]["psnr_y"] for row in rows if "validation" in row}
    assert best["psnr_y"] == max(score for iteration, score in scores.items() if iteration > 6)
    assert scores[best["iteration"]] == best["psnr_y"]


def test_writes_basicsr_files_on_request(run: tuple[TrainOutcome, list[str]]) -> None:
    state = load_foreign_state(run[0].folder / "models/net_g_16.pth", "params_ema")
    network, _ = load_model(run[0].folder)
    assert torch.equal(state["conv_first.weight"], network.conv_first.weight)


def test_writes_crops_and_events(run: tuple[TrainOutcome, list[str]]) -> None:
    crops = sorted(path.name for path in (run[0].folder / "visualization").glob("*.png"))
    assert crops == [f"held-out_0_{iteration:08d}.png" for iteration in (6, 9, 16)]
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run[0].folder / "tb_logger")).Reload().Tags()
    assert {"train/lr", "train/l_pix", "train/l_pix_4", "val/held-out/psnr_y"} <= set(events["scalars"])
    assert any(name.startswith("codes/") for name in events["histograms"])


def test_prints_the_layer_table_and_the_stages(run: tuple[TrainOutcome, list[str]]) -> None:
    text = "\n".join(run[1])
    assert "layers quantized" in text
    assert "stage: joint depths, iterations 10 to 16" in text
    assert "(best " in text

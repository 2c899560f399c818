"""The demo from end to end with two iterations per stage: files, table and proof; how good it gets is not asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsr.data.image import read_rgb
from qsr.train.demo import DemoResult, run_demo

SHORT = ("train.fp_iter=2", "train.total_iter=2", "datasets.train.batch_size_per_gpu=1", "logger.use_tb_logger=false")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> tuple[DemoResult, DemoResult, list[str]]:
    lines: list[str] = []
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        first = run_demo(repository / "options" / "demo.yml", SHORT, lines.append)
        second = run_demo(repository / "options" / "demo.yml", SHORT, lines.append)
        patch.undo()
    return first, second, [str(folder), *lines]


def test_rows_are_of_the_two_held_out_photographs(run: tuple[DemoResult, DemoResult, list[str]]) -> None:
    result = run[0]
    assert [image["name"] for image in result.ours.images] == ["chelsea", "coffee"]
    assert result.bicubic.psnr_y > 30
    assert result.gain == result.ours.psnr_y - result.bicubic.psnr_y


def test_a_finished_demo_is_not_trained_again(run: tuple[DemoResult, DemoResult, list[str]]) -> None:
    first, second, _ = run
    assert second.ours.psnr_y == first.ours.psnr_y


def test_pictures_and_the_packed_file_are_there(run: tuple[DemoResult, DemoResult, list[str]]) -> None:
    result, _, (folder, *_) = run
    low = read_rgb(Path(folder) / result.picture.with_name("chelsea_LR.png"))
    assert read_rgb(Path(folder) / result.picture).shape[:2] == (2 * low.shape[0], 2 * low.shape[1])
    assert read_rgb(Path(folder) / result.crops).shape[1] > 600
    assert result.exported.verified is not None
    assert result.exported.verified.passed
    assert result.exported.sizes.file < result.exported.model_bytes


def test_each_step_is_announced(run: tuple[DemoResult, DemoResult, list[str]]) -> None:
    assert [line[:3] for line in run[2][1:6]] == ["1/5", "2/5", "3/5", "4/5", "5/5"]

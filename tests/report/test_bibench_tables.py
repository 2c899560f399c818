"""A benchmark as rows of text."""

from __future__ import annotations

from qsr.report.bibench_tables import ablation, cell_text, columns_of, head, lines, psnr_text, published, scores
from tests.report.example_bench import example


def test_a_metric_says_its_spread_and_whether_it_is_whole() -> None:
    assert cell_text({"value": 0.9166, "spread": None, "measured": 4, "wanted": 4}) == "0.917"
    assert cell_text({"value": 0.9166, "spread": 0.01, "measured": 4, "wanted": 4}) == "0.917 ±0.005"
    assert cell_text({"value": 0.9166, "spread": None, "measured": 2, "wanted": 4}) == "0.917*"
    assert cell_text({"value": None, "spread": None, "measured": 0, "wanted": 4}) == "n/a"


def test_a_reading_has_its_own_columns() -> None:
    bench = example()
    assert columns_of(bench, "gain") == ["task", "arch"]
    assert head(bench, "psnr") == ["", "task", "arch.", "compl.", "infer"]
    assert [line[0] for line in lines(bench, "psnr")] == ["BNN", "<b>odd</b>"], "no ablation"
    assert columns_of({**bench, "operators": bench["operators"][2:]}, "psnr") == []


def test_scores_are_means_over_the_seeds_with_half_their_distance() -> None:
    bench = example()
    bench["networks"].append({**bench["networks"][1], "seed": 1, "psnr": {"Set5": 36.2}})
    assert psnr_text(bench, "bnn", "cnn", 2, "Set5") == "36.10 ±0.10"
    top, body = scores(bench)
    assert top == ["", "SRResNet x2 Set5"]
    assert body == [["bicubic", "33.00"], ["full precision", "37.00"], ["BNN", "36.10 ±0.10"], ["<b>odd</b>", "n/a"]]


def test_the_ablation_and_the_published_numbers() -> None:
    bench = example()
    assert ablation(bench) == (["", "SRResNet x2 Set5"], [["no <shift>", "35.50"]])
    assert published(bench) == (["", "task"], [["BNN", "0.4"]])
    bench["operators"][0]["published"] = {}
    assert published(bench) is None

"""What a person reads: ours first, ratios, failures, and a layer table that adds up."""

from __future__ import annotations

from qsr.bench.layers import LayerTime
from qsr.bench.measure import Timing
from qsr.bench.run import OURS, Bench
from qsr.bench.text import layer_table, sentence, table

TIMINGS = {OURS: Timing(10.0, 9.0, 12.0, 7, 1.0), "peer 1.2 fp32": Timing(52.0, 50.0, 60.0, 7, 5.2)}
LAYERS = (
    LayerTime("head", "conv_f32_avx2", "float", 0.001, 0.0, 10**8, 2_000_000, 1e11, 0.5),
    LayerTime("body.0.conv1", "conv_b1b1_avx2", "w1a1", 0.002, 0.0015, 2 * 10**9, 1_000_000, 1e12, None),
)


def bench(**changed: object) -> Bench:
    fixed = {
        "model": "net.qsr", "file_bytes": 12_345, "network": {}, "scale": 4, "size": (320, 180), "threads": 2,
        "cpu": "Make 7", "macs": 146 * 10**9, "timings": TIMINGS,
    }  # fmt: skip
    return Bench(**{**fixed, **changed})  # type: ignore[arg-type]


def test_the_table_names_the_machine_and_the_rounds():
    text = table(bench(failed={"other": "RuntimeError: no"}))
    assert "net.qsr: 12,345 bytes, x4, 146.0 GMAC at 320x180" in text
    assert "Make 7, 2 threads, 7 interleaved rounds" in text
    rows = [line.split() for line in text.splitlines() if line.startswith("  ")]
    assert rows[1] == ["qsr", "10.0", "9.0", "12.0", "1.00"]
    assert rows[2] == ["peer", "1.2", "fp32", "52.0", "50.0", "60.0", "5.20"]
    assert "other          failed: RuntimeError: no" in text


def test_one_line_says_how_many_times_as_long_the_others_take():
    assert sentence(bench()) == "10.0 ms for 320x180 on 2 threads; peer 1.2 fp32 5.2 times as long"
    assert sentence(bench(threads=1, timings={OURS: TIMINGS[OURS]})) == "10.0 ms for 320x180 on 1 thread"


def test_layers_end_with_their_sum():
    lines = layer_table(LAYERS).splitlines()
    assert lines[-1].split() == ["all", "3.00", "1.50", "2.10"]
    assert "50%" in lines[1]
    assert "-" in lines[2]
    assert layer_table(LAYERS) in table(bench(layers=LAYERS))

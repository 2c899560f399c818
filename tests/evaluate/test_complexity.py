"""Every figure of the papers' complexity tables to the printed digit, and the honest count by its definition."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsr.errors import OptionsError
from qsr.evaluate.complexity import complexity
from qsr.options import load
from qsr.options.schema import Options

READY = Path(__file__).resolve().parents[2] / "options"

SWINIR_S = {"type": "SwinIR"}
MSR = {"type": "MSRResNet"}
EDSR = {"type": "SRResNet"}


def options(network: dict, bits: int | None = None, depths: tuple[int, ...] = (), **quant: object) -> Options:
    """Options as data, without the checks across keys."""
    data = {"name": "test", "scale": 2, "network_g": network}
    if bits:
        data["quant"] = {"method": "srb" if bits == 1 else "rlq", "w_bits": bits, "a_bits": bits} | quant
    if depths:
        data["depth"] = {"dqa": {"depths": depths}}
    return Options.model_validate(data)


@pytest.mark.parametrize(("file", "params", "ops"), [("frb_x2_w1a1", "225", "18.6"), ("frb_t_x2_w1a1", "95", "4.3")])
def test_frb_table_from_the_ready_files(file: str, params: str, ops: str) -> None:
    report = complexity(load(READY / f"{file}.yml").options, "deck-frb")
    assert (f"{report.params_k:.0f}", f"{report.ops_g:.1f}") == (params, ops)


# QuantSR, table 3: bits, blocks, params K, ops G as printed
QUANTSR_TABLE = [
    (32, 16, "1367", "90.1"),
    (4, 32, "451", "29.9"),
    (4, 16, "303", "20.2"),
    (4, 8, "230", "15.4"),
    (2, 32, "170", "11.5"),
    (2, 16, "161", "10.9"),
    (2, 8, "156", "10.6"),
]


@pytest.mark.parametrize(("bits", "blocks", "params", "ops"), QUANTSR_TABLE)
def test_quantsr_table(bits: int, blocks: int, params: str, ops: str) -> None:
    if bits == 32:
        report = complexity(options(EDSR), "deck-quantsr")
    else:
        report = complexity(options(EDSR, bits, (32, 16, 8)), "deck-quantsr", blocks)
    assert (f"{report.params_k:.0f}", f"{report.ops_g:.1f}") == (params, ops)
    assert (report.height, report.width) == (256, 256)


# FRB, table 4
@pytest.mark.parametrize(
    ("network", "bits", "params", "ops"),
    [(MSR, None, "1367", "85.4"), (MSR, 1, "225", "18.6"), (SWINIR_S, None, "910", "62.4"), (SWINIR_S, 1, "95", "4.3")],
    ids=["SRResNet", "FRBC", "SwinIR_S", "FRBT"],
)
def test_frb_table(network: dict, bits: int | None, params: str, ops: str) -> None:
    report = complexity(options(network, bits), "deck-frb")
    assert (f"{report.params_k:.0f}", f"{report.ops_g:.1f}") == (params, ops)
    assert (report.height, report.width) == (180, 320)
    assert report.attention == ("included" if network is SWINIR_S else "none")


def test_golden_macs() -> None:
    """algorithms 10: 89,955,237,888 (EDSR, 256 x 256) and 85,432,320,000 (MSR, 180 x 320)."""
    assert round(complexity(options(EDSR), height=256, width=256).macs_g * 1e9) == 89_955_237_888
    assert round(complexity(options(MSR), height=180, width=320).macs_g * 1e9) == 85_432_320_000


SMALL = {"type": "SRResNet", "num_feat": 4, "num_block": 2}


def test_honest_count_by_hand() -> None:
    """4 features, 2 blocks, w4a4, 10 x 6 pixels."""
    report = complexity(options(SMALL, 4), height=10, width=6)
    conv, full = 5 * 4 * 4 * 9, 4 * 3 * 9 + 4 * 16 * 9 + 4 * 3 * 9  # quantized: 4 in blocks + conv_after_body
    biases = 4 + 5 * 4 + 16 + 3
    quantizers = 5 * (1 + 1 + 4)  # per layer: weight step, activation step, a shift per channel
    pixels = 60
    macs_full = pixels * (4 * 3 * 9 + 4 * 16 * 9) + 4 * pixels * 4 * 3 * 9
    macs_low = pixels * conv
    assert report.parameters == conv + full + biases + quantizers
    assert report.params_k * 1e3 == pytest.approx(conv * 4 / 32 + full + biases + quantizers)
    assert report.macs_g * 1e9 == pytest.approx(macs_full + macs_low)
    assert report.ops_g * 1e9 == pytest.approx(macs_full + macs_low * 16 / 64)
    assert report.bops_g * 1e9 == pytest.approx(macs_full * 32 * 32 + macs_low * 16)
    assert report.ops_b32_g * 1e9 == pytest.approx(macs_full + macs_low * 4 / 32)


@pytest.mark.parametrize(("bits", "rate"), [(8, 1.0), (4, 1 / 4), (2, 1 / 16)])
def test_honest_rate(bits: int, rate: float) -> None:
    layer = next(row for row in complexity(options(SMALL, bits), height=4, width=4).layers if row.name == "body.0.conv1")
    assert layer.ops == layer.macs * rate


@pytest.mark.parametrize(("method", "planes"), [("srb", 2), ("bireal", 1)])
def test_every_plane_of_one_bit_weights_counts(method: str, planes: int) -> None:
    """algorithms 1.5: planes * weights bits, planes * MACs / 64."""
    report = complexity(options(SMALL, 1, method=method), height=4, width=4)
    layer = next(row for row in report.layers if row.name == "body.0.conv1")
    assert (layer.w_bits, layer.a_bits, layer.planes) == (1, 1, planes)
    assert layer.ops == planes * layer.macs / 64
    assert layer.params - layer.other_params == planes * 4 * 4 * 9 / 32


def test_one_bit_weights_alone_save_no_operations() -> None:
    report = complexity(options(SMALL, 1, method="bireal", a_bits=32), height=4, width=4)
    assert report.ops_g == report.macs_g


def test_weights_alone_save_no_operations() -> None:
    report = complexity(options(SMALL, 4, a_bits=32), height=4, width=4)
    assert report.ops_g == report.macs_g
    assert report.params_k < complexity(options(SMALL), height=4, width=4).params_k


def test_deeper_costs_more_and_skipped_blocks_keep_their_shortcut() -> None:
    network = options(SMALL, 4, (4, 2, 1))
    reports = [complexity(network, depth=depth, height=4, width=4) for depth in (4, 2, 1)]
    per_block = 2 * (4 * 4 * 9 + 4 + 6)
    assert [r.depth for r in reports] == [4, 2, 1]
    assert [reports[0].parameters - r.parameters for r in reports] == [0, 2 * per_block, 3 * per_block]
    assert [round((reports[0].macs_g - r.macs_g) * 1e9) for r in reports] == [0, 2 * 2 * 16 * 144, 3 * 2 * 16 * 144]


def test_order_decides_which_exceptions_count() -> None:
    network = options(SMALL, 4, (2, 1), rules=[{"match": "body.0.*", "w_bits": 8, "a_bits": 8}])
    first, second = (complexity(network, depth=1, height=4, width=4, order=order) for order in ([0, 1], [1, 0]))
    assert first.params_k > second.params_k
    assert "body.0.conv1" in {row.name for row in first.layers}
    assert "body.0.conv1" not in {row.name for row in second.layers}


def test_attention_products_follow_quant_matmul() -> None:
    tiny = {"type": "SwinIR", "depths": [1], "num_heads": [2], "embed_dim": 8, "window_size": 4}
    plain, low = (complexity(options(tiny, 4, quant_matmul=on), height=8, width=8) for on in (False, True))
    products = [row for row in plain.layers if row.kind == "products"]
    assert [row.macs for row in products] == [2 * 64 * 16 * 8]
    assert plain.ops_g - low.ops_g == pytest.approx(products[0].macs * 0.75 / 1e9)
    assert "attention products: included" in plain.input


def test_default_size_is_that_of_a_720p_output() -> None:
    report = complexity(options(SMALL))
    assert (report.height, report.width) == (360, 640)
    assert report.input == "mode honest, LR 640x360, HR 1280x720, attention products: none"


@pytest.mark.parametrize(
    ("changed", "mode", "message"),
    [
        (options(SMALL), "deck", "deck-quantsr, deck-frb"),
        (options(SWINIR_S), "deck-quantsr", "SRResNet only"),
        (options(SMALL, 4, a_bits=8), "deck-quantsr", "different bits"),
        (options(SMALL, 4), "deck-frb", "1 bit only"),
    ],
)
def test_modes_refuse_what_they_do_not_define(changed: Options, mode: str, message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        complexity(changed, mode)


def test_json_has_the_promised_keys() -> None:
    data = complexity(options(SMALL), height=4, width=4).to_json()
    assert {"params_k", "ops_g", "mode", "height", "width", "attention", "layers"} <= set(data)

"""What SwinIR looks like as operations; that it computes the same is test_lower.py's business."""

from __future__ import annotations

from qsr.export.lower import lower
from qsr.runtime.packed.ops import Conv, ElasticAct, SignAct, Swin


def names(ops) -> list[str]:
    return [op.name if isinstance(op, Conv) else type(op).__name__ for op in ops]


def test_light(trained) -> None:
    network, info = trained("swinir", None, depths=[2], num_heads=[2])
    header = lower(network, info).header
    body = ["Norm", "Swin", "Swin", "layers.0.conv", "Add", "Norm"]
    assert names(header.programs[0].ops) == [
        "Image",
        "Affine",
        "conv_first",
        *body,
        "conv_after_body",
        "Add",
        "upsample.0",
        "Shuffle",
    ]
    assert (header.window, header.receptive_field, header.whole_picture) == (4, None, False)
    layers = [op for op in header.programs[0].ops if isinstance(op, Swin)]
    assert [layer.shift for layer in layers] == [0, 2]
    assert layers[0].name == "layers.0.residual_group.blocks.0"
    assert layers[0].operands is None


def test_classical_with_bottlenecks(trained) -> None:
    network, info = trained("swinir", None, depths=[1], num_heads=[2], resi_connection="3conv", upsampler="pixelshuffle")
    ops = lower(network, info).header.programs[0].ops
    found = [op.name for op in ops if isinstance(op, Conv)]
    inside = [f"layers.0.conv.{number}" for number in (0, 2, 4)]
    after = [f"conv_after_body.{number}" for number in (0, 2, 4)]
    assert found == ["conv_first", *inside, *after, "conv_before_upsample.0", "upsample.0", "conv_last"]
    assert next(op.kernel for op in ops if isinstance(op, Conv) and op.name == "layers.0.conv.2") == (1, 1)


def test_one_bit_operands_and_skips(trained) -> None:
    quant = {"method": "srb", "w_bits": 1, "a_bits": 1, "quant_matmul": True}
    network, info = trained("swinir", quant, linear_skip=True)
    layer = next(op for op in lower(network, info).header.programs[0].ops if isinstance(op, Swin))
    assert layer.operands is not None
    assert isinstance(layer.operands.q, SignAct)
    assert layer.operands.q.scale == "mean"
    assert isinstance(layer.operands.map, ElasticAct)
    assert layer.proj_skip
    attention = network.layers[0].residual_group.blocks[0]
    assert layer.gain1 == float(attention.join1.gain) != 1.0

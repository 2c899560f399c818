"""Which parts of a network go into a packed file and how: its quantized layers, and every other tensor.

Works on a network on the `meta` device too, which has shapes and no numbers: that is how a file is compared with the
network that its header describes before a byte of it is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from torch import Tensor, nn

from qsr.errors import OptionsError
from qsr.export.header import FULL_BITS, PackedLayer
from qsr.quant import QConv2d, QLinear, Quantizer
from qsr.quant.learned_step import LearnedStep

Sides = tuple[Quantizer | None, Quantizer | None]


def packed_layers(network: nn.Module) -> Iterator[tuple[PackedLayer, nn.Module, Sides]]:
    """(entry, module, (weight quantizer, activation quantizer)) of each quantized layer, in the network's order.

    On the meta device signedness is not known and given as False. Raises OptionsError for a layer or a quantizer
    that version 0 of the format has no words for.
    """
    inside: set[nn.Module] = set()
    for name, module in network.named_modules():
        if isinstance(module, QConv2d | QLinear):
            sides = (module.weight_quant, module.act_quant)
            inside.update(side for side in sides if side is not None)
        elif isinstance(module, Quantizer) and module not in inside:
            sides = (None, module)
        else:
            continue
        _refuse_foreign(name, sides)
        yield _entry(name, module, *sides), module, sides


def plain_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Tensors of the state dict that no quantized layer owns, by name; a tensor shared under two names comes once."""
    owned = [f"{name}." for name, module in network.named_modules() if isinstance(module, Quantizer)]
    weights = {f"{entry.name}.weight" for entry, _, (weight, _) in packed_layers(network) if weight is not None}
    once = {name for name, _ in chain(network.named_parameters(), network.named_buffers())}
    return {
        name: value
        for name, value in network.state_dict().items()
        if name in once and name not in weights and not name.startswith(tuple(owned))
    }


def _entry(name: str, module: nn.Module, weight: Quantizer | None, act: Quantizer | None) -> PackedLayer:
    conv = isinstance(module, QConv2d)
    return PackedLayer(
        name=name,
        kind="conv" if conv else "linear" if isinstance(module, QLinear) else "operand",
        shape=() if isinstance(module, Quantizer) else tuple(module.weight.shape),
        stride=_one_number(name, module, "stride") if conv else None,
        padding=_one_number(name, module, "padding") if conv else None,
        w_bits=weight.spec.bits if weight else FULL_BITS,
        w_narrow=bool(weight and weight.spec.param("symmetric_narrow", False)),
        a_bits=act.spec.bits if act else FULL_BITS,
        a_signed=bool(act and not act.signed.is_meta and act.signed),
        a_narrow=bool(act and act.spec.param("symmetric_narrow", False)),
    )


def _one_number(name: str, conv: QConv2d, key: str) -> int:
    """Stride or padding, the same along both axes, of a plain zero-padded convolution."""
    value = getattr(conv, key)
    plain = conv.groups == 1 and conv.dilation == (1, 1) and conv.padding_mode == "zeros"
    if not plain or not isinstance(value, tuple) or value[0] != value[1]:
        found = f"groups {conv.groups}, dilation {conv.dilation}, {key} {value}, padding mode {conv.padding_mode}"
        raise OptionsError(f"a convolution with {found} cannot be packed", where=f"layer {name}", hint="see docs/format.md")
    return int(value[0])


def _refuse_foreign(name: str, sides: Sides) -> None:
    for side in sides:
        if side is not None and not (isinstance(side, LearnedStep) and side.plain):
            raise OptionsError(
                f"quantizer {side.spec.method!r} cannot be packed yet: version 0 knows rlq's and lsq's codes",
                where=f"layer {name}",
            )

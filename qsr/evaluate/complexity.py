"""Parameters and operations of a network, in three ways of counting that are never mixed (algorithms 1.5).

honest        storage bits = planes * b_w * weights + 32 * every other value; operations = MACs, of which a quantized
              layer's cost planes * b_w * b_a / 64 each (bit-serial popcount: 1/64 at 1/1, 1/16 at 2/2, 1/4 at 4/4, 1 at
              8/8). One plane, but for residual binarization (SRB: two).
deck-quantsr  the published table of QuantSR, its 2-bit factor 1/128 included (docs/complexity.md says what is odd there).
deck-frb      the published table of FRB: full precision and 1 bit only; one plane for conv nets, two for transformers.

The input size (LR) and whether attention's matrix products are included are part of every report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from qsr import archs
from qsr.archs.rules import matmul_spec, quant_rules
from qsr.errors import OptionsError
from qsr.evaluate.complexity_count import Module, Stored, choose_depth, count, stored
from qsr.options.schema import Options, SRResNet, SwinIR
from qsr.spec import rule_for

Mode = Literal["honest", "deck-quantsr", "deck-frb"]
FULL = 32
DECK_QUANTSR_FACTOR = {2: 1 / 128}  # printed in the paper's table; b/32, its other rows' factor, would be 1/16
LAYERNORM_OPS = 5  # per element, as deck-frb counts them


@dataclass(frozen=True)
class LayerCost:
    """One module: bits (32: full precision), 1-bit planes per weight tensor, elements, MACs.

    params, ops: as the report's mode counts them.
    """

    name: str
    kind: str
    w_bits: int
    a_bits: int
    planes: int
    weights: int
    other_params: int
    macs: int
    params: float
    ops: float


@dataclass(frozen=True)
class ComplexityReport:
    """Totals and layers. height, width: the LR input. depth: active blocks of a depth-dynamic network, else None.

    params_k, ops_g: thousands of 32-bit parameters and 1e9 operations, as `mode` counts. macs_g: MACs at any precision.
    bops_g: 1e9 bit operations, MAC * b_w * b_a * planes. ops_b32_g: MACs at the rate planes * max(b_w, b_a) / 32.
    attention: attention's matrix products: `included`, or `none` in this network.
    """

    mode: Mode
    scale: int
    height: int
    width: int
    depth: int | None
    parameters: int
    params_k: float
    ops_g: float
    macs_g: float
    bops_g: float
    ops_b32_g: float
    attention: Literal["included", "none"]
    layers: tuple[LayerCost, ...]

    @property
    def input(self) -> str:
        """One line that says what was counted on."""
        size = f"LR {self.width}x{self.height}, HR {self.width * self.scale}x{self.height * self.scale}"
        return f"mode {self.mode}, {size}, attention products: {self.attention}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def complexity(
    options: Options,
    mode: Mode = "honest",
    depth: int | None = None,
    height: int | None = None,
    width: int | None = None,
    order: Sequence[int] | None = None,
) -> ComplexityReport:
    """Count the network that `options` describe. Nothing is trained or loaded.

    height, width: LR size; left out: that of a 1280x720 output (honest), 256x256 (deck-quantsr), 320x180 (deck-frb).
    depth: sub-network of a depth-dynamic network; None: full depth. order: its blocks, most important first; matters
    only where quant.rules treat blocks differently. Raises OptionsError where the mode is not defined for the network.
    """
    if mode not in get_args(Mode):
        raise OptionsError(f"found mode {mode!r}, expected {', '.join(get_args(Mode))}")
    default = {"honest": (720 // options.scale, 1280 // options.scale), "deck-quantsr": (256, 256), "deck-frb": (180, 320)}[
        mode
    ]
    height, width = height or default[0], width or default[1]
    network = archs.build(options)
    choose_depth(network, depth, order)
    present = count(network, height, width)
    bits = _bits(options, present)
    layers = {"honest": _honest, "deck-quantsr": _deck_quantsr, "deck-frb": _deck_frb}[mode](options, present, bits)
    products = [layer for layer in layers if layer.kind == "products"]
    return ComplexityReport(
        mode=mode,
        scale=options.scale,
        height=height,
        width=width,
        depth=depth or (options.depth.dqa.depths[0] if options.depth.dqa else None),
        parameters=sum(layer.weights + layer.other_params for layer in layers),
        params_k=sum(layer.params for layer in layers) / 1e3,
        ops_g=sum(layer.ops for layer in layers) / 1e9,
        macs_g=sum(layer.macs for layer in layers) / 1e9,
        bops_g=sum(layer.macs * layer.w_bits * layer.a_bits * layer.planes for layer in layers) / 1e9,
        ops_b32_g=sum(layer.macs * min(1, layer.planes * max(layer.w_bits, layer.a_bits) / FULL) for layer in layers) / 1e9,
        attention="included" if products else "none",
        layers=tuple(layers),
    )


def _bits(options: Options, present: list[Module]) -> dict[str, tuple[int, int]]:
    """(weight bits, activation bits) of every module; products have two activations as operands."""
    rules, matmul = quant_rules(options), matmul_spec(options)
    found = {}
    for module in present:
        rule = rule_for(module.name, rules) if module.kind in ("conv", "linear") else None
        w_bits = rule.weight.bits if rule and rule.weight else FULL
        a_bits = rule.act.bits if rule and rule.act else FULL
        if module.kind == "products" and matmul is not None:
            w_bits = a_bits = matmul.bits
        found[module.name] = (w_bits, a_bits)
    return found


def _honest(options: Options, present: list[Module], bits: dict[str, tuple[int, int]]) -> list[LayerCost]:
    quantized = archs.build(options)
    archs.quantize(quantized, options)
    extra = stored(quantized)
    costs = []
    for module in present:
        w_bits, a_bits = bits[module.name]
        own = extra.get(module.name, Stored())
        others = module.biases + module.others + own.values
        # an operand in full precision makes the product one, whatever the other's bits; planes are products of their own
        rate = 1.0 if FULL in (w_bits, a_bits) else min(1.0, own.planes * w_bits * a_bits / 64)
        params = own.planes * module.weights * w_bits / FULL + others
        costs.append(_cost(module, w_bits, a_bits, own.planes, others, params, module.macs * rate))
    return costs


def _deck_quantsr(options: Options, present: list[Module], bits: dict[str, tuple[int, int]]) -> list[LayerCost]:
    if not isinstance(options.network_g, SRResNet):
        raise OptionsError("deck-quantsr counts SRResNet only, as the published table does", hint="use --mode honest")
    if any(w_bits != a_bits for w_bits, a_bits in bits.values()):
        raise OptionsError("deck-quantsr has no factor for weights and activations of different bits", hint="use --mode honest")
    all_full = all(w_bits == FULL for w_bits, _ in bits.values())
    costs = []
    for module in present:
        w_bits, a_bits = bits[module.name]
        factor = DECK_QUANTSR_FACTOR.get(w_bits, w_bits / FULL)
        # the table leaves out all biases of the full-precision row, and the blocks' biases and scalars of the others
        biases = 0 if all_full or module.name.startswith("body.") else module.biases
        ops = factor * (module.macs + module.bias_adds)
        costs.append(_cost(module, w_bits, a_bits, 1, module.biases + module.others, factor * module.weights + biases, ops))
    return costs


def _deck_frb(options: Options, present: list[Module], bits: dict[str, tuple[int, int]]) -> list[LayerCost]:
    if any(pair not in ((1, 1), (FULL, FULL)) for pair in bits.values()):
        raise OptionsError("deck-frb counts full precision and 1 bit only", hint="use --mode honest")
    transformer = isinstance(options.network_g, SwinIR)
    binary = any(w_bits == 1 for w_bits, _ in bits.values())
    planes = 2 if transformer else 1  # two rows of one table that count the residual planes differently
    costs = []
    for module in present:
        w_bits, a_bits = bits[module.name]
        params = module.weights
        ops = module.macs
        if binary and w_bits == FULL:
            ops += module.bias_adds  # the binary rows need them for their last printed digit, the full-precision rows lack them
        if transformer:
            # the table takes everything inside the RSTBs as binary, norms, biases and attention products included
            w_bits = a_bits = 1 if binary and module.name.startswith("layers.") else FULL
            params += module.biases + module.others
            ops += LAYERNORM_OPS * module.norm_elements
        used = planes if w_bits == 1 else 1
        params_rate, ops_rate = (used / 32, used / 64) if w_bits == 1 else (1.0, 1.0)
        costs.append(_cost(module, w_bits, a_bits, used, module.biases + module.others, params * params_rate, ops * ops_rate))
    return costs


def _cost(module: Module, w_bits: int, a_bits: int, planes: int, others: int, params: float, ops: float) -> LayerCost:
    return LayerCost(module.name, module.kind, w_bits, a_bits, planes, module.weights, others, module.macs, params, ops)

"""Quantize a network in place by rules over layer names, set its step sizes, and sort its parameters for an optimiser.

`quantize_` works on any torch module and touches nothing that a rule does not name: exactly nn.Conv2d and nn.Linear
are replaced; everything else is left alone and listed with the reason.

>>> network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))
>>> report = quantize_(network, [QuantRule("2", QuantSpec("rlq", 4), QuantSpec("rlq", 4))])
>>> [(row.module, row.w_bits) for row in report.rows]
[('0', 32), ('2', 4)]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from qsr.errors import OptionsError
from qsr.quant.base import Quantizer
from qsr.quant.modules import QConv2d, QLinear, absorb_shifts, initial_weights, quantizers
from qsr.quant.report import FULL_BITS, LayerReport, LayerRow
from qsr.spec import QuantRule, QuantSpec, rule_for

# These read their children's weights themselves and would pass a quantizer by.
READS_CHILDREN = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


def quantize_(network: nn.Module, rules: Sequence[QuantRule]) -> LayerReport:
    """Replace Conv2d and Linear layers by quantized ones, in place; weights are shared, not copied.

    rules: the last one whose pattern matches a layer's dotted name decides; a layer that none matches is kept.
    Build the optimiser afterwards: steps and shifts are new parameters. Raises OptionsError, the network untouched:
    a bad spec, a network that is itself the layer, a layer quantized before, rules that quantize nothing at all.
    """
    rows: list[LayerRow] = []
    replacements: dict[nn.Module, nn.Module] = {}
    for name, module in network.named_modules():
        if isinstance(module, Quantizer) or not any(True for _ in module.parameters(recurse=False)):
            continue
        rule = rule_for(name, tuple(rules))
        wanted = rule is not None and not rule.keeps
        obstacle = _obstacle(network, name, module) if wanted else ""
        if rule is not None and wanted and not obstacle:
            replacements[module] = _replacement(name, module, rule)
            rows.append(_row(name, module, rule.weight, rule.act, rule.reason))
        else:
            rows.append(_row(name, module, None, None, obstacle or _kept_because(module, rule)))
    if not replacements and any(not rule.keeps for rule in rules):
        raise OptionsError("the rules quantize no layer", hint=f"the network's layers: {_some_names(rows)}")
    _swap(network, replacements)
    _link(network)
    return LayerReport(tuple(rows), _unused(rules, rows))


def _replacement(name: str, module: nn.Module, rule: QuantRule) -> nn.Module:
    kind = QConv2d if isinstance(module, nn.Conv2d) else QLinear
    try:
        return kind.from_float(module, rule.weight, rule.act)  # type: ignore[arg-type]
    except OptionsError as fault:
        raise OptionsError(fault.message, where=f"layer {name} (rule {rule.match!r})", hint=fault.hint) from fault


def _obstacle(network: nn.Module, name: str, module: nn.Module) -> str:
    """Why a layer that a rule names cannot be replaced; raises OptionsError where that must be the caller's mistake."""
    if isinstance(module, QConv2d | QLinear):
        raise OptionsError("already quantized", where=f"layer {name}", hint="call quantize_ once, with all rules")
    if type(module) not in (nn.Conv2d, nn.Linear):
        return _kept_because(module, None)
    if not name:
        raise OptionsError(
            f"the network is itself a {type(module).__name__} and cannot be replaced in place", hint="wrap it in nn.Sequential"
        )
    if "weight" not in module._parameters or module._forward_hooks or module._forward_pre_hooks:
        return "has hooks or a computed weight"
    parent = network.get_submodule(name.rpartition(".")[0])
    return f"{type(parent).__name__} reads its weight directly" if isinstance(parent, READS_CHILDREN) else ""


def _kept_because(module: nn.Module, rule: QuantRule | None) -> str:
    if type(module) not in (nn.Conv2d, nn.Linear, QConv2d, QLinear):
        return f"{type(module).__name__} has no quantized form"
    return "no rule names it" if rule is None else rule.reason or "kept by rule"


def _row(name: str, module: nn.Module, weight: QuantSpec | None, act: QuantSpec | None, reason: str) -> LayerRow:
    at = "input, before zero padding" if isinstance(module, nn.Conv2d) else "input"
    half = "" if weight and act else "weight kept by rule" if act else "activation kept by rule"
    return LayerRow(
        module=name,
        kind=type(module).__name__,
        params=sum(p.numel() for p in module.parameters(recurse=False)),
        w_method=weight.method if weight else "",
        w_bits=weight.bits if weight else FULL_BITS,
        granularity=weight.granularity if weight else "",
        a_method=act.method if act else "",
        a_bits=act.bits if act else FULL_BITS,
        act_at=at if act else "",
        reason=reason or half,
    )


def _unused(rules: Sequence[QuantRule], rows: Sequence[LayerRow]) -> tuple[str, ...]:
    """Patterns that decided about no layer; `name` and `name.*` come as a pair and count as one."""
    deciding = [rule_for(row.module, tuple(rules)) for row in rows]
    used = {rule.match.removesuffix(".*") for rule in deciding if rule is not None}
    return tuple(dict.fromkeys(rule.match for rule in rules if rule.match.removesuffix(".*") not in used))


def _some_names(rows: Sequence[LayerRow], most: int = 8) -> str:
    names = ", ".join(row.module for row in rows[:most]) or "none"
    return names if len(rows) <= most else f"{names}, ... ({len(rows)} in all)"


def _swap(network: nn.Module, replacements: dict[nn.Module, nn.Module]) -> None:
    """Put every replacement wherever its original is referenced, so that a shared layer stays shared."""
    for parent in list(network.modules()):
        for child_name, child in list(parent._modules.items()):
            if child in replacements:
                parent._modules[child_name] = replacements[child]


def _link(network: nn.Module) -> None:
    """Let the quantizers of each method know of each other and of the network."""
    found = [quantizer for _, quantizer in quantizers(network)]
    for kind in dict.fromkeys(type(quantizer) for quantizer in found):
        kind.link([quantizer for quantizer in found if type(quantizer) is kind], network)


def calibrate(network: nn.Module, batches: Iterable[Tensor], n: int | None = None) -> tuple[str, ...]:
    """Initialise step sizes and signedness by forward passes without gradients.

    batches: inputs of the network, on its device; the first `n` of them (None: all). Quantizers that are initialised
    already keep what they have; the training mode is restored. With several processes, calibrate before DDP, which
    then broadcasts rank 0's result. Returns the names of quantizers that no batch reached.
    """
    fresh = [(name, q) for name, q in quantizers(network) if not q.initialised]
    modes = {module: module.training for module in network.modules()}
    for _, quantizer in fresh:
        quantizer.begin_calibration()
    try:
        network.eval()
        initial_weights(network)
        with torch.no_grad():
            for batch in islice(batches, n) if fresh else ():
                network(batch)
    finally:
        for _, quantizer in fresh:
            quantizer.end_calibration()
        absorb_shifts(network, {quantizer for _, quantizer in fresh})
        for module, mode in modes.items():
            module.training = mode
    return tuple(name for name, quantizer in fresh if not quantizer.initialised)


def is_calibrated(network: nn.Module) -> bool:
    """True if every quantizer has its initial step size (also if there is none)."""
    return all(bool(quantizer.initialised) for _, quantizer in quantizers(network))


def parameter_groups(network: nn.Module) -> dict[str, list[tuple[str, nn.Parameter]]]:
    """Every parameter once, as (dotted name, parameter), under "weights", "step", "shift" or "shortcut".

    "step" and "shift" belong to quantizers; "shortcut" are the scalars of depth-dynamic blocks; the rest is "weights".
    """
    groups: dict[str, list[tuple[str, nn.Parameter]]] = {"weights": [], "step": [], "shift": [], "shortcut": []}
    owned = {id(p): leaf for _, q in quantizers(network) for leaf, p in q.named_parameters(recurse=False)}
    for name, parameter in network.named_parameters():
        leaf = owned.get(id(parameter), "shortcut" if name.rpartition(".")[2] == "shortcut" else "weights")
        groups[leaf if leaf in groups else "weights"].append((name, parameter))
    return groups

"""Which layers of a backbone are quantized: the `quant` section turned into rules by layer name (algorithms 7).

Head and tail stay in full precision and say so; `quant.skip` and `quant.rules` come last and therefore win.
From here on only specs travel: nobody downstream reads an option or parses a name.
"""

from __future__ import annotations

from dataclasses import replace

from qsr.errors import OptionsError
from qsr.options.schema import BasicSRNetwork, LayerRule, Mixer, Options, Quant, SRResNet, SwinIR
from qsr.quant import elastic
from qsr.quant.base import Role, method_class
from qsr.spec import METHODS, QuantRule, QuantSpec

FULL_PRECISION = 32

# (pattern, reason) of what stays in full precision
HEAD = (("conv_first", "head"),)
EDSR_TAIL = (("upsample.*", "tail: upsampler"), ("conv_last", "tail: last convolution"))
# no skip goes around it; `quant.rules` may name it all the same
ONE_BIT_AFTER_BODY = ("conv_after_body", "after the body: full precision at one bit")
MSR_TAIL = (("upconv*", "tail: upsampler"), ("conv_hr", "tail: convolution at HR"), ("conv_last", "tail: last convolution"))
SWINIR_TAIL = (("conv_after_body*", "after the body: full precision in transformers"), ("upsample.*", "tail: upsampler"))
CLASSICAL_TAIL = (("conv_before_upsample*", "tail"), ("conv_last", "tail: last convolution"))
DEPTHWISE = ("body.*.dw", "depthwise: 9 weights per channel")
MIXER_TAIL = (("conv_last", "tail: upsampler"),)
SWINIR_LINEAR = ("layers.*.attn.qkv", "layers.*.attn.proj", "layers.*.mlp.fc1", "layers.*.mlp.fc2")


def layout(network: SRResNet) -> str:
    """`edsr` or `msr`: as the options say, else what the type's name implies."""
    return network.layout or ("msr" if network.type == "MSRResNet" else "edsr")


def quant_rules(options: Options) -> list[QuantRule]:
    """The rules for `options.network_g`; [] without a `quant` section. OptionsError for an unknown method."""
    quant = options.quant
    if quant is None:
        return []
    kept, quantized = _parts(options, quant)
    return [
        *(QuantRule(pattern, reason=reason) for pattern, reason in kept),
        *(_rule(pattern, quant, None) for pattern in quantized),
        *(QuantRule(pattern, reason="quant.skip") for pattern in quant.skip),
        *(_rule(rule.match, quant, rule) for rule in quant.rules),
    ]


def _parts(options: Options, quant: Quant) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """(what stays in full precision and why, patterns of what is quantized) of the network."""
    network = options.network_g
    if isinstance(network, BasicSRNetwork):
        return (), network.quantize
    if isinstance(network, SwinIR):
        classical = network.upsampler == "pixelshuffle"
        convs = "layers.*.conv" if network.resi_connection == "1conv" else "layers.*.conv.*"
        return (*HEAD, *SWINIR_TAIL, *(CLASSICAL_TAIL if classical else ())), (*SWINIR_LINEAR, convs)
    body = ("body.*.conv1", "body.*.conv2")
    if isinstance(network, Mixer):
        return (*HEAD, DEPTHWISE, *MIXER_TAIL), body
    if layout(network) == "msr":
        return (*HEAD, *MSR_TAIL), body
    if 1 in (quant.w_bits, quant.a_bits):
        return (*HEAD, ONE_BIT_AFTER_BODY, *EDSR_TAIL), body
    if quant.quantize_after_body:
        return (*HEAD, *EDSR_TAIL), (*body, "conv_after_body")
    return (*HEAD, ("conv_after_body", "quant.quantize_after_body is off"), *EDSR_TAIL), body


def matmul_spec(options: Options) -> QuantSpec | None:
    """How the operands of SwinIR's attention products are quantized; None unless `quant.quant_matmul`.

    At one bit by quantizers of their own for every method: a map in [0, 1] has no use for signs.
    """
    quant = options.quant
    if quant is None or not quant.quant_matmul or not isinstance(options.network_g, SwinIR):
        return None
    if quant.a_bits == 1:
        return elastic.SPEC
    spec = _spec(quant.method, quant.a_bits, quant, "act")
    if spec is None:
        return None
    params = {name: value for name, value in spec.params if name != "shift"}
    if spec.param("shift", False):
        params["shift"] = False  # the operands of a product have no bias after them that could absorb it
    return replace(spec, params=tuple(params.items()))


def _rule(pattern: str, quant: Quant, exception: LayerRule | None) -> QuantRule:
    method, w_bits, a_bits = quant.method, quant.w_bits, quant.a_bits
    if exception is not None:
        method = exception.method or method
        w_bits = exception.w_bits or w_bits
        a_bits = exception.a_bits or a_bits
    weight, act = _spec(method, w_bits, quant, "weight"), _spec(method, a_bits, quant, "act")
    return QuantRule(pattern, weight, act, reason="" if weight or act else "32 bits asked for")


def _spec(method: str, bits: int, quant: Quant, role: Role) -> QuantSpec | None:
    """The spec with those settings of the `quant` section that the method has for this role; None for 32 bits."""
    if bits == FULL_PRECISION:
        return None
    known = method_class(method)
    own = quant.settings if method == quant.method else {}  # an exception by layer may be another method
    for name in own:
        if name not in known.accepts:
            has = ", ".join(known.accepts) or "none"
            raise OptionsError(f"{method} has no setting {name!r}", where="quant.settings", hint=f"it has: {has}")
    names = known.settings_of(role)
    params = {name: getattr(quant, name) for name in names if name in Quant.model_fields}
    params |= {name: value for name, value in own.items() if name in names}
    granularity = (quant.w_granularity or METHODS[method].w_granularity) if role == "weight" else "tensor"
    return QuantSpec(method, bits, granularity, tuple(params.items()))

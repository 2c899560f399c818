"""Quantizers and their application to any torch network. One file per published method; see docs/quantizers.md."""

from qsr.quant.apply import calibrate, is_calibrated, parameter_groups, quantize_
from qsr.quant.base import Codes, Quantizer, create, method_class
from qsr.quant.modules import QConv2d, QLinear, quantizers
from qsr.quant.presets import LSQ, RLQ, Preset, rules
from qsr.quant.report import LayerReport, LayerRow

__all__ = [
    "LSQ",
    "RLQ",
    "Codes",
    "LayerReport",
    "LayerRow",
    "Preset",
    "QConv2d",
    "QLinear",
    "Quantizer",
    "calibrate",
    "create",
    "is_calibrated",
    "method_class",
    "parameter_groups",
    "quantize_",
    "quantizers",
    "rules",
]

"""What quantizers take from training, how far it is, and what they give to it, a term of its loss.

Most methods want neither. The few that do are found once per network (`scheduled`, `penalised`), so that a training
step of the others costs nothing.
"""

from __future__ import annotations

from torch import Tensor, nn

from qsr.quant.base import Quantizer
from qsr.quant.modules import quantizers


def scheduled(network: nn.Module) -> list[Quantizer]:
    """The quantizers whose class follows the progress of training (overrides `set_progress`)."""
    return [q for _, q in quantizers(network) if type(q).set_progress is not Quantizer.set_progress]


def penalised(network: nn.Module) -> list[Quantizer]:
    """The quantizers whose class has a term in the training loss (overrides `penalty`)."""
    return [q for _, q in quantizers(network) if type(q).penalty is not Quantizer.penalty]


def set_progress(network: nn.Module, progress: float) -> None:
    """Tell every quantizer how far training is, in [0, 1]. Raises ValueError outside."""
    if not 0 <= progress <= 1:
        raise ValueError(f"progress: found {progress}, expected 0 to 1")
    for quantizer in scheduled(network):
        quantizer.set_progress(progress)


def penalties(network: nn.Module) -> Tensor | None:
    """The sum of the quantizers' penalties from the last forward in training mode, 0-dim; None where there are none."""
    return total_penalty(penalised(network))


def total_penalty(found: list[Quantizer]) -> Tensor | None:
    """`penalties` of quantizers that `penalised` has found."""
    terms = [term for term in (quantizer.penalty() for quantizer in found) if term is not None]
    return sum(terms[1:], terms[0]) if terms else None

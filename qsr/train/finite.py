"""NaN and Inf are found before the optimiser takes them in; the report says where they came from.

The loop checks loss and gradient norm before each step, so weights, averages and checkpoints stay finite. Only when
that check fails does this module look at every tensor: parameters first, since a bad one explains everything else,
then the modules' outputs in the order of a forward pass, then loss terms, then gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from qsr.data.training import Batch
from qsr.errors import EnvironmentFault, NumericalError
from qsr.files import write_atomic


def all_finite(tensors: list[Tensor]) -> bool:
    """True if no element of any float tensor is NaN or Inf; one synchronisation with the device."""
    floats = [tensor for tensor in tensors if tensor.is_floating_point()]
    return not floats or bool(torch.stack([torch.isfinite(tensor).all() for tensor in floats]).all())


def first_bad(network: nn.Module, terms: Mapping[str, Tensor], lq: Tensor) -> str:
    """Where non-finite numbers were found first, in words."""
    for name, weight in network.named_parameters():
        if not all_finite([weight]):
            return f"parameter {name}{_role(name)}"
    output = _first_bad_output(network, lq)
    if output is not None:
        return output
    for name, term in terms.items():
        if not all_finite([term]):
            return f"loss term {name}"
    # a bad gradient spreads from the end of the network to its beginning, so the last one is nearest to the source
    for name, weight in reversed(list(network.named_parameters())):
        if weight.grad is not None and not all_finite([weight.grad]):
            return f"gradient of {name}{_role(name)}"
    return "the norm of the gradient (every element is finite)"


def report(
    iteration: int, network: nn.Module, terms: Mapping[str, Tensor], batch: Batch, folder: Path, rank: int
) -> NumericalError:
    """What to raise: iteration, term, tensor, files. The batch is written to `<folder>/numerical/` if the disk takes it."""
    dump = folder / "numerical" / f"iter_{iteration:08d}_rank{rank}.safetensors"
    try:
        write_atomic(dump, save({"lq": batch.lq.cpu().contiguous(), "gt": batch.gt.cpu().contiguous()}))
        kept = f"saved as {dump}"
    except EnvironmentFault as fault:
        kept = f"not saved: {fault}"
    bad = [name for name, term in terms.items() if not all_finite([term])]
    device = next(network.parameters()).device
    return NumericalError(
        f"NaN or Inf at iteration {iteration}: first in {first_bad(network, terms, batch.lq.to(device))}; "
        f"loss terms not finite: {', '.join(bad) or 'none'}; batch: {', '.join(batch.names)} ({kept})",
        where=str(folder),
        hint="lower the learning rate or set train.grad_clip; --auto_resume goes back to the last checkpoint, which is finite",
    )


def _role(name: str) -> str:
    roles = {"step": " (quantizer step size)", "shift": " (quantizer shift)"}
    return roles.get(name.rpartition(".")[2], "")


@torch.no_grad()
def _first_bad_output(network: nn.Module, lq: Tensor) -> str | None:
    """Runs the network once more and names the first module whose output is not finite."""
    found: list[str] = []

    def watch(name: str) -> object:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if not found and isinstance(output, Tensor) and not all_finite([output]):
                found.append(f"output of {name or 'the network'} ({type(module).__name__})")

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in network.named_modules()]
    try:
        if not all_finite([lq]):
            return "the input pictures"
        network(lq)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None

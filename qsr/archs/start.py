"""First weights of a network: those of another one, which may be shallower, float where this one is quantized, or foreign.

A supernet twice as deep as its full-precision base starts as that base followed by a copy of it: block i gets the
weights of block i mod n, and the copies' last convolution is scaled by 0.1, so that they begin close to the identity
(algorithms 1.4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from qsr.archs.depth import find_stack
from qsr.errors import FormatError

COPY_SCALE = 0.1
BLOCK = re.compile(r"^(body|layers)\.(\d+)\.(.+)$")
LAST_CONV = re.compile(r"^(conv2|conv|conv\.4)\.(weight|bias)$")  # SRResNet's; RSTB's `1conv` and `3conv`
# what a float network of fixed depth does not have, and a start file therefore need not bring
OWN = re.compile(r"(^|\.)(shortcut|order)$|(^|\.)(weight|act|q|k|v|attn)_quant\.")
# what one-bit networks have besides the layers of their full-precision base (units.py); a base never has more than they
ADDED = re.compile(r"^body\.\d+\.(act[12]?|norm[12])\.\w+$|(^|\.)join[12]?\.gain$")


def start_from(
    network: nn.Module, base: nn.Module | Mapping[str, Tensor], strict: bool = True, where: str | None = None
) -> None:
    """Copy every weight of `base` (a network or its state dict) into `network`, in place, deepening it where needed.

    strict: FormatError unless all of the network's weights are found and all of the base's are used; quantizers,
    shortcuts and the order of blocks keep their values where the base has none. Not strict: what fits is taken.
    A shape that differs is a FormatError either way. `where` names the file in the message.
    """
    state = base.state_dict() if isinstance(base, nn.Module) else base
    target = network.state_dict()
    blocks, base_blocks = count_blocks(target), count_blocks(state)
    found = deepen(state, blocks) if blocks > base_blocks > 0 and find_stack(network) is not None else dict(state)
    if blocks != base_blocks:
        found = {name: value for name, value in found.items() if not name.endswith(".order")}
    missing = [name for name in target if name not in found and not OWN.search(name) and not ADDED.search(name)]
    unexpected = [name for name in found if name not in target and not OWN.search(name)]
    shapes = [
        f"{name}: {tuple(found[name].shape)} instead of {tuple(target[name].shape)}"
        for name in target
        if name in found and found[name].shape != target[name].shape
    ]
    if shapes or (strict and (missing or unexpected)):
        raise FormatError(
            mismatch(missing, unexpected, shapes), where=where, hint="does network_g describe the network of this file?"
        )
    with torch.no_grad():
        for name, value in target.items():
            if name in found:
                value.copy_(found[name])


def count_blocks(names: Mapping[str, Tensor]) -> int:
    """Number of residual blocks (`body.N.`, `layers.N.`) in a state dict."""
    return len({match[2] for match in map(BLOCK.match, names) if match})


def deepen(state: Mapping[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """`state` with residual blocks repeated up to `blocks`, the copies' last convolution scaled by 0.1."""
    have = count_blocks(state)
    deeper = dict(state)
    for name, value in state.items():
        match = BLOCK.match(name)
        if match is None:
            continue
        stack, number, rest = match.groups()
        for copy in range(int(number) + have, blocks, have):
            deeper[f"{stack}.{copy}.{rest}"] = value * COPY_SCALE if LAST_CONV.match(rest) else value
    return deeper


def mismatch(missing: list[str], unexpected: list[str], shapes: list[str], shown: int = 3) -> str:
    """One line that says how many names differ and shows the first few of each kind."""
    parts = []
    for label, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes)):
        if names:
            more = f" and {len(names) - shown} more" if len(names) > shown else ""
            parts.append(f"{len(names)} {label} ({', '.join(names[:shown])}{more})")
    return f"weights do not match the network: {'; '.join(parts)}"

"""Foreign checkpoints: BasicSR's .pth (and the official SwinIR and MSRResNet files), read without running their code.

Read with weights_only=True and no fallback: a pickle that wants more than tensors is refused. Parameter names are
those of our networks already, apart from `module.` of DataParallel and SwinIR's index and mask buffers.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from qsr.archs import modelfile
from qsr.archs.start import start_from
from qsr.errors import FormatError
from qsr.files import write_atomic

Key = Literal["params", "params_ema", "auto"]
FOREIGN = (".pth", ".pt", ".ckpt")
LONGEST_REASON = 200  # characters of torch's own words
# buffers that follow from sizes; qsr computes them at run time
DERIVED = (".attn_mask", ".relative_position_index")


def load_foreign_state(path: Path | str, key: Key = "auto") -> dict[str, Tensor]:
    """The state dict of a BasicSR checkpoint, on the CPU, names mapped.

    key: `params`, `params_ema`, or `auto` (the EMA if the file has one). A plain state dict is taken as it is.
    Raises FormatError: missing or damaged file, a file that holds more than tensors, a key that is not there.
    """
    path = Path(path)
    try:
        _refuse_unpacking(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FormatError:
        raise
    except FileNotFoundError as fault:
        raise FormatError("no such file", where=str(path)) from fault
    except pickle.UnpicklingError as fault:
        raise FormatError("holds more than tensors, or is damaged; it is not loaded", where=str(path)) from fault
    except Exception as fault:  # a pickle written for it makes an unpickler raise whatever it likes
        reason = str(fault).splitlines()[0][:LONGEST_REASON] if str(fault) else type(fault).__name__
        raise FormatError(f"not a readable checkpoint: {reason}", where=str(path)) from fault
    state = _choose(content, key, str(path))
    names = {name: name.removeprefix("module.") for name in state if not name.endswith(DERIVED)}
    return {ours: state[name] for name, ours in names.items()}


def _refuse_unpacking(path: Path) -> None:
    """FormatError for an archive that holds more than its own size. torch stores tensors as they are and never twice."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked, there = sum(entry.file_size for entry in archive.infolist()), path.stat().st_size
    if unpacked > there:
        raise FormatError(f"would unpack to {unpacked:,} bytes, and is {there:,}: a zip bomb", where=str(path))


def _choose(content: object, key: Key, where: str) -> Mapping[str, Tensor]:
    if not isinstance(content, Mapping):
        raise FormatError(f"found a {type(content).__name__}, expected a state dict", where=where)
    stored = [name for name in ("params_ema", "params") if name in content]
    if stored:
        wanted = stored[0] if key == "auto" else key
        if wanted not in content:
            raise FormatError(f"no weights {wanted!r}, found {', '.join(map(str, content))}", where=where)
        content = content[wanted]
    elif key != "auto":
        raise FormatError(f"no weights {key!r}: the file is a plain state dict", where=where, hint="use param_key_g: auto")
    if not isinstance(content, Mapping) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise FormatError("not a state dict of tensors", where=where)
    for name, value in content.items():
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            shape = "x".join(map(str, value.shape))
            raise FormatError(f"tensor {str(name)[:80]!r} of {shape} has fewer numbers than its shape says", where=where)
    return content


def load_start(network: nn.Module, path: Path | str, key: Key = "auto", strict: bool = True) -> None:
    """Fill `network` in place from a model file or experiment of ours, or from a BasicSR checkpoint (*.pth, *.pt).

    The file may be float where the network is quantized, or shallower than a supernet (see start.py). Raises FormatError.
    """
    path = Path(path)
    if path.suffix in FOREIGN:
        state = load_foreign_state(path, key)
    else:
        state = modelfile.read_state(path)
    start_from(network, state, strict, where=str(path))


def write_basicsr(path: Path | str, network: nn.Module, ema_state: Mapping[str, Tensor] | None = None) -> None:
    """Write {'params', 'params_ema'} as BasicSR does, atomically; without `ema_state` only 'params'.

    A quantized network's file also holds its quantizers' tensors, which BasicSR refuses when it loads strictly.
    """
    content = {"params": _on_cpu(network.state_dict())}
    if ema_state is not None:
        content["params_ema"] = _on_cpu(ema_state)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomic(path, buffer.getvalue())


def _on_cpu(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in state.items()}

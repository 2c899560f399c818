"""The typed schema of an option file: every key, its type, its default and one line of explanation.

Key names are BasicSR's wherever BasicSR has one; `quant`, `depth`, `device`, `amp`, `deterministic` and
`compile` are ours. The models are frozen and refuse unknown keys. Descriptions feed `docs/options.md` and
the JSON schema; a key without a description fails a test.

`schema_base`, `schema_network` and `schema_training` hold the parts; import every name from here.

Not here: reading YAML (yaml_lines.py), merging and overrides (layers.py), checks across keys (checks.py).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from qsr.options.schema_base import Bits, NonNegative, Positive, Scale, Section, Seed
from qsr.options.schema_network import BasicSRNetwork, Layers, Mixer, Network, SRResNet, SwinIR, network_kind
from qsr.options.schema_training import (
    Distill,
    Logger,
    Optim,
    PathOptions,
    PixelLoss,
    PsnrMetric,
    Scheduler,
    Train,
    Val,
)

__all__ = [
    "BasicSRNetwork",
    "Dataset",
    "Depth",
    "Distill",
    "Dqa",
    "IoBackend",
    "LayerRule",
    "Logger",
    "Mixer",
    "Network",
    "Optim",
    "Options",
    "PathOptions",
    "PixelLoss",
    "PsnrMetric",
    "Quant",
    "SRResNet",
    "Scale",
    "Scheduler",
    "Section",
    "SwinIR",
    "Train",
    "Val",
    "network_kind",
]


# --- data -----------------------------------------------------------------------------------------------------
class IoBackend(Section):
    type: Literal["disk", "lmdb"] = Field("disk", description="Where pictures are read from: single files or an LMDB.")


class Dataset(Section):
    """One entry of `datasets`: `train`, `val`, `val_2`, `test_1`, ..."""

    name: str = Field("", description="Name shown in tables; a benchmark name (Set5, B100, ...) finds its published row.")
    type: Literal["PairedImageDataset"] = Field("PairedImageDataset", description="BasicSR's dataset type; pairs of HR and LR.")
    dataroot_gt: str = Field(description="Folder (or .lmdb) with the HR pictures.")
    dataroot_lq: str | None = Field(
        None, description="Folder (or .lmdb) with the LR pictures; left out: made from HR by MATLAB-exact bicubic."
    )
    meta_info_file: str | None = Field(
        None, description="Text file with one relative HR name per line (text after a blank is ignored); restricts the set."
    )
    filename_tmpl: str = Field("{}", description="How an LR name follows from the HR stem, for instance '{}x4'.")
    io_backend: IoBackend = Field(IoBackend(), description="Storage of the pictures.")
    gt_size: Positive | None = Field(None, description="Side of a training patch in HR pixels; required for `train`.")
    use_hflip: bool = Field(True, description="Random horizontal flips of training patches.")
    use_rot: bool = Field(True, description="Random vertical flips and 90-degree turns of training patches.")
    num_worker_per_gpu: NonNegative = Field(0, description="Loader threads per process; results do not depend on it.")
    batch_size_per_gpu: Positive = Field(1, description="Patches per process and step.")
    cache: Literal["auto", "memory", "none"] = Field(
        "auto", description="Keep decoded pictures in memory: when they fit, always, or never."
    )


# --- quantization ---------------------------------------------------------------------------------------------
class LayerRule(Section):
    """Bits (or another method) for the layers that match; the last rule that matches wins."""

    match: str = Field(description="Shell pattern over dotted layer names, for instance 'body.0.*'.")
    method: str | None = Field(None, description="Another quantizer for these layers.")
    w_bits: Bits | None = Field(None, description="Weight bits; 32 keeps full precision.")
    a_bits: Bits | None = Field(None, description="Activation bits; 32 keeps full precision.")


class Quant(Section):
    method: str = Field(description="Quantizer: rlq (QuantSR), srb (FRB), lsq, ...; docs/quantizers.md lists all.")
    w_bits: Bits = Field(description="Weight bits of the quantized layers; 32 keeps full precision.")
    a_bits: Bits = Field(description="Activation bits of the quantized layers; 32 keeps full precision.")
    skip: tuple[str, ...] = Field((), description="Patterns of layers that stay in full precision, besides head and tail.")
    rules: tuple[LayerRule, ...] = Field((), description="Exceptions by layer name.")
    w_granularity: Literal["tensor", "channel"] | None = Field(
        None, description="One weight scale per layer or per output channel; left out: as the method's paper has it."
    )
    k: float = Field(
        2.0,
        gt=0,
        description="rlq: slope constant of the redistribution function (2: the paper, its factor mended; 1: released code).",
    )
    shift: bool = Field(True, description="rlq: learnable per-channel shift of activations.")
    init: Literal["lsq", "max", "mse"] = Field(
        "lsq", description="Initial step size: 2 mean|x| / sqrt(Qp), max|x| / Qp, or of least squared error."
    )
    numel: Literal["sample", "batch"] = Field(
        "sample", description="Elements counted in the step size's gradient scale; batch is the released code."
    )
    symmetric_narrow: bool = Field(False, description="Signed levels -Qp..Qp instead of -Qp-1..Qp.")
    quantize_after_body: bool = Field(
        True, description="edsr layout: quantize conv_after_body (the papers' tables count it so; released code does not)."
    )
    quant_matmul: bool = Field(False, description="SwinIR: quantize q, k, v and the attention map as well.")
    settings: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="The method's own settings by name, for instance {order: 2, h: auto} of srb."
    )
    start: Literal["balanced", "as_is"] = Field(
        "as_is",
        description="balanced: scale the initial weights of each residual branch so that its output has `branch_ratio` of its "
        "stream's standard deviation (one-bit networks need it); as_is: leave them.",
    )
    branch_ratio: float = Field(0.1, gt=0, description="start balanced: standard deviation of a branch over its stream's.")
    calibration_batches: NonNegative = Field(4, description="Batches that set step sizes and signedness before the first step.")


class Dqa(Section):
    """Depth-dynamic quantized architecture (QuantSR)."""

    depths: tuple[Layers, ...] = Field(
        description="Active blocks of the nested sub-networks, largest (the supernet) first, e.g. [32, 16, 8]."
    )
    weights: tuple[float, ...] | None = Field(None, description="Loss weight per sub-network; left out: equal.")
    warmup: float = Field(
        0.1, ge=0, lt=1, description="Share of the iterations at full depth before the order of blocks is frozen."
    )
    importance: Literal["shortcut", "branch_ratio"] = Field(
        "shortcut", description="Which blocks to keep: small |s|, or large branch over shortcut."
    )
    sandwich: bool = Field(False, description="Train the middle sub-networks on alternate steps only.")


class Depth(Section):
    dqa: Dqa | None = Field(None, description="Train one supernet whose sub-networks share weights.")


# --- the whole file -------------------------------------------------------------------------------------------
class Options(Section):
    """One option file, resolved. Build it with `qsr.options.load` or, from a checkpoint, `qsr.options.from_json`."""

    name: str = Field(description="Experiment name: the folder under experiments/.", min_length=1, pattern=r"^[\w][\w.+-]*$")
    model_type: Literal["SRModel", "SwinIRModel"] = Field("SRModel", description="BasicSR's model kind.")
    scale: Scale = Field(description="Super-resolution factor.")
    manual_seed: Seed = Field(0, description="Seed of initialisation, data order and augmentation.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where to compute.")
    amp: Literal["off", "bf16"] = Field("off", description="bf16 autocast; quantizer arithmetic stays float32.")
    deterministic: bool = Field(False, description="Refuse operations without a deterministic implementation.")
    compile: bool = Field(False, description="torch.compile the network.")
    channels_last: bool = Field(True, description="Memory layout of convolutional networks.")
    datasets: dict[str, Dataset] = Field(default_factory=dict, description="train, val, val_2, test_1, ...")
    network_g: Network = Field(description="The network.")
    quant: Quant | None = Field(None, description="How the network is quantized; left out: full precision.")
    depth: Depth = Field(Depth(), description="Depth-dynamic architecture.")
    path: PathOptions = Field(PathOptions(), description="Files.")
    train: Train | None = Field(None, description="Training; may be left out of a test file.")
    val: Val = Field(Val(), description="Validation.")
    logger: Logger = Field(Logger(), description="Logging and checkpoints.")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `Options.model_validate(o.to_json()) == o`."""
        return self.model_dump(mode="json")

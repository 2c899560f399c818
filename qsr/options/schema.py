"""The typed schema of an option file: every key, its type, its default and one line of explanation.

Key names are BasicSR's wherever BasicSR has one; `quant`, `depth`, `device`, `amp`, `deterministic` and
`compile` are ours. The models are frozen and refuse unknown keys. Descriptions feed `docs/options.md` and
the JSON schema; a key without a description fails a test.

Not here: reading YAML (yaml_lines.py), merging and overrides (layers.py), checks across keys (checks.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
Bits = Annotated[int, Field(ge=1, le=32)]
Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Scale = Literal[2, 3, 4]
Rgb = tuple[float, float, float]
DIV2K_MEAN: Rgb = (0.4488, 0.4371, 0.4040)


class Section(BaseModel):
    """Base of every section: frozen, unknown keys refused, numbers never turned into text, no NaN or Inf.

    Every key that may be empty is empty by default, so `key: ~` in a file means "its default" everywhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, protected_namespaces=(), allow_inf_nan=False)


# --- data ----------------------------------------------------------------------------------------------------
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


# --- network -------------------------------------------------------------------------------------------------
class SRResNet(Section):
    """BN-free SRResNet in one of two layouts (algorithms 1.3). `EDSR` and `MSRResNet` are BasicSR's names for them."""

    type: Literal["SRResNet", "EDSR", "MSRResNet"] = Field("SRResNet", description="Backbone.")
    layout: Literal["edsr", "msr"] | None = Field(
        None, description="EDSR-baseline or MSRResNet layout; follows from `type` (SRResNet: edsr)."
    )
    num_in_ch: Positive = Field(3, description="Input channels.")
    num_out_ch: Positive = Field(3, description="Output channels.")
    num_feat: Positive = Field(64, description="Feature channels.")
    num_block: Positive = Field(16, description="Residual blocks; with `depth.dqa` its largest depth counts instead.")
    upscale: Scale | None = Field(None, description="Upscaling factor; left out: `scale`.")
    res_scale: float = Field(1.0, description="Factor on each block's branch.")
    img_range: float = Field(255.0, description="edsr layout: range that pixel values are scaled to.")
    rgb_mean: Rgb = Field(DIV2K_MEAN, description="edsr layout: mean colour that is subtracted.")

    @property
    def resolved_layout(self) -> Literal["edsr", "msr"]:
        """The layout, also where it is left to follow from `type`."""
        return self.layout or ("msr" if self.type == "MSRResNet" else "edsr")


class SwinIR(Section):
    """SwinIR for classical SR with the light tail (SwinIR_S: the defaults)."""

    type: Literal["SwinIR"] = Field("SwinIR", description="Backbone.")
    upscale: Scale | None = Field(None, description="Upscaling factor; left out: `scale`.")
    in_chans: Positive = Field(3, description="Input channels.")
    img_size: Positive | tuple[Positive, Positive] = Field(
        64, description="Nominal patch size; kept for BasicSR files, the window operations take any size."
    )
    window_size: Positive = Field(8, description="Side of an attention window in LR pixels.")
    img_range: float = Field(1.0, description="Range that pixel values are scaled to.")
    depths: tuple[Positive, ...] = Field(
        (6, 6, 6, 6), min_length=1, description="Swin layers per RSTB; with `depth.dqa` only the first counts, for every RSTB."
    )
    embed_dim: Positive = Field(60, description="Feature channels.")
    num_heads: tuple[Positive, ...] = Field((6, 6, 6, 6), description="Attention heads per RSTB.")
    mlp_ratio: float = Field(2.0, gt=0, description="Hidden width of the MLP over embed_dim.")
    upsampler: Literal["pixelshuffledirect", "pixelshuffle"] = Field(
        "pixelshuffledirect", description="Tail: one-step (light) or classical."
    )
    resi_connection: Literal["1conv", "3conv"] = Field("1conv", description="Convolution at the end of each RSTB.")


class BasicSRNetwork(BaseModel):
    """Any architecture of basicsr's registry: `type: basicsr:NAME`, every other key is passed to it."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())
    type: Annotated[str, Field(pattern=r"^basicsr:\w+$")] = Field(description="`basicsr:` and a name of its registry.")
    quantize: tuple[str, ...] = Field(("*",), description="Patterns of the layers that `quant` applies to.")


def network_kind(value: Any) -> str | None:
    """Which of the three network sections a `network_g` is, so that errors speak of that one only."""
    kind = value.get("type", "SRResNet") if isinstance(value, dict) else getattr(value, "type", None)
    if kind in ("SRResNet", "EDSR", "MSRResNet"):
        return "SRResNet"
    if isinstance(kind, str) and kind.startswith("basicsr:"):
        return "BasicSRNetwork"
    return "SwinIR" if kind == "SwinIR" else None


Network = Annotated[
    Annotated[SRResNet, Tag("SRResNet")] | Annotated[SwinIR, Tag("SwinIR")] | Annotated[BasicSRNetwork, Tag("BasicSRNetwork")],
    Discriminator(network_kind),
]


# --- quantization --------------------------------------------------------------------------------------------
class LayerRule(Section):
    """Bits (or another method) for the layers that match; the last rule that matches wins."""

    match: str = Field(description="Shell pattern over dotted layer names, for instance 'body.0.*'.")
    method: str | None = Field(None, description="Another quantizer for these layers.")
    w_bits: Bits | None = Field(None, description="Weight bits; 32 keeps full precision.")
    a_bits: Bits | None = Field(None, description="Activation bits; 32 keeps full precision.")


class Quant(Section):
    method: str = Field(description="Quantizer: rlq (QuantSR), lsq, ...")
    w_bits: Bits = Field(description="Weight bits of the quantized layers; 32 keeps full precision.")
    a_bits: Bits = Field(description="Activation bits of the quantized layers; 32 keeps full precision.")
    skip: tuple[str, ...] = Field((), description="Patterns of layers that stay in full precision, besides head and tail.")
    rules: tuple[LayerRule, ...] = Field((), description="Exceptions by layer name.")
    w_granularity: Literal["tensor", "channel"] = Field(
        "tensor", description="One weight scale per layer or per output channel."
    )
    k: float = Field(
        2.0,
        gt=0,
        description="rlq: slope constant of the redistribution function (2: the paper, its factor mended; 1: released code).",
    )
    shift: bool = Field(True, description="rlq: learnable per-channel shift of activations.")
    init: Literal["lsq", "max"] = Field("lsq", description="Initial step size: 2 mean|x| / sqrt(Qp), or max|x| / Qp.")
    numel: Literal["sample", "batch"] = Field(
        "sample", description="Elements counted in the step size's gradient scale; batch is the released code."
    )
    symmetric_narrow: bool = Field(False, description="Signed levels -Qp..Qp instead of -Qp-1..Qp.")
    quantize_after_body: bool = Field(
        True, description="edsr layout: quantize conv_after_body (the papers' tables count it so; released code does not)."
    )
    quant_matmul: bool = Field(False, description="SwinIR: quantize q, k, v and the attention map as well.")
    calibration_batches: NonNegative = Field(4, description="Batches that set step sizes and signedness before the first step.")


class Dqa(Section):
    """Depth-dynamic quantized architecture (QuantSR, algorithms 1.2)."""

    depths: tuple[Positive, ...] = Field(
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


# --- training ------------------------------------------------------------------------------------------------
class PathOptions(Section):
    pretrain_network_g: str | None = Field(
        None, description="Model file or experiment to start from (ours, or BasicSR's .pth)."
    )
    param_key_g: Literal["params", "params_ema", "auto"] = Field(
        "auto", description="Which weights of a BasicSR .pth; auto: EMA if there."
    )
    strict_load_g: bool = Field(True, description="Refuse a start file whose names do not match the network's.")
    resume_state: str | None = Field(None, description="Checkpoint folder to resume from; --auto_resume finds the newest.")
    experiments_root: str = Field("experiments", description="Folder that holds experiments.")


class Optim(Section):
    type: Literal["Adam", "AdamW"] = Field("Adam", description="Optimiser.")
    lr: float = Field(2e-4, gt=0, description="Learning rate of the weights.")
    betas: tuple[Share, Share] = Field((0.9, 0.99), description="Adam's betas.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay; never applied to quantizer parameters.")
    step_lr: float | None = Field(None, gt=0, description="Learning rate of step sizes; left out: lr.")
    shift_lr: float | None = Field(None, gt=0, description="Learning rate of activation shifts; left out: lr.")


class Scheduler(Section):
    type: Literal["MultiStepLR", "MultiStepRestartLR", "CosineAnnealingLR", "CosineAnnealingRestartLR", "constant"] = Field(
        "CosineAnnealingLR", description="Learning rate as a closed form of the iteration."
    )
    milestones: tuple[Positive, ...] = Field((), description="MultiStep: iterations at which lr is multiplied by gamma.")
    gamma: float = Field(0.5, gt=0, description="MultiStep: the factor.")
    periods: tuple[Positive, ...] | None = Field(
        None, description="Cosine: lengths of the periods; left out: one, the stage's length."
    )
    restart_weights: tuple[float, ...] = Field((1.0,), description="Cosine: weight of each period.")
    restarts: tuple[NonNegative, ...] = Field(
        (0,), description="MultiStepRestartLR: iterations at which the schedule starts again."
    )
    eta_min: float = Field(1e-7, ge=0, description="Cosine: lowest learning rate.")


class PixelLoss(Section):
    type: Literal["L1Loss", "MSELoss", "CharbonnierLoss"] = Field("L1Loss", description="Pixel loss on RGB in [0, 1].")
    loss_weight: float = Field(1.0, description="Its weight.")
    reduction: Literal["mean", "sum"] = Field("mean", description="Mean or sum over elements.")
    eps: float = Field(1e-12, gt=0, description="Charbonnier's epsilon.")


class Train(Section):
    total_iter: Positive = Field(description="Iterations of the (quantized) training; counted after fp_iter.")
    warmup_iter: int = Field(-1, ge=-1, description="Linear learning-rate warm-up at the start of each stage; -1: none.")
    optim_g: Optim = Field(Optim(), description="Optimiser.")
    scheduler: Scheduler = Field(Scheduler(), description="Learning-rate schedule.")
    pixel_opt: PixelLoss = Field(PixelLoss(), description="Pixel loss.")
    ema_decay: float = Field(
        0.999, ge=0, lt=1, description="Exponential moving average of the weights, used for validation; 0: off."
    )
    grad_clip: float | None = Field(None, gt=0, description="Clip the gradient to this global norm.")
    accumulate: Positive = Field(1, description="Micro-batches per optimiser step.")
    fp_iter: NonNegative = Field(
        0, description="Full-precision iterations before quantization, in the same run (own cosine schedule)."
    )
    fp_lr: float | None = Field(None, gt=0, description="Learning rate of the full-precision stage; left out: optim_g.lr.")
    nan_check_freq: Positive = Field(1, description="Iterations between checks of loss and gradient for NaN and Inf.")


class PsnrMetric(Section):
    type: Literal["calculate_psnr", "calculate_ssim"] = Field(description="Metric, by BasicSR's name.")
    crop_border: NonNegative | None = Field(None, description="Pixels cut off each side; left out: scale.")
    test_y_channel: bool = Field(True, description="Y of YCbCr (BT.601) or RGB.")
    better: Literal["higher", "lower"] = Field("higher", description="Which direction is better.")


class Val(Section):
    val_freq: Positive | None = Field(None, description="Iterations between validations; left out: only at the end.")
    save_img: bool = Field(False, description="Write every validation picture, not only crops.")
    crops_every: NonNegative = Field(
        5, description="Every n-th validation writes comparison crops (LR, bicubic, ours, HR); 0: never."
    )
    metrics: dict[str, PsnrMetric] | None = Field(
        None, description="Kept from BasicSR files: must agree on border and channel; both PSNR and SSIM are always reported."
    )


class Logger(Section):
    print_freq: Positive = Field(100, description="Iterations between lines of progress.")
    save_checkpoint_freq: Positive = Field(5000, description="Iterations between checkpoints.")
    keep_checkpoints: Positive = Field(3, description="Newest checkpoints kept.")
    use_tb_logger: bool = Field(True, description="Write TensorBoard files (scalars, step sizes, histograms, crops).")
    save_basicsr: bool = Field(
        False, description="Write BasicSR's net_g_<iter>.pth (params, params_ema) beside each checkpoint."
    )


# --- the whole file ------------------------------------------------------------------------------------------
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

"""`path`, `train`, `val` and `logger`: what happens to a network, and what is kept of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qsr.options.schema_base import NonNegative, Positive, Section, Share


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
    lr_unit: Literal["absolute", "step"] = Field(
        "absolute",
        description="What step_lr and shift_lr count in. absolute: feature units, as released code; step: the quantizer's "
        "initial step size, so that steps and shifts move at the same relative rate in every layer.",
    )


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


class Distill(Section):
    """One term that pulls features of the network towards those of a full-precision teacher."""

    type: Literal["dbt", "at"] = Field(
        "dbt", description="dbt: squared features, normalised (FRB); at: attention maps, mean over channels first (PAMS)."
    )
    features: Literal["blocks", "body"] = Field("blocks", description="Every residual block's output, or the body's.")
    weight: float = Field(1e-4, gt=0, description="Weight of the term beside the pixel loss.")
    norm_scope: Literal["sample", "batch"] = Field("sample", description="Norms over each picture, or over the whole batch.")
    teacher: str | None = Field(
        None,
        description="Model file or experiment of the teacher; left out: what this run starts from (its full-precision stage, "
        "or path.pretrain_network_g).",
    )


class Train(Section):
    total_iter: Positive = Field(description="Iterations of the (quantized) training; counted after fp_iter.")
    warmup_iter: int = Field(-1, ge=-1, description="Linear learning-rate warm-up at the start of each stage; -1: none.")
    optim_g: Optim = Field(Optim(), description="Optimiser.")
    scheduler: Scheduler = Field(Scheduler(), description="Learning-rate schedule.")
    pixel_opt: PixelLoss = Field(PixelLoss(), description="Pixel loss.")
    ema_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Exponential moving average of the weights, used for validation (less early in a stage); 0: off.",
    )
    grad_clip: float | None = Field(None, gt=0, description="Clip the gradient to this global norm.")
    accumulate: Positive = Field(1, description="Micro-batches per optimiser step.")
    fp_iter: NonNegative = Field(
        0, description="Full-precision iterations before quantization, in the same run (own cosine schedule)."
    )
    fp_lr: float | None = Field(None, gt=0, description="Learning rate of the full-precision stage; left out: optim_g.lr.")
    activations_first: float = Field(
        0.0, ge=0, lt=1, description="Share of total_iter that quantizes activations only; weights follow after it."
    )
    distill: tuple[Distill, ...] = Field((), description="Distillation terms; works with every method.")
    nan_check_freq: Positive = Field(1, description="Iterations between checks of loss and gradient for NaN and Inf.")
    nan_policy: Literal["stop", "skip", "rewind"] = Field(
        "stop",
        description="After NaN or Inf: stop (exit code 4); skip that batch, 10 times at most; or rewind to the last checkpoint "
        "and go on with other samples, 3 times at most.",
    )


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

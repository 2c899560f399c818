"""`network_g`: the backbones that qsr builds itself, and any architecture of basicsr's registry."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from qsr.options.schema_base import DIV2K_MEAN, Positive, Rgb, Scale, Section

MAX_CHANNELS = 4096  # as in packed files; a file of options must not take the memory of a machine by one digit too many
MAX_LAYERS = 1024
MAX_WINDOW = 32

Channels = Annotated[int, Field(gt=0, le=MAX_CHANNELS)]
Layers = Annotated[int, Field(gt=0, le=MAX_LAYERS)]


class SRResNet(Section):
    """BN-free SRResNet in one of two layouts. `EDSR` and `MSRResNet` are BasicSR's names for them."""

    type: Literal["SRResNet", "EDSR", "MSRResNet"] = Field("SRResNet", description="Backbone.")
    layout: Literal["edsr", "msr"] | None = Field(
        None, description="EDSR-baseline or MSRResNet layout; follows from `type` (SRResNet: edsr)."
    )
    num_in_ch: Channels = Field(3, description="Input channels.")
    num_out_ch: Channels = Field(3, description="Output channels.")
    num_feat: Channels = Field(64, description="Feature channels.")
    num_block: Layers = Field(16, description="Residual blocks; with `depth.dqa` its largest depth counts instead.")
    upscale: Scale | None = Field(None, description="Upscaling factor; left out: `scale`.")
    res_scale: float = Field(1.0, description="Factor on each block's branch.")
    block: Literal["residual", "unit", "e2fif"] = Field(
        "residual",
        description="residual: x + conv(act(conv(x))); unit: x + act(conv(x)) around every convolution (FRB, BBCU, ReActNet); "
        "e2fif: x + BN(conv(x)) around every convolution.",
    )
    activation: Literal["relu", "prelu", "rprelu", "lrelu"] | None = Field(
        None, description="Activation of a block; left out: relu (residual), rprelu (unit), lrelu (e2fif)."
    )
    input_gain: float = Field(
        1.0, gt=0, description="msr layout: factor on the features that the body sees; taken off behind it (BBCU: 130)."
    )
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
    in_chans: Channels = Field(3, description="Input channels.")
    img_size: Positive | tuple[Positive, Positive] = Field(
        64, description="Nominal patch size; kept for BasicSR files, the window operations take any size."
    )
    window_size: Positive = Field(8, le=MAX_WINDOW, description="Side of an attention window in LR pixels.")
    img_range: float = Field(1.0, description="Range that pixel values are scaled to.")
    depths: tuple[Layers, ...] = Field(
        (6, 6, 6, 6),
        min_length=1,
        max_length=MAX_LAYERS,
        description="Swin layers per RSTB; with `depth.dqa` only the first counts, for every RSTB.",
    )
    embed_dim: Channels = Field(60, description="Feature channels.")
    num_heads: tuple[Channels, ...] = Field((6, 6, 6, 6), description="Attention heads per RSTB.")
    mlp_ratio: float = Field(2.0, gt=0, le=16, description="Hidden width of the MLP over embed_dim.")
    upsampler: Literal["pixelshuffledirect", "pixelshuffle"] = Field(
        "pixelshuffledirect", description="Tail: one-step (light) or classical."
    )
    linear_skip: bool = Field(False, description="A skip around the attention's projection, for one-bit networks (FRBT).")
    resi_connection: Literal["1conv", "3conv"] = Field("1conv", description="Convolution at the end of each RSTB.")


class Mixer(Section):
    """MLP-like: residual blocks of a depthwise 3x3 (always in full precision) and two 1x1 convolutions, with a light tail."""

    type: Literal["Mixer"] = Field("Mixer", description="Backbone.")
    num_feat: Channels = Field(64, description="Feature channels.")
    num_block: Layers = Field(16, description="Residual blocks.")
    expansion: int = Field(2, ge=1, le=8, description="Channels between the two 1x1 convolutions over num_feat.")
    upscale: Scale | None = Field(None, description="Upscaling factor; left out: `scale`.")
    block: Literal["residual", "unit"] = Field(
        "residual",
        description="With y = x + dw(x): residual: y + conv(act(conv(y))); unit: a skip around each of the two, for one-bit "
        "networks.",
    )
    activation: Literal["relu", "prelu", "rprelu", "lrelu"] | None = Field(
        None, description="Activation of a block; left out: relu (residual), rprelu (unit)."
    )


class BasicSRNetwork(BaseModel):
    """Any architecture of basicsr's registry: `type: basicsr:NAME`, every other key is passed to it."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())
    type: Annotated[str, Field(pattern=r"^basicsr:\w+$")] = Field(description="`basicsr:` and a name of its registry.")
    quantize: tuple[str, ...] = Field(("*",), description="Patterns of the layers that `quant` applies to.")


def network_kind(value: Any) -> str | None:
    """Which of the network sections a `network_g` is, so that errors speak of that one only."""
    kind = value.get("type", "SRResNet") if isinstance(value, dict) else getattr(value, "type", None)
    if kind in ("SRResNet", "EDSR", "MSRResNet"):
        return "SRResNet"
    if isinstance(kind, str) and kind.startswith("basicsr:"):
        return "BasicSRNetwork"
    return kind if kind in ("SwinIR", "Mixer") else None


Network = Annotated[
    Annotated[SRResNet, Tag("SRResNet")]
    | Annotated[SwinIR, Tag("SwinIR")]
    | Annotated[Mixer, Tag("Mixer")]
    | Annotated[BasicSRNetwork, Tag("BasicSRNetwork")],
    Discriminator(network_kind),
]

"""Multi-encoder autoencoder: encoders of different kinds, whose latents are joined before one decoder."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from hw8.models.backbones import Backbone, make_decoder, make_encoder
from hw8.models.blocks import Autoencoder, Size
from hw8.models.registry import model_options, register_model


@model_options
class MultiEncoderOptions:
    """Options of the model multi_encoder."""

    # Not strict: YAML has lists only.
    encoders: Annotated[tuple[Backbone, ...], Field(min_length=1, max_length=64, strict=False)] = (
        "fcn",
        "conv",
        "resnet",
    )
    """Layers of each encoder."""
    part: Size = 64
    """Length of each encoder's latent vector."""
    latent: Size = 64
    """Length of the joined latent vector."""
    decoder: Backbone = "conv"
    """Layers of the decoder."""


class JoinedEncoders(nn.Module):
    """Several encoders of the same image; a linear map joins their latents into one (N, latent)."""

    def __init__(self, encoders: Sequence[nn.Module], part: int, latent: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.join = nn.Linear(part * len(encoders), latent)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Pixels to the joined latent."""
        return self.join(torch.cat([encoder(x_NCHW) for encoder in self.encoders], dim=1))


@register_model
def multi_encoder(side: int, channels: int, options: MultiEncoderOptions) -> Autoencoder:
    """Several encoders, joined before one decoder."""
    encoders = [make_encoder(name, side, channels, options.part) for name in options.encoders]
    joined = JoinedEncoders(encoders, options.part, options.latent)
    return Autoencoder(joined, make_decoder(options.decoder, side, channels, options.latent))

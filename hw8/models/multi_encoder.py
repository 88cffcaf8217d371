"""Multi-encoder autoencoder: unlike encoders whose latents join before one decoder."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hw8.models.backbones import make_decoder, make_encoder
from hw8.models.blocks import Autoencoder, check_positive
from hw8.models.registry import register_model


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
def multi_encoder(
    side: int,
    channels: int = 3,
    *,
    encoders: Sequence[str] = ("fcn", "conv", "resnet"),
    part: int = 64,
    latent: int = 64,
    decoder: str = "conv",
) -> Autoencoder:
    """Encoders of the named backbones, each with a latent of `part` numbers, joined to `latent` before one decoder."""
    if not encoders:
        raise ValueError("encoders must name at least one backbone")
    check_positive(part=part, latent=latent)
    trained_runs = [make_encoder(name, side, channels, part) for name in encoders]
    return Autoencoder(JoinedEncoders(trained_runs, part, latent), make_decoder(decoder, side, channels, latent))

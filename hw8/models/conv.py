"""Convolutional autoencoder (Masci 2011): strided convolutions down, transposed ones up."""

from collections.abc import Sequence

from torch import Tensor, nn

from hw8.models.blocks import FOUR_WIDTHS, Autoencoder, FourWidths, Size, ToMap, conv_down, conv_up, smallest_map
from hw8.models.registry import model_options, register_model


@model_options
class ConvOptions:
    """Options of the model conv."""

    widths: FourWidths = FOUR_WIDTHS
    """Channels of the four feature maps, from the image inwards."""
    latent: Size = 128
    """Length of the latent vector."""


class ConvEncoder(nn.Module):
    """Four 4x4 convolutions at stride 2, then a linear map to a latent (N, latent)."""

    def __init__(self, side: int, channels: int, widths: Sequence[int], latent: int) -> None:
        super().__init__()
        maps = conv_down([channels, *widths])
        self.layers = nn.Sequential(*maps, nn.Flatten(), nn.Linear(widths[-1] * smallest_map(side) ** 2, latent))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Pixels to latent."""
        return self.layers(x_NCHW)


class ConvDecoder(nn.Module):
    """A linear map, then four 4x4 transposed convolutions at stride 2 to unbounded pixels."""

    def __init__(self, side: int, channels: int, widths: Sequence[int], latent: int) -> None:
        super().__init__()
        maps = [ToMap(latent, widths[-1], smallest_map(side)), *conv_up(widths[::-1])]
        self.layers = nn.Sequential(*maps, nn.ConvTranspose2d(widths[0], channels, 4, 2, 1))

    def forward(self, latent_ND: Tensor) -> Tensor:
        """Latent to pixels."""
        return self.layers(latent_ND)


@register_model
def conv(side: int, channels: int, options: ConvOptions) -> Autoencoder:
    """Plain convolutional autoencoder."""
    sizes = side, channels, options.widths, options.latent
    return Autoencoder(ConvEncoder(*sizes), ConvDecoder(*sizes))

"""Convolutional autoencoder (Masci 2011): strided convolutions down, transposed ones up."""

from collections.abc import Sequence

from torch import nn

from hw8.models.blocks import Autoencoder, FourWidths, Layers, Projection, Size, ToMap, conv_down, conv_up, smallest_map
from hw8.models.registry import model_options, register_model


@model_options
class ConvOptions:
    """Options of the model conv."""

    widths: FourWidths = (32, 64, 128, 128)
    """Channels of the four feature maps, from the image inwards."""
    latent: Size = 128
    """Length of the latent vector."""


def conv_encoder(side: int, channels: int, widths: Sequence[int], latent: int) -> Layers:
    """Four 4x4 convolutions at stride 2, then a linear map to a latent (N, latent)."""
    maps = conv_down([channels, *widths])
    return Layers(*maps, nn.Flatten(), Projection(widths[-1] * smallest_map(side) ** 2, latent))


def conv_decoder(side: int, channels: int, widths: Sequence[int], latent: int) -> Layers:
    """A linear map, then four 4x4 transposed convolutions at stride 2 to unbounded pixels."""
    maps = [ToMap(latent, widths[-1], smallest_map(side)), *conv_up(widths[::-1])]
    return Layers(*maps, nn.ConvTranspose2d(widths[0], channels, 4, 2, 1))


@register_model
def conv(side: int, channels: int, options: ConvOptions) -> Autoencoder:
    """Plain convolutional autoencoder."""
    sizes = side, channels, options.widths, options.latent
    return Autoencoder(conv_encoder(*sizes), conv_decoder(*sizes))

"""Residual autoencoder (blocks of He 2016) around a narrow latent."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from hw8.models.blocks import (
    Autoencoder,
    FourWidths,
    Layers,
    Projection,
    ResidualBlock,
    Size,
    ToMap,
    conv_down,
    smallest_map,
)
from hw8.models.registry import model_options, register_model


@model_options
class ResnetOptions:
    """Options of the model resnet."""

    widths: FourWidths = (32, 64, 128, 128)
    """Channels of the four stages, from the image inwards."""
    latent: Size = 64
    """Length of the latent vector."""


def resnet_encoder(side: int, channels: int, widths: Sequence[int], latent: int) -> Layers:
    """A strided stem, three halving residual stages, then a linear map to a latent (N, latent)."""
    stem = conv_down([channels, widths[0]])
    stages = [ResidualBlock(inputs, outputs, 2) for inputs, outputs in pairwise(widths)]
    return Layers(*stem, *stages, nn.Flatten(), Projection(widths[-1] * smallest_map(side) ** 2, latent))


def resnet_decoder(side: int, channels: int, widths: Sequence[int], latent: int) -> Layers:
    """A linear map, then residual stages that double the map, to unbounded pixels.

    Maps are doubled by nearest neighbours before a convolution, which leaves no checkerboard; the last
    doubling is a transposed convolution, so that no wide convolution runs at full size.
    """
    sizes = [*reversed(widths)]
    layers: list[nn.Module] = [ToMap(latent, sizes[0], smallest_map(side))]
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Upsample(scale_factor=2), ResidualBlock(inputs, outputs)]
    return Layers(*layers, nn.ConvTranspose2d(sizes[-1], channels, 4, 2, 1))


@register_model
def resnet(side: int, channels: int, options: ResnetOptions) -> Autoencoder:
    """Residual autoencoder."""
    sizes = side, channels, options.widths, options.latent
    return Autoencoder(resnet_encoder(*sizes), resnet_decoder(*sizes))

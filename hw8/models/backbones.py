"""Encoders and decoders by name, for the models that work on any of them."""

from typing import Literal

from torch import nn

from hw8.models.blocks import Layers, conv_down, conv_up, smallest_map
from hw8.models.conv import ConvOptions, conv_decoder, conv_encoder
from hw8.models.fcn import fcn_decoder, fcn_encoder
from hw8.models.resnet import ResnetOptions, resnet_decoder, resnet_encoder

Backbone = Literal["fcn", "conv", "resnet"]
FCN_WIDTHS = (512,)  # one hidden layer, as in the preset fcn_crop
MAP_WIDTHS = (32, 64, 128)  # the channels of map_encoder's three stages; as the first three of conv


def make_encoder(backbone: Backbone, side: int, channels: int, latent: int) -> Layers:
    """An encoder (N, channels, side, side) to (N, latent). Raises ValueError for a side that does not fit."""
    if backbone == "fcn":
        return fcn_encoder(side, channels, FCN_WIDTHS, latent, "batch")
    if backbone == "conv":
        return conv_encoder(side, channels, ConvOptions().widths, latent)
    return resnet_encoder(side, channels, ResnetOptions().widths, latent)


def make_decoder(backbone: Backbone, side: int, channels: int, latent: int) -> Layers:
    """A decoder (N, latent) to unbounded pixels (N, channels, side, side). Raises ValueError as `make_encoder` does."""
    if backbone == "fcn":
        return fcn_decoder(side, channels, FCN_WIDTHS, latent, "batch")
    if backbone == "conv":
        return conv_decoder(side, channels, ConvOptions().widths, latent)
    return resnet_decoder(side, channels, ResnetOptions().widths, latent)


def map_encoder(side: int, channels: int, dim: int) -> Layers:
    """Three strided convolutions to a map of latent vectors: (N, channels, S, S) to (N, dim, S/8, S/8).

    Raises ValueError unless `side` is a multiple of 8.
    """
    smallest_map(side, 3)
    return Layers(*conv_down([channels, *MAP_WIDTHS]), nn.Conv2d(MAP_WIDTHS[-1], dim, 1))


def map_decoder(channels: int, dim: int) -> Layers:
    """The mirror image of `map_encoder`: (N, dim, S/8, S/8) to unbounded pixels (N, channels, S, S)."""
    sizes = MAP_WIDTHS[::-1]
    first = [nn.Conv2d(dim, sizes[0], 3, 1, 1, bias=False), nn.BatchNorm2d(sizes[0]), nn.ReLU()]
    return Layers(*first, *conv_up(sizes), nn.ConvTranspose2d(sizes[-1], channels, 4, 2, 1))

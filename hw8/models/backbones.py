"""Encoders and decoders by name, for the models that work on any of them."""

from typing import Literal

from torch import Tensor, nn

from hw8.models.blocks import FOUR_WIDTHS, conv_down, conv_up, smallest_map
from hw8.models.conv import ConvDecoder, ConvEncoder
from hw8.models.fcn import FcnDecoder, FcnEncoder
from hw8.models.resnet import ResnetDecoder, ResnetEncoder

Backbone = Literal["fcn", "conv", "resnet"]
FCN_WIDTHS = (512,)  # one hidden layer, as in the preset fcn_crop
MAP_WIDTHS = (32, 64, 128)  # the channels of MapEncoder's three stages
MAP_STRIDE = 2 ** len(MAP_WIDTHS)  # pixels of the image per place of MapEncoder's map


def make_encoder(backbone: Backbone, side: int, channels: int, latent: int) -> nn.Module:
    """An encoder (N, channels, side, side) to (N, latent). Raises ValueError for a side that does not fit."""
    if backbone == "fcn":
        return FcnEncoder(side, channels, FCN_WIDTHS, latent, "batch")
    kind = ConvEncoder if backbone == "conv" else ResnetEncoder
    return kind(side, channels, FOUR_WIDTHS, latent)


def make_decoder(backbone: Backbone, side: int, channels: int, latent: int) -> nn.Module:
    """A decoder (N, latent) to unbounded pixels (N, channels, side, side). Raises ValueError as `make_encoder` does."""
    if backbone == "fcn":
        return FcnDecoder(side, channels, FCN_WIDTHS, latent, "batch")
    kind = ConvDecoder if backbone == "conv" else ResnetDecoder
    return kind(side, channels, FOUR_WIDTHS, latent)


class MapEncoder(nn.Module):
    """Three strided convolutions to a map of latent vectors: (N, channels, S, S) to (N, dim, S/8, S/8)."""

    def __init__(self, side: int, channels: int, dim: int) -> None:
        super().__init__()
        smallest_map(side)  # raises ValueError for a side that does not halve
        self.layers = nn.Sequential(*conv_down([channels, *MAP_WIDTHS]), nn.Conv2d(MAP_WIDTHS[-1], dim, 1))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Pixels to a map of latents."""
        return self.layers(x_NCHW)


class MapDecoder(nn.Module):
    """The mirror image of `MapEncoder`: (N, dim, S/8, S/8) to unbounded pixels (N, channels, S, S)."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        sizes = MAP_WIDTHS[::-1]
        first = [nn.Conv2d(dim, sizes[0], 3, 1, 1, bias=False), nn.BatchNorm2d(sizes[0]), nn.ReLU()]
        self.layers = nn.Sequential(*first, *conv_up(sizes), nn.ConvTranspose2d(sizes[-1], channels, 4, 2, 1))

    def forward(self, map_NDhw: Tensor) -> Tensor:
        """A map of latents to pixels."""
        return self.layers(map_NDhw)

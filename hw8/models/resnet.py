"""Residual autoencoder (blocks of He 2016) around a narrow latent."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from hw8.models.blocks import Autoencoder, ResidualBlock, ToMap, check_positive, smallest_map
from hw8.models.registry import register_model


class ResnetEncoder(nn.Module):
    """A strided stem, three halving residual stages, then a linear map to a latent (N, latent)."""

    def __init__(self, side: int, channels: int, widths: Sequence[int], latent: int) -> None:
        super().__init__()
        stem = [nn.Conv2d(channels, widths[0], 4, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        stages = [ResidualBlock(inputs, outputs, 2) for inputs, outputs in pairwise(widths)]
        head = nn.Linear(widths[-1] * smallest_map(side) ** 2, latent)
        self.layers = nn.Sequential(*stem, *stages, nn.Flatten(), head)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Pixels to latent."""
        latent: Tensor = self.layers(x_NCHW)
        return latent


class ResnetDecoder(nn.Module):
    """A linear map, then residual stages that double the map, to unbounded pixels.

    Maps are doubled by nearest neighbours before a convolution, which leaves no checkerboard; the last
    doubling is a transposed convolution, so that no wide convolution runs at full size.
    """

    def __init__(self, side: int, channels: int, widths: Sequence[int], latent: int) -> None:
        super().__init__()
        sizes = [*reversed(widths)]
        layers: list[nn.Module] = [ToMap(latent, sizes[0], smallest_map(side))]
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Upsample(scale_factor=2), ResidualBlock(inputs, outputs)]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(sizes[-1], channels, 4, 2, 1))

    def forward(self, latent_ND: Tensor) -> Tensor:
        """Latent to pixels."""
        pixels: Tensor = self.layers(latent_ND)
        return pixels


@register_model
def resnet(
    side: int, channels: int = 3, *, widths: Sequence[int] = (32, 64, 128, 128), latent: int = 64
) -> Autoencoder:
    """Residual autoencoder; `widths` are the four stages' channels, from the image inwards."""
    check_positive(side=side, channels=channels, widths=widths, latent=latent)
    if len(widths) != 4:
        raise ValueError(f"widths = {list(widths)} must be four numbers")
    return Autoencoder(ResnetEncoder(side, channels, widths, latent), ResnetDecoder(side, channels, widths, latent))

"""Convolutional autoencoder (Masci 2011): strided convolutions down, transposed ones up."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from hw8.models.blocks import Autoencoder, ToMap, check_positive, smallest_map
from hw8.models.registry import register_model


class ConvEncoder(nn.Module):
    """Four 4x4 convolutions at stride 2, then a linear map to a latent (N, latent)."""

    def __init__(self, side: int, channels: int, widths: Sequence[int], latent: int) -> None:
        super().__init__()
        sizes, layers = [channels, *widths], []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(sizes[-1] * smallest_map(side) ** 2, latent))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Pixels to latent."""
        latent: Tensor = self.layers(x_NCHW)
        return latent


class ConvDecoder(nn.Module):
    """A linear map, then four 4x4 transposed convolutions at stride 2 to unbounded pixels."""

    def __init__(self, side: int, channels: int, widths: Sequence[int], latent: int) -> None:
        super().__init__()
        sizes = [*reversed(widths)]
        layers: list[nn.Module] = [ToMap(latent, sizes[0], smallest_map(side))]
        for inputs, outputs in pairwise(sizes):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(sizes[-1], channels, 4, 2, 1))

    def forward(self, latent_ND: Tensor) -> Tensor:
        """Latent to pixels."""
        pixels: Tensor = self.layers(latent_ND)
        return pixels


@register_model
def conv(side: int, channels: int = 3, *, widths: Sequence[int] = (32, 64, 128, 128), latent: int = 128) -> Autoencoder:
    """Plain convolutional autoencoder; `widths` are the four feature maps' channels, from the image inwards."""
    check_positive(side=side, channels=channels, widths=widths, latent=latent)
    if len(widths) != 4:
        raise ValueError(f"widths = {list(widths)} must be four numbers")
    return Autoencoder(ConvEncoder(side, channels, widths, latent), ConvDecoder(side, channels, widths, latent))

"""Encoders and decoders by name, for the models that work on any of them."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from hw8.models.blocks import check_positive, smallest_map
from hw8.models.conv import ConvDecoder, ConvEncoder
from hw8.models.fcn import FcnDecoder, FcnEncoder
from hw8.models.resnet import ResnetDecoder, ResnetEncoder

WIDTHS: dict[str, tuple[int, ...]] = {"fcn": (512,), "conv": (32, 64, 128, 128), "resnet": (32, 64, 128, 128)}


def make_encoder(backbone: str, side: int, channels: int, latent: int) -> nn.Module:
    """An encoder (N, channels, side, side) to (N, latent). Raises ValueError for an unknown name or bad size."""
    widths = _widths(backbone, side, channels, latent)
    if backbone == "fcn":
        return FcnEncoder(side, channels, widths, latent, "batch")
    kind = ConvEncoder if backbone == "conv" else ResnetEncoder
    return kind(side, channels, widths, latent)


def make_decoder(backbone: str, side: int, channels: int, latent: int) -> nn.Module:
    """A decoder (N, latent) to unbounded pixels (N, channels, side, side). Raises ValueError as `make_encoder` does."""
    widths = _widths(backbone, side, channels, latent)
    if backbone == "fcn":
        return FcnDecoder(side, channels, widths, latent, "batch")
    kind = ConvDecoder if backbone == "conv" else ResnetDecoder
    return kind(side, channels, widths, latent)


def _widths(backbone: str, side: int, channels: int, latent: int) -> tuple[int, ...]:
    check_positive(side=side, channels=channels, latent=latent)
    if backbone not in WIDTHS:
        raise ValueError(f"backbone = {backbone!r} must be one of {', '.join(WIDTHS)}")
    return WIDTHS[backbone]


MAP_STRIDE = 8


class MapEncoder(nn.Module):
    """Three strided convolutions to a map of latent vectors: (N, channels, S, S) to (N, dim, S/8, S/8)."""

    def __init__(self, side: int, channels: int, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        smallest_map(side)
        sizes, layers = [channels, *widths], []
        for inputs, outputs in zip(sizes, widths, strict=False):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(sizes[-1], dim, 1))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Pixels to a map of latents."""
        return self.layers(x_NCHW)


class MapDecoder(nn.Module):
    """The mirror image of `MapEncoder`: (N, dim, S/8, S/8) to unbounded pixels (N, channels, S, S)."""

    def __init__(self, channels: int, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        sizes = [*reversed(widths)]
        layers: list[nn.Module] = [nn.Conv2d(dim, sizes[0], 3, 1, 1, bias=False), nn.BatchNorm2d(sizes[0]), nn.ReLU()]
        for inputs, outputs in pairwise(sizes):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(sizes[-1], channels, 4, 2, 1))

    def forward(self, map_NDhw: Tensor) -> Tensor:
        """A map of latents to pixels."""
        return self.layers(map_NDhw)

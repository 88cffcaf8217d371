"""Fully connected autoencoder (Rumelhart 1986; Hinton and Salakhutdinov 2006), for any side."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from hw8.models.blocks import Autoencoder, Norm, check_positive, dense
from hw8.models.registry import register_model


class FcnEncoder(nn.Module):
    """All pixels of an image, through hidden layers of `widths`, to a latent (N, latent)."""

    def __init__(self, side: int, channels: int, widths: Sequence[int], latent: int, norm: Norm) -> None:
        super().__init__()
        sizes = [channels * side * side, *widths]
        hidden = [dense(inputs, outputs, norm) for inputs, outputs in pairwise(sizes)]
        self.layers = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(sizes[-1], latent))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Pixels to latent."""
        latent: Tensor = self.layers(x_NCHW)
        return latent


class FcnDecoder(nn.Module):
    """The encoder's mirror image: latent (N, latent) to unbounded pixels (N, channels, side, side)."""

    def __init__(self, side: int, channels: int, widths: Sequence[int], latent: int, norm: Norm) -> None:
        super().__init__()
        sizes = [latent, *reversed(widths)]
        hidden = [dense(inputs, outputs, norm) for inputs, outputs in pairwise(sizes)]
        pixels = nn.Linear(sizes[-1], channels * side * side)
        self.layers = nn.Sequential(*hidden, pixels, nn.Unflatten(1, (channels, side, side)))

    def forward(self, latent_ND: Tensor) -> Tensor:
        """Latent to pixels."""
        pixels: Tensor = self.layers(latent_ND)
        return pixels


@register_model
def fcn(
    side: int, channels: int = 3, *, widths: Sequence[int] = (512, 128), latent: int = 32, norm: Norm = "none"
) -> Autoencoder:
    """Fully connected autoencoder: hidden layers of `widths`, each with BatchNorm if norm is "batch"."""
    check_positive(side=side, channels=channels, widths=widths, latent=latent)
    return Autoencoder(
        FcnEncoder(side, channels, widths, latent, norm), FcnDecoder(side, channels, widths, latent, norm)
    )

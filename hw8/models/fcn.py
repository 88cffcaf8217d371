"""Fully connected autoencoder (Rumelhart 1986; Hinton and Salakhutdinov 2006), for any side."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from hw8.models.blocks import Autoencoder, Norm, Size
from hw8.models.registry import model_options, register_model


@model_options
class FcnOptions:
    """Options of the model fcn."""

    # At most 64, since each layer costs time to build. Not strict: YAML has lists only.
    widths: Annotated[tuple[Size, ...], Field(max_length=64, strict=False)] = (512, 128)
    """Units of each hidden layer, from the image inwards."""
    latent: Size = 32
    """Length of the latent vector."""
    norm: Norm = "none"
    """Normalisation of the hidden layers: none, or batch for BatchNorm."""


def dense(sizes: Sequence[int], norm: Norm) -> list[nn.Module]:
    """Linear layers from each size to the next, each with BatchNorm if `norm` is batch, then ReLU."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        norms = [nn.BatchNorm1d(outputs)] if norm == "batch" else []
        layers.append(nn.Sequential(nn.Linear(inputs, outputs, bias=not norms), *norms, nn.ReLU()))
    return layers


class FcnEncoder(nn.Module):
    """All pixels of an image, through hidden layers of `widths`, to a latent (N, latent)."""

    def __init__(self, side: int, channels: int, widths: Sequence[int], latent: int, norm: Norm) -> None:
        super().__init__()
        sizes = [channels * side * side, *widths]
        self.layers = nn.Sequential(nn.Flatten(), *dense(sizes, norm), nn.Linear(sizes[-1], latent))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Pixels to latent."""
        return self.layers(x_NCHW)


class FcnDecoder(nn.Module):
    """The encoder's mirror image: latent (N, latent) to unbounded pixels (N, channels, side, side)."""

    def __init__(self, side: int, channels: int, widths: Sequence[int], latent: int, norm: Norm) -> None:
        super().__init__()
        sizes = [latent, *reversed(widths)]
        hidden, pixels = dense(sizes, norm), nn.Linear(sizes[-1], channels * side * side)
        self.layers = nn.Sequential(*hidden, pixels, nn.Unflatten(1, (channels, side, side)))

    def forward(self, latent_ND: Tensor) -> Tensor:
        """Latent to pixels."""
        return self.layers(latent_ND)


@register_model
def fcn(side: int, channels: int, options: FcnOptions) -> Autoencoder:
    """Fully connected autoencoder."""
    sizes = side, channels, options.widths, options.latent, options.norm
    return Autoencoder(FcnEncoder(*sizes), FcnDecoder(*sizes))

"""Fully connected autoencoder (Rumelhart 1986; Hinton and Salakhutdinov 2006), for any side."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import nn

from hw8.models.blocks import Autoencoder, Layers, Norm, Projection, Size
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
        layers.append(nn.Sequential(Projection(inputs, outputs, bias=not norms), *norms, nn.ReLU()))
    return layers


def fcn_encoder(side: int, channels: int, widths: Sequence[int], latent: int, norm: Norm) -> Layers:
    """All pixels of an image, through hidden layers of `widths`, to a latent (N, latent)."""
    sizes = [channels * side * side, *widths]
    return Layers(nn.Flatten(), *dense(sizes, norm), Projection(sizes[-1], latent))


def fcn_decoder(side: int, channels: int, widths: Sequence[int], latent: int, norm: Norm) -> Layers:
    """The mirror image of `fcn_encoder`: latent (N, latent) to unbounded pixels (N, channels, side, side)."""
    sizes = [latent, *reversed(widths)]
    hidden, pixels = dense(sizes, norm), nn.Linear(sizes[-1], channels * side * side)
    return Layers(*hidden, pixels, nn.Unflatten(1, (channels, side, side)))


@register_model
def fcn(side: int, channels: int, options: FcnOptions) -> Autoencoder:
    """Fully connected autoencoder."""
    sizes = side, channels, options.widths, options.latent, options.norm
    return Autoencoder(fcn_encoder(*sizes), fcn_decoder(*sizes))

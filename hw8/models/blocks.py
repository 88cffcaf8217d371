"""Layers and types of options that several models share."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hw8.models.output import Model, Output

Norm = Literal["none", "batch"]
CRASHING_SIZE, CRASHING_ROWS = 1_572_864, 32  # see Projection; found by trying all numbers of rows up to 256
# Sizes of layers; what many large ones add up to is limited by create_model.
Size = Annotated[int, Field(ge=1, le=1_000_000)]
# Channels of four stages, from the image inwards. Not strict: YAML has lists only.
FourWidths = Annotated[tuple[Size, Size, Size, Size], Field(strict=False)]


class Autoencoder(Model):
    """An encoder from pixels to a latent (N, D), and a decoder from it to unbounded pixels (N, C, S, S)."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x_NCHW: Tensor) -> Output:
        """Encode and decode."""
        latent_ND = self.encoder(x_NCHW)
        return Output(self.decode(latent_ND), latent_ND, {})

    def decode(self, latent_ND: Tensor) -> Tensor:
        """Latent to pixels in [-1, 1]."""
        return bounded(self.decoder(latent_ND))


class Generative(Autoencoder):
    """An autoencoder whose training draws the latents towards N(0, I): samples of that can be decoded to images."""


class Layers(nn.Module):
    """Modules applied in order. The attribute's name stands in the keys of saved weights, so it must stay."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """The output of the last module."""
        return self.layers(x)


def in_float32(x: Tensor) -> torch.autocast:
    """The context for small sums that bfloat16 would round away: distances, addressing weights, log-odds."""
    return torch.autocast(x.device.type, enabled=False)


class Projection(nn.Linear):
    """A linear layer whose inputs are a whole image or feature map, which may have many values.

    PyTorch 2.13 ends the process (division by zero in oneDNN, on processors with AMX) when a bfloat16 input of exactly
    `CRASHING_SIZE` values in 2 to 32 rows is multiplied, for instance 32 images of 128x128 pixels. Such a batch is
    computed in halves.
    """

    def forward(self, x_ND: Tensor) -> Tensor:
        """The layer's output (N, out_features)."""
        if x_ND.numel() == CRASHING_SIZE and 1 < len(x_ND) <= CRASHING_ROWS and x_ND.device.type == "cpu":
            return torch.cat([F.linear(half_MD, self.weight, self.bias) for half_MD in x_ND.tensor_split(2)])
        return F.linear(x_ND, self.weight, self.bias)


def bounded(pixels_NCHW: Tensor) -> Tensor:
    """Squash to [-1, 1] by tanh, in float32: in bfloat16 the tanh rounds to 1 and cross-entropy loses its gradient.

    Float32 pixels are overwritten: they must be the output of a layer without activation.
    """
    return pixels_NCHW.float().tanh_()


def smallest_map(side: int, halvings: int = 4) -> int:
    """Side of the feature map after these halvings. Raises ValueError unless `side` is a multiple of 2 ** halvings."""
    step = 2**halvings
    if side % step:
        crop = f"`crop` {side // step * step}, or " if side > step else ""
        raise ValueError(f"the side must be a multiple of {step} pixels; try {crop}`preset` fcn for any side")
    return side // step


def conv_down(channels: Sequence[int]) -> list[nn.Module]:
    """4x4 convolutions at stride 2 with BatchNorm and ReLU, from each number of channels to the next."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return layers


def conv_up(channels: Sequence[int]) -> list[nn.Module]:
    """4x4 transposed convolutions at stride 2 with BatchNorm and ReLU, from each number of channels to the next."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return layers


class ToMap(nn.Module):
    """From a vector (N, D) to a feature map (N, width, side, side), channels_last in memory."""

    def __init__(self, latent: int, width: int, side: int) -> None:
        super().__init__()
        self.width, self.side = width, side
        self.linear = nn.Linear(latent, width * side * side, bias=False)
        self.norm = nn.BatchNorm1d(width * side * side)

    def forward(self, latent_ND: Tensor) -> Tensor:
        """Project, normalise, fold."""
        folded = self.norm(self.linear(latent_ND)).relu().view(-1, self.side, self.side, self.width)
        return folded.permute(0, 3, 1, 2)


def picked(x_NCHW: Tensor, step: int) -> Tensor:
    """Every `step`-th pixel of each row and column, as a view."""
    return x_NCHW[:, :, ::step, ::step]


class _WithPicked(torch.autograd.Function):
    """A map, and its picked pixels: for the main branch of a block, and for the shortcut.

    Autograd alone would put the picked pixels' gradient into a map of zeros, and add that to the map's gradient. Here
    it is added in place, where it belongs. The main branch begins with a convolution, whose gradient nothing else
    holds; a first layer that hands on the gradient that it gets would break this.
    """

    @staticmethod
    def forward(ctx: Any, x_NCHW: Tensor, step: int) -> tuple[Tensor, Tensor]:
        ctx.step = step
        return x_NCHW.view_as(x_NCHW), picked(x_NCHW, step).contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, gradient_NCHW: Tensor, picked_NCHW: Tensor) -> tuple[Tensor, None]:
        picked(gradient_NCHW, ctx.step).add_(picked_NCHW)
        return gradient_NCHW, None


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm around a shortcut (He 2016); `stride` 2 halves the map.

    The shortcut's pixels are picked before its convolution. Given the stride itself, PyTorch 2.13's CPU kernel writes
    past its memory in the backward pass of 8 channels (a crash, or worse, none).
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.main = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Sum of the convolutions' output and the shortcut's."""
        x_NCHW, picked_NChw = (x_NCHW, x_NCHW) if self.stride == 1 else _WithPicked.apply(x_NCHW, self.stride)
        return (self.main(x_NCHW) + self.shortcut(picked_NChw)).relu_()

"""The sample notebook's convolutional and variational models, layer by layer; its FCN is `fcn` with its widths."""

import torch
from torch import Tensor, nn

from hw8.models.blocks import Autoencoder, smallest_map
from hw8.models.registry import register_model
from hw8.models.vae import VariationalAutoencoder


def _down(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.ReLU()]


def _up(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.ReLU()]


class _Flat(nn.Module):
    """Wraps a stack of convolutions so that its output, or input, is a vector."""

    def __init__(self, layers: list[nn.Module], width: int | None = None, side: int = 0) -> None:
        super().__init__()
        self.layers, self.width, self.side = nn.Sequential(*layers), width, side

    def forward(self, x: Tensor) -> Tensor:
        if self.width is None:
            return self.layers(x).flatten(1)
        return self.layers(x.view(x.shape[0], self.width, self.side, self.side))


@register_model
def course_cnn(side: int, channels: int = 3) -> Autoencoder:
    """Conv 4x4 at stride 2 to 12, 24 and 48 channels, ReLU after each, transposed back; Tanh last."""
    smallest_map(side)
    encoder = _Flat([*_down(channels, 12), *_down(12, 24), *_down(24, 48)])
    decoder = _Flat([*_up(48, 24), *_up(24, 12), nn.ConvTranspose2d(12, channels, 4, 2, 1)], 48, side // 8)
    return Autoencoder(encoder, decoder)


class _Heads(nn.Module):
    """Two convolutional heads, mean and log-variance, side by side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_down(channels, 12), *_down(12, 24))
        self.mean, self.log_variance = nn.Sequential(*_down(24, 48)), nn.Sequential(*_down(24, 48))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        body = self.body(x_NCHW)
        return torch.cat([self.mean(body).flatten(1), self.log_variance(body).flatten(1)], dim=1)


@register_model
def course_vae(side: int, channels: int = 3) -> VariationalAutoencoder:
    """Conv 3-12-24, two heads 24-48 (both after a ReLU), transposed back 48-24-12-3.

    The notebook adds the summed KL to the mean squared error, which is the ELBO of sigma^2 = pixels / 2.
    """
    smallest_map(side)
    decoder = _Flat([*_up(48, 24), *_up(24, 12), nn.ConvTranspose2d(12, channels, 4, 2, 1)], 48, side // 8)
    sigma = (channels * side * side / 2) ** 0.5
    latent = 48 * (side // 8) ** 2
    return VariationalAutoencoder(_Heads(channels), decoder, latent, "gaussian", sigma, 1.0, 0, 8)

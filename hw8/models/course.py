"""The sample notebook's convolutional and variational models, layer by layer; its FCN is `fcn` with its widths."""

import torch
from torch import Tensor, nn

from hw8.models.blocks import Autoencoder, Layers, smallest_map
from hw8.models.registry import register_model
from hw8.models.vae import VaeOptions, VariationalAutoencoder


def _down(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.ReLU()]


class _Decoder(nn.Module):
    """Transposed convolutions from a vector that is first folded to a map of 48 channels, an eighth of the side."""

    def __init__(self, side: int, channels: int) -> None:
        super().__init__()
        self.side = smallest_map(side, 3)
        up = [nn.ConvTranspose2d(48, 24, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(24, 12, 4, 2, 1), nn.ReLU()]
        self.layers = nn.Sequential(*up, nn.ConvTranspose2d(12, channels, 4, 2, 1))

    def forward(self, latent_ND: Tensor) -> Tensor:
        return self.layers(latent_ND.view(latent_ND.shape[0], 48, self.side, self.side))


@register_model
def course_cnn(side: int, channels: int) -> Autoencoder:
    """Conv 4x4 at stride 2 to 12, 24 and 48 channels, ReLU after each, transposed back; Tanh last."""
    encoder = Layers(*_down(channels, 12), *_down(12, 24), *_down(24, 48), nn.Flatten())
    return Autoencoder(encoder, _Decoder(side, channels))


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
def course_vae(side: int, channels: int) -> VariationalAutoencoder:
    """Conv 3-12-24, two heads 24-48 (both after a ReLU), transposed back 48-24-12-3.

    Each image's KL, summed over latents, is added to its mean squared error, which is the ELBO of sigma^2 = pixels / 2.
    The notebook sums the KL over the batch of 2,000 too, and takes the mean of the error: there it weighs 2,000 times
    as much.
    """
    decoder = _Decoder(side, channels)
    latent = 48 * (side // 8) ** 2
    options = VaeOptions(latent=latent, sigma=(channels * side * side / 2) ** 0.5, warmup=0)
    return VariationalAutoencoder(_Heads(channels), decoder, options)

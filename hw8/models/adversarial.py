"""Adversarial autoencoder (Makhzani 2015): a discriminator shapes the latents towards a standard normal."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from hw8.config.limits import Positive
from hw8.models.backbones import Backbone, make_decoder, make_encoder
from hw8.models.blocks import Generative, Size, in_float32
from hw8.models.output import Output
from hw8.models.registry import model_options, register_model

HIDDEN = 128  # units of the discriminator's two hidden layers; chosen by hand


@model_options
class AaeOptions:
    """Options of the model aae."""

    backbone: Backbone = "conv"
    """Layers of encoder and decoder."""
    latent: Size = 32
    """Length of the latent vector."""
    weight: Positive = 0.02
    """Factor of the discriminator's gradient on the encoder."""


class _Reverse(torch.autograd.Function):
    """Identity forward, the gradient times -scale backward (Ganin 2016, section 4.2)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradient, None


def reverse_gradient(x: Tensor, scale: float) -> Tensor:
    """`x` itself; its gradient is reversed and multiplied by `scale`."""
    return _Reverse.apply(x, scale)


class AdversarialAutoencoder(Generative):
    """Discriminator and encoder learn in one backward pass: the encoder's gradient is reversed.

    Spectral normalisation (Miyato 2018) bounds the discriminator, so that it cannot outrun the encoder.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, options: AaeOptions) -> None:
        super().__init__(encoder, decoder)
        self.weight = options.weight
        sizes = pairwise([options.latent, HIDDEN, HIDDEN])
        hidden = [nn.Sequential(spectral_norm(nn.Linear(a, b)), nn.LeakyReLU(0.2)) for a, b in sizes]
        self.discriminator = nn.Sequential(*hidden, spectral_norm(nn.Linear(HIDDEN, 1)))

    def forward(self, x_NCHW: Tensor) -> Output:
        """Reconstruct; the term is the discriminator's cross-entropy between latents and normal samples."""
        output = super().forward(x_NCHW)
        latent_ND = output.latent_ND.float()
        loss_N = F.softplus(self._logit(reverse_gradient(latent_ND, self.weight)))
        if self.training:
            loss_N = loss_N + F.softplus(-self._logit(torch.randn_like(latent_ND)))
        return output._replace(latent_ND=latent_ND, terms={"adversarial": loss_N})

    def _logit(self, latent_ND: Tensor) -> Tensor:
        """Log-odds that a latent was drawn from the standard normal: (N,), float32."""
        with in_float32(latent_ND):
            return self.discriminator(latent_ND.float()).squeeze(1)

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:  # noqa: ARG002
        """The discriminator's log-odds against the prior, and the latent's squared length."""
        latent_ND = output.latent_ND
        return {"discriminator_logit": -self._logit(latent_ND), "latent_length": latent_ND.square().sum(1)}


@register_model
def aae(side: int, channels: int, options: AaeOptions) -> AdversarialAutoencoder:
    """Adversarial autoencoder on any backbone."""
    encoder = make_encoder(options.backbone, side, channels, options.latent)
    return AdversarialAutoencoder(encoder, make_decoder(options.backbone, side, channels, options.latent), options)

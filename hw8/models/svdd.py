"""Deep SVDD (Ruff 2018): no reconstruction; normal images are pulled to one point of the latent space."""

import torch
from torch import Tensor, nn

from hw8.models.backbones import Backbone, make_encoder
from hw8.models.blocks import Size, in_float32
from hw8.models.output import Model, Output
from hw8.models.registry import model_options, register_model

# Smallest coordinate of the centre, as in the authors' code: a unit whose centre is 0 is met by weights of 0 alone.
MIN_COORDINATE = 0.1


@model_options
class DeepSvddOptions:
    """Options of the model deep_svdd; score it by `distance`."""

    backbone: Backbone = "conv"
    """Layers of the encoder, used without their biases."""
    latent: Size = 32
    """Length of the latent vector."""


def without_biases(encoder: nn.Module) -> nn.Module:
    """The same encoder without any bias, in place: a bias alone could map every image to the centre."""
    for name, layer in encoder.named_children():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(encoder, name, type(layer)(layer.num_features, affine=False))
        elif isinstance(layer, nn.Linear | nn.Conv2d):
            layer.bias = None
        else:
            without_biases(layer)
    return encoder


class DeepSvdd(Model):
    """One-class Deep SVDD. Safeguards against collapse to a constant (Ruff 2018, propositions 1 to 3).

    No layer has a bias, activations are unbounded (ReLU), and the centre is fixed to the mean of the untrained
    network's latents over the first batch, with no coordinate nearer to zero than 0.1.
    """

    centre: Tensor

    def __init__(self, encoder: nn.Module, latent: int) -> None:
        super().__init__()
        self.encoder = without_biases(encoder)
        self.register_buffer("centre", torch.zeros(latent))

    def forward(self, x_NCHW: Tensor) -> Output:
        """No reconstruction; the term is the mean squared distance of the latent from the centre."""
        latent_ND = self.encoder(x_NCHW).float()
        if self.training:
            mean_D = latent_ND.detach().mean(0)
            centre_D = torch.where(mean_D < 0, -1.0, 1.0) * mean_D.abs().clamp_min(MIN_COORDINATE)
            # Whether it is fixed already is asked on the device: a CUDA graph cannot branch on it.
            self.centre.copy_(torch.where(self.centre.any(), self.centre, centre_D))
        with in_float32(latent_ND):
            return Output(None, latent_ND, {"distance": (latent_ND - self.centre).square().mean(1)})

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:  # noqa: ARG002
        """Distance of the latent from the centre over the root of its length D, a root mean square."""
        return {"distance": output.terms["distance"].sqrt()}

    def diagnose(self, x_NCHW: Tensor) -> dict[str, float]:
        """Spread of the latents over images, relative to the centre's size: zero means collapse."""
        latent_ND = self.encoder(x_NCHW).float()
        spread = latent_ND.std(0, correction=0).mean()  # of a single image too
        return {"latent_spread": (spread / self.centre.abs().mean().clamp_min(1e-12)).item()}


@register_model
def deep_svdd(side: int, channels: int, options: DeepSvddOptions) -> DeepSvdd:
    """Deep SVDD on the encoder of any backbone."""
    return DeepSvdd(make_encoder(options.backbone, side, channels, options.latent), options.latent)

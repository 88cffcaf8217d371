"""Deep SVDD (Ruff 2018): no reconstruction; normal images are drawn to one point of the latent space."""

import torch
from torch import Tensor, nn

from hw8.models.blocks import check_positive, smallest_map
from hw8.models.output import Model, Output
from hw8.models.registry import register_model

AWAY = 0.1


class DeepSvdd(Model):
    """One-class Deep SVDD. Safeguards against collapse to a constant (Ruff 2018, propositions 1 to 3).

    No layer has a bias, activations are unbounded, and the centre is fixed to the mean of the untrained network's
    latents over the first batch, with no coordinate nearer to zero than 0.1.
    """

    centre: Tensor

    def __init__(self, side: int, channels: int, widths: tuple[int, ...], latent: int) -> None:
        super().__init__()
        sizes, layers = [channels, *widths], []
        for inputs, outputs in zip(sizes, widths, strict=False):
            norm = nn.BatchNorm2d(outputs, affine=False)
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), norm, nn.LeakyReLU(0.1)]
        head = nn.Linear(widths[-1] * smallest_map(side) ** 2, latent, bias=False)
        self.encoder = nn.Sequential(*layers, nn.Flatten(), head)
        self.register_buffer("centre", torch.zeros(latent))

    def forward(self, x_NCHW: Tensor) -> Output:
        """No reconstruction; the term is the squared distance of the latent from the centre (equation 4)."""
        latent_ND = self.encoder(x_NCHW).float()
        if self.training and not self.centre.any():
            mean_D = latent_ND.detach().mean(0)
            sign_D = torch.where(mean_D < 0, -1.0, 1.0)
            self.centre.copy_(sign_D * mean_D.abs().clamp_min(AWAY))
        return Output(None, latent_ND, {"distance": (latent_ND - self.centre).square().mean(1)})

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:  # noqa: ARG002
        """Distance of the latent from the centre."""
        return {"distance": output.terms["distance"].sqrt()}

    def diagnose(self, x_NCHW: Tensor) -> dict[str, float]:
        """Spread of the latents over images, relative to the centre's size: zero means collapse."""
        latent_ND = self.encoder(x_NCHW).float()
        return {"latent_spread": (latent_ND.std(0).mean() / self.centre.abs().mean().clamp_min(1e-12)).item()}


@register_model
def deep_svdd(side: int, channels: int = 3, *, latent: int = 32) -> DeepSvdd:
    """Deep SVDD on the convolutional encoder without biases; score it by `distance`."""
    check_positive(side=side, channels=channels, latent=latent)
    return DeepSvdd(side, channels, (32, 64, 128, 128), latent)

"""Autoencoder with an extra classifier that separates real images from near-misses by their latents."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hw8.config.limits import Positive
from hw8.models import noise
from hw8.models.backbones import Backbone, make_decoder, make_encoder
from hw8.models.blocks import Autoencoder, Size, in_float32
from hw8.models.output import Output
from hw8.models.registry import model_options, register_model
from hw8.models.transformations import boxes, bump, pulls

HIDDEN = 64  # units of the classifier's hidden layer; chosen by hand


@model_options
class ClassifierOptions:
    """Options of the model classifier."""

    backbone: Backbone = "resnet"
    """Layers of encoder and decoder."""
    latent: Size = 64
    """Length of the latent vector."""
    negatives: Literal["near_miss", "pixel_noise"] = "near_miss"
    """Changed images that the classifier learns to reject: near_miss, blended, pasted, locally moved or dimmed ones;
    or pixel_noise, which students of the homework found soon learned and of little use."""
    strength: Positive = 50.0
    """Standard deviation of pixel_noise in grey levels of 255."""
    weight: Positive = 0.1
    """Factor of the classifier's loss."""


def near_misses(x_NCHW: Tensor) -> Tensor:
    """Each image changed in one of four plausible ways: blended with, or pasted from, another; locally moved; dimmed.

    The other image is the previous one of the batch.
    """
    # All strengths here and in _moved are chosen by hand.
    count, _, height, width = x_NCHW.shape
    other_NCHW = x_NCHW.roll(1, 0)
    share_N111 = 0.35 + 0.3 * torch.rand(count, 1, 1, 1, device=x_NCHW.device)
    blended = share_N111 * x_NCHW + (1 - share_N111) * other_NCHW
    inside_N1HW = boxes(count, height, width, x_NCHW.device, 0.25, 0.6)
    pasted = torch.where(inside_N1HW, other_NCHW, x_NCHW)
    dimmed = torch.where(inside_N1HW, x_NCHW * 0.5 - 0.25, x_NCHW)
    variants = torch.stack([blended, pasted, _moved(x_NCHW), dimmed])
    variant_N = torch.randint(len(variants), (count,), device=x_NCHW.device)
    return variants[variant_N, torch.arange(count, device=x_NCHW.device)].contiguous(memory_format=torch.channels_last)


def _moved(x_NCHW: Tensor) -> Tensor:
    """The surroundings of a random point pulled to a side, smoothly, by 8% to 16% of the image."""
    count, _, height, width = x_NCHW.shape
    with in_float32(x_NCHW):
        identity = torch.eye(2, 3, device=x_NCHW.device).expand(count, 2, 3)
        grid_NHW2 = F.affine_grid(identity, [count, 1, height, width], align_corners=False)
        grid_NHW2 = grid_NHW2 + bump(grid_NHW2, 0.18, *pulls(count, x_NCHW.device, 0.16, 0.32))
        return F.grid_sample(x_NCHW.float(), grid_NHW2, padding_mode="border", align_corners=False)


class ClassifyingAutoencoder(Autoencoder):
    """While training, the encoder also encodes a changed copy of each image, and a classifier separates the two."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, options: ClassifierOptions) -> None:
        super().__init__(encoder, decoder)
        self.negatives, self.strength, self.weight = options.negatives, options.strength, options.weight
        self.classifier = nn.Sequential(nn.Linear(options.latent, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))

    def forward(self, x_NCHW: Tensor) -> Output:
        """Reconstruct; while training, the term is the classifier's cross-entropy on the image and its changed copy."""
        if not self.training:
            return super().forward(x_NCHW)
        if self.negatives == "near_miss":
            changed_NCHW = near_misses(x_NCHW)
        else:
            changed_NCHW = noise.gaussian(x_NCHW, self.strength, torch.randn(x_NCHW.shape, device=x_NCHW.device))
        # One pass over both halves: in two, the statistics of BatchNorm would reveal which half is changed.
        both_ND = self.encoder(torch.cat([x_NCHW, changed_NCHW]))
        real_N, changed_N = self._logit(both_ND).chunk(2)
        loss_N = (F.softplus(real_N) + F.softplus(-changed_N)) / 2
        latent_ND = both_ND[: len(x_NCHW)]
        return Output(self.decode(latent_ND), latent_ND, {"classifier": self.weight * loss_N})

    def _logit(self, latent_ND: Tensor) -> Tensor:
        """Log-odds of being a changed image: (N,), float32."""
        with in_float32(latent_ND):
            return self.classifier(latent_ND.float()).squeeze(1)

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:  # noqa: ARG002
        """The classifier's log-odds that the image is not real."""
        return {"classifier_logit": self._logit(output.latent_ND)}


@register_model
def classifier(side: int, channels: int, options: ClassifierOptions) -> ClassifyingAutoencoder:
    """Autoencoder with an extra classifier on its latent."""
    encoder = make_encoder(options.backbone, side, channels, options.latent)
    return ClassifyingAutoencoder(encoder, make_decoder(options.backbone, side, channels, options.latent), options)

"""Denoising autoencoder (Vincent 2008): the input is corrupted, the target is the clean image."""

from typing import Literal

import torch
from torch import Tensor, nn

from hw8.config.limits import Count, Positive
from hw8.models.backbones import Backbone, make_decoder, make_encoder
from hw8.models.blocks import Autoencoder, Size
from hw8.models.losses import l1, mse
from hw8.models.noise import NOISES, noise_shape, scoring_noise
from hw8.models.output import Output
from hw8.models.registry import model_options, register_model

LEVELS = (0.25, 0.5, 0.75, 1.0)  # shares of the strength at which errors are measured; evenly spaced, chosen by hand


@model_options
class DenoisingOptions:
    """Options of the model denoising."""

    backbone: Backbone = "conv"
    """Layers of encoder and decoder."""
    latent: Size = 64
    """Length of the latent vector."""
    corruption: Literal["gaussian", "salt_pepper", "mask_pixels", "mask_blocks", "dropout"] = "gaussian"
    """Corruption of the input or, for dropout, of the latent."""
    strength: Positive = 25.0
    """Standard deviation of gaussian noise in grey levels of 255; for the others, the share in (0, 1) of pixels, blocks
    or latent features that are corrupted."""
    draws: Count = 3
    """Corruptions of each image over which scoring averages."""
    many_levels: bool = False
    """Draw the strength of each training image between 0 and `strength`, for one denoiser of all levels; with gaussian
    noise only."""

    def __post_init__(self) -> None:
        if self.corruption != "gaussian" and self.strength >= 1:
            raise ValueError(f"strength = {self.strength}: must be a share in (0, 1) for {self.corruption}")
        if self.many_levels and self.corruption != "gaussian":
            raise ValueError(f"many_levels = True: needs the corruption gaussian, not {self.corruption}")


class DenoisingAutoencoder(Autoencoder):
    """Corrupts its input while training; in evaluation it sees the clean image.

    Its evidence is the error of restoring the image from several seeded corruptions and, with `many_levels`, the
    errors by strength.
    """

    needs_output = False
    noise_KS: Tensor

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, side: int, channels: int, options: DenoisingOptions
    ) -> None:
        super().__init__(encoder, decoder)
        self.corruption, self.strength, self.many_levels = options.corruption, options.strength, options.many_levels
        self.draw = torch.randn if options.corruption == "gaussian" else torch.rand
        shape = noise_shape(options.corruption, side, channels, options.latent)
        self.register_buffer("noise_KS", scoring_noise(self.draw, options.draws, shape), persistent=False)

    def forward(self, x_NCHW: Tensor) -> Output:
        """Restore the image, from a corrupted one while training."""
        if not self.training:
            return super().forward(x_NCHW)
        strength: float | Tensor = self.strength
        if self.many_levels:
            strength = strength * torch.rand(len(x_NCHW), 1, 1, 1, device=x_NCHW.device)
        noise_NS = self.draw((len(x_NCHW), *self.noise_KS.shape[1:]), device=x_NCHW.device)
        latent_ND = self._encode_corrupted(x_NCHW, noise_NS, strength)
        return Output(self.decode(latent_ND), latent_ND, {})

    def _encode_corrupted(self, x_NCHW: Tensor, noise_NS: Tensor, strength: float | Tensor) -> Tensor:
        """Latent of the corrupted image, or corrupted latent of the image: (N, D)."""
        corrupt = NOISES[self.corruption]
        if self.corruption == "dropout":
            return corrupt(self.encoder(x_NCHW), strength, noise_NS)
        return self.encoder(corrupt(x_NCHW, strength, noise_NS))

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:  # noqa: ARG002
        """Mean errors over the seeded corruptions, denoising_l1 and denoising_mse; by level, level_errors (N, 4)."""
        errors: dict[str, list[Tensor]] = {"denoising_l1": [], "denoising_mse": []}
        for noise_1S in self.noise_KS.split(1):
            recon_NCHW = self.decode(self._encode_corrupted(x_NCHW, noise_1S, self.strength))
            errors["denoising_l1"].append(l1(recon_NCHW, x_NCHW))
            errors["denoising_mse"].append(mse(recon_NCHW, x_NCHW))
        means = {name: torch.stack(values).mean(0) for name, values in errors.items()}
        return means | ({"level_errors": self._level_errors(x_NCHW)} if self.many_levels else {})

    def _level_errors(self, x_NCHW: Tensor) -> Tensor:
        """Log mean squared error of restoring the image from each noise level, from one seeded draw: (N, 4)."""
        errors = []
        for share in LEVELS:
            recon_NCHW = self.decode(self._encode_corrupted(x_NCHW, self.noise_KS[:1], share * self.strength))
            errors.append(mse(recon_NCHW, x_NCHW).clamp_min(1e-8).log())
        return torch.stack(errors, dim=1)


@register_model
def denoising(side: int, channels: int, options: DenoisingOptions) -> DenoisingAutoencoder:
    """Denoising autoencoder on any backbone."""
    encoder = make_encoder(options.backbone, side, channels, options.latent)
    decoder = make_decoder(options.backbone, side, channels, options.latent)
    return DenoisingAutoencoder(encoder, decoder, side, channels, options)

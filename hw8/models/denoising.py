"""Denoising autoencoder (Vincent 2008): the input is corrupted, the target is the clean image."""

import torch
from torch import Tensor, nn

from hw8.models.backbones import make_decoder, make_encoder
from hw8.models.blocks import Autoencoder, check_positive
from hw8.models.losses import l1, mse
from hw8.models.noise import CORRUPTIONS, noise_shape, scoring_noise
from hw8.models.output import Output
from hw8.models.registry import register_model

LEVELS = (0.25, 0.5, 0.75, 1.0)  # shares of the strength at which errors are measured


class DenoisingAutoencoder(Autoencoder):
    """Corrupts its input while training; in evaluation it sees the clean image.

    Its evidence besides is the error of restoring the image from several seeded corruptions; with `many_levels`, which
    draws each training image's strength anew, also the errors by strength.
    """

    noise_KS: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        side: int,
        channels: int,
        latent: int,
        corruption: str,
        strength: float,
        draws: int,
        many_levels: bool,
    ) -> None:
        super().__init__(encoder, decoder)
        if corruption not in CORRUPTIONS:
            raise ValueError(f"corruption = {corruption!r} must be one of {', '.join(CORRUPTIONS)}")
        if not (isinstance(strength, int | float) and strength > 0) or (corruption != "gaussian" and strength >= 1):
            raise ValueError(f"strength = {strength!r} must be grey levels > 0 (gaussian) or a share in (0, 1)")
        if many_levels and corruption != "gaussian":
            raise ValueError(f"many_levels needs the corruption gaussian, not {corruption!r}")
        self.corruption, self.strength, self.many_levels = corruption, float(strength), many_levels
        self.draw = torch.randn if corruption == "gaussian" else torch.rand
        noise_KS = scoring_noise(self.draw, draws, noise_shape(corruption, side, channels, latent))
        self.register_buffer("noise_KS", noise_KS, persistent=False)

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
        corrupt = CORRUPTIONS[self.corruption]
        if self.corruption == "dropout":
            return corrupt(self.encoder(x_NCHW), strength, noise_NS)
        return self.encoder(corrupt(x_NCHW, strength, noise_NS))

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:  # noqa: ARG002
        """Mean errors over the seeded corruptions, denoising_l1 and denoising_mse; by level, level_errors (N, 4)."""
        found: dict[str, list[Tensor]] = {"denoising_l1": [], "denoising_mse": []}
        for noise_1S in self.noise_KS.split(1):
            recon_NCHW = self.decode(self._encode_corrupted(x_NCHW, noise_1S, self.strength))
            found["denoising_l1"].append(l1(recon_NCHW, x_NCHW))
            found["denoising_mse"].append(mse(recon_NCHW, x_NCHW))
        means = {name: torch.stack(values).mean(0) for name, values in found.items()}
        return means | ({"level_errors": self._level_errors(x_NCHW)} if self.many_levels else {})

    def _level_errors(self, x_NCHW: Tensor) -> Tensor:
        """Log mean squared error of restoring the image from each noise level, from one seeded draw: (N, 4)."""
        errors = []
        for share in LEVELS:
            recon_NCHW = self.decode(self._encode_corrupted(x_NCHW, self.noise_KS[:1], share * self.strength))
            errors.append(mse(recon_NCHW, x_NCHW).clamp_min(1e-8).log())
        return torch.stack(errors, dim=1)


@register_model
def denoising(
    side: int,
    channels: int = 3,
    *,
    backbone: str = "conv",
    latent: int = 64,
    corruption: str = "gaussian",
    strength: float = 25.0,
    draws: int = 3,
    many_levels: bool = False,
) -> DenoisingAutoencoder:
    """Denoising autoencoder on any backbone.

    `corruption` is gaussian (`strength` in grey levels of 255), salt_pepper, mask_pixels, mask_blocks (a share of
    the pixels or blocks) or dropout (a share of the latent's features); scoring averages over `draws` of it.
    `many_levels` draws each training image's strength between none and `strength`, for one denoiser of all levels.
    """
    check_positive(draws=draws)
    encoder, decoder = make_encoder(backbone, side, channels, latent), make_decoder(backbone, side, channels, latent)
    return DenoisingAutoencoder(encoder, decoder, side, channels, latent, corruption, strength, draws, many_levels)

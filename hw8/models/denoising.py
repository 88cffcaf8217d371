"""Denoising autoencoder (Vincent 2008): the input is corrupted, the target is the clean image."""

import torch
from torch import Tensor, nn

from hw8.losses import l1, mse
from hw8.models import noise
from hw8.models.backbones import make_decoder, make_encoder
from hw8.models.blocks import Autoencoder
from hw8.models.output import Output
from hw8.models.registry import register_model

SEED = 8


class DenoisingAutoencoder(Autoencoder):
    """Corrupts its input while training; in evaluation it sees the clean image.

    Its evidence besides is the error of restoring the image from several seeded corruptions.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, corruption: str, strength: float, draws: int) -> None:
        super().__init__(encoder, decoder)
        known = [*noise.CORRUPTIONS, "dropout"]
        if corruption not in known:
            raise ValueError(f"corruption = {corruption!r} must be one of {', '.join(known)}")
        if not (isinstance(strength, int | float) and strength > 0) or (corruption != "gaussian" and strength >= 1):
            raise ValueError(f"strength = {strength!r} must be grey levels > 0 (gaussian) or a share in (0, 1)")
        self.corruption, self.strength, self.draws = corruption, float(strength), draws

    def forward(self, x_NCHW: Tensor) -> Output:
        """Restore the image, from a corrupted one while training."""
        if not self.training:
            return super().forward(x_NCHW)
        latent_ND = self._encode_corrupted(x_NCHW, noise.Randomness(x_NCHW))
        return Output(self.decode(latent_ND), latent_ND, {})

    def _encode_corrupted(self, x_NCHW: Tensor, draw: noise.Randomness) -> Tensor:
        """Latent of the corrupted image, or corrupted latent of the image: (N, D)."""
        if self.corruption == "dropout":
            latent_ND = self.encoder(x_NCHW)
            kept = draw.uniform(latent_ND.shape[1]) >= self.strength
            latent_ND = latent_ND * kept / (1 - self.strength)
        else:
            latent_ND = self.encoder(noise.CORRUPTIONS[self.corruption](x_NCHW, self.strength, draw))
        return latent_ND

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:  # noqa: ARG002
        """Mean errors over the seeded corruptions: denoising_l1 and denoising_mse."""
        found: dict[str, list[Tensor]] = {"denoising_l1": [], "denoising_mse": []}
        for number in range(self.draws):
            recon_NCHW = self.decode(self._encode_corrupted(x_NCHW, noise.seeded(x_NCHW, SEED + number)))
            found["denoising_l1"].append(l1(recon_NCHW, x_NCHW))
            found["denoising_mse"].append(mse(recon_NCHW, x_NCHW))
        return {name: torch.stack(values).mean(0) for name, values in found.items()}


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
) -> DenoisingAutoencoder:
    """Denoising autoencoder on any backbone.

    `corruption` is gaussian (`strength` in grey levels of 255), salt_pepper, mask_pixels, mask_blocks (a share of
    the pixels or blocks) or dropout (a share of the latent's features); scoring averages over `draws` of it.
    """
    encoder, decoder = make_encoder(backbone, side, channels, latent), make_decoder(backbone, side, channels, latent)
    return DenoisingAutoencoder(encoder, decoder, corruption, strength, draws)

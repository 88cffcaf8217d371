"""Vector-quantised autoencoder (van den Oord 2017), its codebook learned by moving averages (appendix A.1)."""

import torch
from torch import Tensor, nn

from hw8.models.backbones import MAP_STRIDE, MapDecoder, MapEncoder
from hw8.models.blocks import bounded, check_positive, in_float32
from hw8.models.output import Model, Output
from hw8.models.registry import register_model

WIDTHS = (32, 64, 128)
DEAD = 0.05  # a code used less than this share of evenly is moved to a latent of the batch


def straight_through(latent: Tensor, quantised: Tensor) -> Tensor:
    """The quantised value forward, the latent's gradient backward (section 3.2)."""
    return latent + (quantised - latent).detach()


class Codebook(nn.Module):
    """`codes` vectors of `dim` numbers that follow the latents assigned to them."""

    codes: Tensor
    count: Tensor
    total: Tensor

    def __init__(self, codes: int, dim: int, decay: float) -> None:
        super().__init__()
        check_positive(codes=codes, dim=dim)
        if not 0 < decay < 1:
            raise ValueError(f"decay = {decay!r} must lie in (0, 1)")
        self.decay = decay
        self.register_buffer("codes", torch.randn(codes, dim))
        self.register_buffer("count", torch.ones(codes))
        self.register_buffer("total", self.codes.clone())

    def assign(self, latent_QD: Tensor) -> Tensor:
        """Number of the nearest code of each latent: (Q,)."""
        with in_float32(latent_QD):
            distance = self.codes.square().sum(1) - 2 * latent_QD @ self.codes.T
        return distance.argmin(1)

    @torch.no_grad()
    def update(self, latent_QD: Tensor, chosen_Q: Tensor) -> None:
        """Move codes to the moving mean of their latents, and codes out of use to latents of this batch."""
        total = torch.zeros_like(self.total).index_add_(0, chosen_Q, latent_QD)
        self.count.lerp_(torch.bincount(chosen_Q, minlength=len(self.codes)).float(), 1 - self.decay)
        self.total.lerp_(total, 1 - self.decay)
        dead = self.count < DEAD * self.count.mean()
        picked = torch.randint(len(latent_QD), (len(self.codes),), device=latent_QD.device)
        fair = self.count.mean()
        self.count[dead] = fair
        self.total[dead] = latent_QD[picked][dead] * fair
        self.codes.copy_(self.total / self.count.clamp_min(1e-5)[:, None])

    def perplexity(self, chosen_Q: Tensor) -> float:
        """Exponential of the entropy of code use: how many codes are in even use."""
        share = torch.bincount(chosen_Q, minlength=len(self.codes)).cpu().double() / len(chosen_Q)
        return float((-(share * (share + 1e-12).log()).sum()).exp())


class VectorQuantisedAutoencoder(Model):
    """Every place of the latent map is replaced by its nearest code before decoding."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, codebook: Codebook, commitment: float) -> None:
        super().__init__()
        self.encoder, self.decoder, self.codebook, self.commitment = encoder, decoder, codebook, commitment

    def _quantise(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latent map and quantised map (N, D, h, w), float32, and the codes chosen (N * h * w,)."""
        return self._assign(self.encoder(x_NCHW).float())

    def _assign(self, map_NDhw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        count, dim, height, width = map_NDhw.shape
        latent_QD = map_NDhw.permute(0, 2, 3, 1).reshape(-1, dim)
        chosen_Q = self.codebook.assign(latent_QD)
        quantised = self.codebook.codes[chosen_Q].view(count, height, width, dim).permute(0, 3, 1, 2)
        if self.training:
            self.codebook.update(latent_QD, chosen_Q)
        return map_NDhw, quantised, chosen_Q

    def forward(self, x_NCHW: Tensor) -> Output:
        """Reconstruct from codes; the term is the commitment loss."""
        map_NDhw, quantised, _ = self._quantise(x_NCHW)
        commitment_N = (map_NDhw - quantised.detach()).square().flatten(1).mean(1)
        recon_NCHW = bounded(self.decoder(straight_through(map_NDhw, quantised)))
        return Output(recon_NCHW, map_NDhw.flatten(1), {"commitment": self.commitment * commitment_N})

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:
        """Mean squared distance of the latents from their codes."""
        side = x_NCHW.shape[2] // MAP_STRIDE
        map_NDhw, quantised, _ = self._assign(output.latent_ND.unflatten(1, (-1, side, side)))
        return {"code_distance": (map_NDhw - quantised).square().flatten(1).mean(1)}

    def diagnose(self, x_NCHW: Tensor) -> dict[str, float]:
        """Perplexity of the codebook."""
        return {"perplexity": self.codebook.perplexity(self._quantise(x_NCHW)[2]), "codes": len(self.codebook.codes)}


@register_model
def vqvae(
    side: int, channels: int = 3, *, dim: int = 32, codes: int = 256, decay: float = 0.98, commitment: float = 0.25
) -> VectorQuantisedAutoencoder:
    """Vector-quantised autoencoder on a convolutional map of latents; `commitment` is the paper's beta."""
    check_positive(dim=dim, codes=codes)
    encoder, decoder = MapEncoder(side, channels, WIDTHS, dim), MapDecoder(channels, WIDTHS, dim)
    return VectorQuantisedAutoencoder(encoder, decoder, Codebook(codes, dim, decay), commitment)

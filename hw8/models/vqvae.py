"""Vector-quantised autoencoder (van den Oord 2017), its codebook learned by moving averages (appendix A.1)."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from hw8.config.limits import NotNegative
from hw8.models.backbones import map_decoder, map_encoder
from hw8.models.blocks import Size, bounded, in_float32
from hw8.models.output import Model, Output
from hw8.models.registry import model_options, register_model

# A code used less than this share of the mean use is moved to a latent of the batch; chosen by hand. At 0 dead codes
# stay dead, at 1 half of the codes would move every step.
DEAD = 0.05


@model_options
class VqvaeOptions:
    """Options of the model vqvae."""

    dim: Size = 32
    """Length of each latent vector of the map, and of each code."""
    codes: Size = 256
    """Codes in the codebook."""
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.98
    """Decay per step of the moving averages that the codes follow."""
    commitment: NotNegative = 0.25
    """Factor of the commitment loss, the paper's beta."""


def straight_through(latent: Tensor, quantised: Tensor) -> Tensor:
    """The quantised value forward, the latent's gradient backward (section 3.2)."""
    return latent + (quantised - latent).detach()


class Codebook(nn.Module):
    """Vectors that follow the latents assigned to them."""

    codes: Tensor
    count: Tensor
    total: Tensor

    def __init__(self, codes: int, dim: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("codes", torch.randn(codes, dim))
        self.register_buffer("count", torch.ones(codes))
        self.register_buffer("total", self.codes.clone())

    def assign(self, latent_QD: Tensor) -> Tensor:
        """Index of the nearest code of each latent: (Q,)."""
        with in_float32(latent_QD):
            distance = self.codes.square().sum(1) - 2 * latent_QD @ self.codes.T
        return distance.argmin(1)

    @torch.no_grad()
    def update(self, latent_QD: Tensor, code_Q: Tensor) -> None:
        """Move codes to the moving mean of their latents, and codes out of use to latents of this batch.

        Moving means: van den Oord and others 2017, appendix A.1; restarts: Jukebox (Dhariwal and others 2020).
        """
        total = torch.zeros_like(self.total).index_add_(0, code_Q, latent_QD)
        use = torch.zeros_like(self.count).index_add_(0, code_Q, torch.ones_like(code_Q, dtype=torch.float32))
        self.count.lerp_(use, 1 - self.decay)
        self.total.lerp_(total, 1 - self.decay)
        mean_use = self.count.mean()
        dead = self.count < DEAD * mean_use
        rows = torch.randint(len(latent_QD), (len(self.codes),), device=latent_QD.device)
        # By `where`, since an index by `dead` would make a GPU wait for their number.
        self.count.copy_(torch.where(dead, mean_use, self.count))
        self.total.copy_(torch.where(dead[:, None], latent_QD[rows] * mean_use, self.total))
        self.codes.copy_(self.total / self.count.clamp_min(1e-5)[:, None])

    def perplexity(self, code_Q: Tensor) -> float:
        """Exponential of the entropy of code use: the number of codes, if all are used equally often."""
        share = torch.bincount(code_Q, minlength=len(self.codes)).cpu().double() / len(code_Q)
        return float((-(share * (share + 1e-12).log()).sum()).exp())


class VectorQuantisedAutoencoder(Model):
    """Every place of the latent map is replaced by its nearest code before decoding."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, codebook: Codebook, commitment: float) -> None:
        super().__init__()
        self.encoder, self.decoder, self.codebook, self.commitment = encoder, decoder, codebook, commitment

    def _quantise(self, map_NDhw: Tensor) -> tuple[Tensor, Tensor]:
        """The quantised map (N, D, h, w), float32, and the index of each code in it (N * h * w,)."""
        count, dim, height, width = map_NDhw.shape
        latent_QD = map_NDhw.permute(0, 2, 3, 1).reshape(-1, dim)
        code_Q = self.codebook.assign(latent_QD)
        quantised = self.codebook.codes[code_Q].view(count, height, width, dim).permute(0, 3, 1, 2)
        if self.training:
            self.codebook.update(latent_QD, code_Q)
        return quantised, code_Q

    def forward(self, x_NCHW: Tensor) -> Output:
        """Reconstruct from codes; the term is the commitment loss."""
        map_NDhw = self.encoder(x_NCHW).float()
        quantised, _ = self._quantise(map_NDhw)
        commitment_N = (map_NDhw - quantised.detach()).square().flatten(1).mean(1)
        recon_NCHW = bounded(self.decoder(straight_through(map_NDhw, quantised)))
        return Output(recon_NCHW, map_NDhw.flatten(1), {"commitment": self.commitment * commitment_N}, map_NDhw)

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:
        """Mean squared distance of the latents from their codes."""
        map_NDhw = self.encoder(x_NCHW).float() if output.map_NDhw is None else output.map_NDhw
        quantised, _ = self._quantise(map_NDhw)
        return {"code_distance": (map_NDhw - quantised).square().flatten(1).mean(1)}

    def diagnose(self, x_NCHW: Tensor) -> dict[str, float]:
        """Perplexity of the codebook, and its number of codes."""
        _, code_Q = self._quantise(self.encoder(x_NCHW).float())
        return {"perplexity": self.codebook.perplexity(code_Q), "codes": len(self.codebook.codes)}


@register_model
def vqvae(side: int, channels: int, options: VqvaeOptions) -> VectorQuantisedAutoencoder:
    """Vector-quantised autoencoder on a convolutional map of latents."""
    encoder, decoder = map_encoder(side, channels, options.dim), map_decoder(channels, options.dim)
    codebook = Codebook(options.codes, options.dim, options.decay)
    return VectorQuantisedAutoencoder(encoder, decoder, codebook, options.commitment)

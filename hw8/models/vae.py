"""Variational autoencoder (Kingma and Welling 2014), with the importance-weighted bound (Burda 2016)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from hw8.config.limits import Count, CountOrZero, NotNegative, Positive
from hw8.models.backbones import Backbone, make_decoder, make_encoder
from hw8.models.blocks import Generative, Size, in_float32
from hw8.models.losses import bce
from hw8.models.noise import scoring_noise
from hw8.models.output import Output
from hw8.models.registry import model_options, register_model

ACTIVE = 0.01  # variance of the mean over images above which a unit counts as active (Burda 2016, section 5.2)
# Chosen by hand: keeps the exponential of an untrained encoder's output small; deviations from 0.002 to 400 remain.
LOG_VARIANCE_LIMIT = 12


@model_options
class VaeOptions:
    """Options of the model vae; train it with the loss mse (gaussian) or bce (bernoulli)."""

    backbone: Backbone = "conv"
    """Layers of encoder and decoder."""
    latent: Size = 64
    """Length of the latent vector."""
    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    """Distribution of pixels given the latent."""
    sigma: Positive = 0.2
    """Standard deviation of the gaussian likelihood, in pixel values of [-1, 1]."""
    beta: NotNegative = 1.0
    """Weight of the KL divergence (Higgins 2017)."""
    warmup: CountOrZero = 100
    """Steps over which the weight of the KL divergence rises to beta (Bowman 2016)."""
    draws: Count = 8
    """Samples of the latent per image when it is scored."""


def kl_to_standard_normal(mean_ND: Tensor, log_variance_ND: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)) in nats: (N,). Kingma and Welling 2014, appendix B."""
    return 0.5 * (log_variance_ND.exp() + mean_ND.square() - 1 - log_variance_ND).sum(-1)


def normal_log_density(x: Tensor, mean: Tensor, log_variance: Tensor | float) -> Tensor:
    """log N(x; mean, variance), summed over all but the first dimension: (N,)."""
    if not isinstance(log_variance, Tensor):
        log_variance = torch.full((), log_variance, device=x.device)
    return (-0.5 * ((x - mean).square() / log_variance.exp() + log_variance + math.log(2 * math.pi))).flatten(1).sum(1)


class VariationalAutoencoder(Generative):
    """An encoder to a normal distribution over latents, and a decoder to a distribution over images.

    The bernoulli likelihood is of pixels moved to [0, 1]. In evaluation the latent is the mean.
    """

    needs_output = False
    steps: Tensor
    noise_KD: Tensor

    def __init__(self, encoder: nn.Module, decoder: nn.Module, options: VaeOptions) -> None:
        super().__init__(encoder, decoder)
        self.options = options
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        noise_KD = scoring_noise(torch.randn, options.draws, (options.latent,))
        self.register_buffer("noise_KD", noise_KD, persistent=False)

    def encode(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent: (N, D) each, float32."""
        mean_ND, log_variance_ND = self.encoder(x_NCHW).float().chunk(2, dim=1)
        return mean_ND, log_variance_ND.clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)

    def forward(self, x_NCHW: Tensor) -> Output:
        """Reconstruct from a sample of the latent while training, from its mean in evaluation.

        The term is the KL divergence in the units of the reconstruction loss beside it: the negative ELBO
        SSE / (2 sigma^2) + KL, times 2 sigma^2 / pixels, is MSE + 2 sigma^2 KL / pixels; for the
        bernoulli likelihood it is the mean BCE + KL / pixels.
        """
        mean_ND, log_variance_ND = self.encode(x_NCHW)
        latent_ND = mean_ND
        if self.training:
            latent_ND = mean_ND + torch.randn_like(mean_ND) * (0.5 * log_variance_ND).exp()
        scale = 2 * self.options.sigma**2 if self.options.likelihood == "gaussian" else 1.0
        kl_N = kl_to_standard_normal(mean_ND, log_variance_ND) * (scale * self._beta() / x_NCHW[0].numel())
        return Output(self.decode(latent_ND), mean_ND, {"kl": kl_N})

    def allows_microbatches(self) -> bool:
        """As for every model; the buffer that counts steps only matters while the weight of the KL rises with it."""
        return self.options.warmup == 0 and self.learned_buffers() == {"steps"}

    def _beta(self) -> Tensor | float:
        """Weight of the KL: rises to `beta` over the first `warmup` training steps."""
        if not self.training or self.options.warmup == 0:
            return self.options.beta
        self.steps += 1
        # Not fetched to the host, for which a GPU would have to wait. Apple's GPU has no float64.
        steps = self.steps.float() if self.steps.device.type == "mps" else self.steps.double()
        return self.options.beta * (steps / self.options.warmup).clamp_max(1.0)

    def log_likelihood(self, x_NCHW: Tensor, recon_NCHW: Tensor) -> Tensor:
        """log p(x | z) in nats: (N,)."""
        if self.options.likelihood == "gaussian":
            return normal_log_density(x_NCHW, recon_NCHW, 2 * math.log(self.options.sigma))
        with in_float32(x_NCHW):
            return -bce(recon_NCHW, x_NCHW) * x_NCHW[0].numel()

    def log_weights(self, x_NCHW: Tensor, mean_ND: Tensor, log_variance_ND: Tensor, noise_KD: Tensor) -> Tensor:
        """log p(x, z) - log q(z | x) for K samples z of q, from its mean, log-variance and normal noise: (K, N)."""
        log_weights = []
        for noise_D in noise_KD:
            latent_ND = mean_ND + noise_D * (0.5 * log_variance_ND).exp()
            prior_N = normal_log_density(latent_ND, torch.zeros_like(latent_ND), 0.0)
            posterior_N = normal_log_density(latent_ND, mean_ND, log_variance_ND)
            log_weights.append(self.log_likelihood(x_NCHW, self.decode(latent_ND)) + prior_N - posterior_N)
        return torch.stack(log_weights)

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:  # noqa: ARG002
        """In nats: kl; nelbo, the negative ELBO; iwae, the negative importance-weighted bound of K samples."""
        mean_ND, log_variance_ND = self.encode(x_NCHW)
        weights_KN = self.log_weights(x_NCHW, mean_ND, log_variance_ND, self.noise_KD)
        bound_N = torch.logsumexp(weights_KN, 0) - math.log(len(weights_KN))
        return {"kl": kl_to_standard_normal(mean_ND, log_variance_ND), "nelbo": -weights_KN.mean(0), "iwae": -bound_N}

    def diagnose(self, x_NCHW: Tensor) -> dict[str, float]:
        """Number of active units, those whose mean varies over images, and of all units."""
        mean_ND, _ = self.encode(x_NCHW)
        return {"active_units": int((mean_ND.var(0) > ACTIVE).sum()), "latent_units": mean_ND.shape[1]}


@register_model
def vae(side: int, channels: int, options: VaeOptions) -> VariationalAutoencoder:
    """Variational autoencoder on any backbone."""
    encoder = make_encoder(options.backbone, side, channels, 2 * options.latent)
    decoder = make_decoder(options.backbone, side, channels, options.latent)
    return VariationalAutoencoder(encoder, decoder, options)

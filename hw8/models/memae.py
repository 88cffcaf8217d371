"""Memory-augmented autoencoder (Gong 2019): the decoder sees only mixtures of remembered latents."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hw8.config.limits import NotNegative, Positive
from hw8.models.backbones import map_decoder, map_encoder
from hw8.models.blocks import Size, bounded, in_float32
from hw8.models.output import Model, Output
from hw8.models.registry import model_options, register_model


@model_options
class MemaeOptions:
    """Options of the model memae."""

    dim: Size = 64
    """Length of each latent vector of the map, and of each remembered one."""
    slots: Size = 256
    """Remembered vectors."""
    shrink: NotNegative = 0.0
    """Threshold of the addressing weights, in multiples of 1 / slots (the paper takes 1 to 3); 0 leaves the addressing
    nearly uniform."""
    temperature: Positive = 1.0
    """Divisor of the cosines before the softmax; smaller ones sharpen the addressing."""
    entropy_weight: NotNegative = 0.0
    """Factor of the addressing entropy in the loss (the paper takes 0.0002)."""


def hard_shrink(weight: Tensor, threshold: float) -> Tensor:
    """Weights under the threshold to zero, the rest rescaled to sum to 1 (Gong 2019, equations 6 and 7)."""
    shrunk = F.relu(weight - threshold) * weight / ((weight - threshold).abs() + 1e-12)
    return F.normalize(shrunk, p=1, dim=-1)


def entropy(weight: Tensor) -> Tensor:
    """Entropy in nats of addressing weights over the last dimension (Gong 2019, equation 9)."""
    return -(weight * (weight + 1e-12).log()).sum(-1)


class Memory(nn.Module):
    """Remembered vectors, addressed by cosine similarity (Gong 2019, equations 3 to 5)."""

    def __init__(self, options: MemaeOptions) -> None:
        super().__init__()
        self.slots = nn.Parameter(torch.randn(options.slots, options.dim) * options.dim**-0.5)
        self.threshold, self.temperature = options.shrink / options.slots, options.temperature

    def forward(self, query_QD: Tensor) -> tuple[Tensor, Tensor]:
        """The remembered vector for each query (Q, dim), and the addressing weights (Q, slots)."""
        with in_float32(query_QD):
            cosine = F.normalize(query_QD.float(), dim=1) @ F.normalize(self.slots, dim=1).T
            weight = F.softmax(cosine / self.temperature, dim=1)
            if self.threshold > 0:
                weight = hard_shrink(weight, self.threshold)
            return weight @ self.slots, weight


class MemoryAutoencoder(Model):
    """Every place of the latent map queries the memory; the decoder sees the answers."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, memory: Memory, entropy_weight: float) -> None:
        super().__init__()
        self.encoder, self.decoder, self.memory, self.weight = encoder, decoder, memory, entropy_weight

    def _address(self, map_NDhw: Tensor) -> tuple[Tensor, Tensor]:
        """The remembered map for a latent map, and the addressing entropy of each image (N,)."""
        count, dim, height, width = map_NDhw.shape
        answer_QD, weight_QM = self.memory(map_NDhw.permute(0, 2, 3, 1).reshape(-1, dim))
        remembered = answer_QD.view(count, height, width, dim).permute(0, 3, 1, 2)
        with in_float32(map_NDhw):
            return remembered, entropy(weight_QM).view(count, -1).mean(1)

    def forward(self, x_NCHW: Tensor) -> Output:
        """Reconstruct from memory; the term is the addressing entropy, times its weight."""
        map_NDhw = self.encoder(x_NCHW).float()
        remembered, entropy_N = self._address(map_NDhw)
        recon_NCHW = bounded(self.decoder(remembered))
        return Output(recon_NCHW, map_NDhw.flatten(1), {"entropy": self.weight * entropy_N}, map_NDhw)

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:
        """Entropy of the addressing, and the mean squared distance of the latents from the remembered ones."""
        map_NDhw = self.encoder(x_NCHW).float() if output.map_NDhw is None else output.map_NDhw
        remembered, entropy_N = self._address(map_NDhw)
        distance_N = (map_NDhw - remembered).square().flatten(1).mean(1)
        return {"address_entropy": entropy_N, "memory_distance": distance_N}

    def diagnose(self, x_NCHW: Tensor) -> dict[str, float]:
        """Slots that a place of the map uses on average, the exponential of the entropy, and all slots."""
        _, entropy_N = self._address(self.encoder(x_NCHW))
        return {"slots_in_use": entropy_N.exp().mean().item(), "slots": len(self.memory.slots)}


@register_model
def memae(side: int, channels: int, options: MemaeOptions) -> MemoryAutoencoder:
    """Memory-augmented autoencoder on a convolutional map of latents."""
    memory = Memory(options)
    encoder, decoder = map_encoder(side, channels, options.dim), map_decoder(channels, options.dim)
    return MemoryAutoencoder(encoder, decoder, memory, options.entropy_weight)

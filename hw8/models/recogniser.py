"""Autoencoder whose encoder also recognises what was done to an image: evidence of unlike kinds from one network.

While training, each image is changed (see `transformations`); the decoder restores the clean image, and linear heads
on the encoder's features tell the amount of each graded change, the quarter turn, and the damage.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hw8.models.blocks import Autoencoder, ResidualBlock, check_positive, in_float32, smallest_map
from hw8.models.conv import ConvDecoder
from hw8.models.output import Output
from hw8.models.registry import register_model
from hw8.models.transformations import (
    DAMAGES,
    QUARTERS,
    Chances,
    mirror_signs,
    parameter_names,
    transform,
)

SEED = 8
MIRRORED_TURNS = [0, 3, 2, 1]  # a quarter turn to the left is, in the mirror, one to the right
BETA = 0.1  # where the amounts' loss turns from squared to absolute


class RecogniserEncoder(nn.Module):
    """A strided stem and three halving residual stages: (N, C, S, S) to features (N, widths[-1], S/16, S/16)."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        stem = [nn.Conv2d(channels, widths[0], 4, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        stem += [nn.Conv2d(widths[0], widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        self.layers = nn.Sequential(*stem, *(ResidualBlock(inputs, outputs, 2) for inputs, outputs in pairwise(widths)))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Pixels to a map of features."""
        return self.layers(x_NCHW)


class Recogniser(Autoencoder):
    """Encoder with heads for what was done to the image, and a decoder that undoes it."""

    signs: Tensor

    def __init__(
        self, side: int, channels: int, widths: Sequence[int], latent: int, weight: float, mirror: bool
    ) -> None:
        smallest = smallest_map(side)
        project = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1] * smallest**2, latent))
        super().__init__(project, ConvDecoder(side, channels, (16, 32, 64, 128), latent))
        self.features = RecogniserEncoder(channels, widths)
        self.names = parameter_names(channels)
        self.sizes = (len(self.names), QUARTERS, len(DAMAGES))
        self.heads = nn.Linear(widths[-1], sum(self.sizes))
        self.weight, self.chances, self.mirror = weight, Chances(), mirror
        self.register_buffer("signs", mirror_signs(channels), persistent=False)

    def forward(self, x_NCHW: Tensor) -> Output:
        """Restore the image; while training, from a changed one, and the terms are what the heads miss."""
        if not self.training:
            map_NDhw = self.features(x_NCHW)
            latent_ND = self.encoder(map_NDhw)
            return Output(self.decode(latent_ND), latent_ND, {}, map_NDhw)
        with in_float32(x_NCHW):  # in bfloat16 sampling places would be coarse, and betray every change
            done = transform(x_NCHW, self.chances)
        map_NDhw = self.features(done.x_NCHW)
        amount_NP, turn_NK, damage_NK = self._recognise(map_NDhw)
        missed_NP = F.smooth_l1_loss(amount_NP, done.amount_NP, beta=BETA, reduction="none")
        terms = {
            "amounts": 2 * self.weight * missed_NP.mean(1),
            "turn": self.weight / 2 * F.cross_entropy(turn_NK, done.turn_N, reduction="none"),
            "damage": self.weight / 2 * F.cross_entropy(damage_NK, done.damage_N, reduction="none"),
        }
        latent_ND = self.encoder(map_NDhw)
        return Output(self.decode(latent_ND), latent_ND, terms)

    def _recognise(self, map_NDhw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Amounts (N, P), and logits of quarter turns (N, 4) and damages (N, 6), float32."""
        with in_float32(map_NDhw):
            said = self.heads(map_NDhw.float().mean((2, 3)))
        amounts, turns, damages = said.split(self.sizes, dim=1)
        return amounts, turns, damages

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:
        """What the heads say of the image and, averaged with it, of its mirror image; the features behind it.

        `amounts` (N, P): how zoomed, tilted, noisy, warm the image looks; `changes` (N, 10): logits of quarter turns
        and damages; `features` (N, widths[-1]).
        """
        here = self.features(x_NCHW) if output.map_NDhw is None else output.map_NDhw
        amount_NP, *logits = self._recognise(here)
        changes_NK = torch.cat(logits, 1)
        features_ND = here.mean((2, 3)).float()
        if not self.mirror:
            return {"amounts": amount_NP, "changes": changes_NK, "features": features_ND}
        mirrored = self.features(x_NCHW.flip(3))
        other_NP, turn_NK, damage_NK = self._recognise(mirrored)
        others_NK = torch.cat([turn_NK[:, MIRRORED_TURNS], damage_NK], 1)
        return {
            "amounts": (amount_NP + other_NP * self.signs) / 2,
            "changes": (changes_NK + others_NK) / 2,
            "features": (features_ND + mirrored.mean((2, 3)).float()) / 2,
        }

    def components(self) -> dict[str, tuple[str, ...]]:
        """Names of the columns of `amounts` and `changes`."""
        turns = tuple(f"turned {90 * quarters}" for quarters in range(QUARTERS))
        return {"amounts": self.names, "changes": turns + DAMAGES}

    @torch.inference_mode()
    def diagnose(self, x_NCHW: Tensor) -> dict[str, float]:
        """How well the heads recognise seeded changes: share of right turns and damages, correlation of amounts."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            with in_float32(x_NCHW):
                done = transform(x_NCHW, self.chances)
        amount_NP, turn_NK, damage_NK = self._recognise(self.features(done.x_NCHW))
        both = torch.stack([amount_NP.flatten(), done.amount_NP.flatten()])
        return {
            "turns_recognised": (turn_NK.argmax(1) == done.turn_N).float().mean().item(),
            "damages_recognised": (damage_NK.argmax(1) == done.damage_N).float().mean().item(),
            "amounts_correlation": torch.corrcoef(both)[0, 1].item(),
        }


@register_model
def recogniser(
    side: int,
    channels: int = 3,
    *,
    widths: Sequence[int] = (32, 64, 128, 192),
    latent: int = 64,
    weight: float = 1.0,
    mirror: bool = True,
) -> Recogniser:
    """Autoencoder that also recognises transformations; `weight` multiplies the losses of its heads.

    `mirror` averages what it says of an image and of its mirror image, if both are equally normal.
    """
    check_positive(side=side, channels=channels, widths=widths, latent=latent)
    if len(widths) != 4:
        raise ValueError(f"widths = {list(widths)} must be four numbers")
    if not weight > 0:
        raise ValueError(f"weight = {weight!r} must be positive")
    return Recogniser(side, channels, widths, latent, weight, mirror)

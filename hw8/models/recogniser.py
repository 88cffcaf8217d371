"""Autoencoder whose encoder also recognises how an image was transformed: several kinds of evidence from one network.

While training, each image is transformed (see `transformations`); the decoder restores the clean image, and linear
heads on the encoder's features predict the amount of each graded change, the quarter turn, and the damage. Turns are
recognised as in RotNet (Gidaris and others 2018), amounts as in AET (Zhang and others 2019), with the smooth L1 loss of
Girshick (2015).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hw8.base.device import constant
from hw8.config.limits import Positive
from hw8.models.blocks import (
    Autoencoder,
    FourWidths,
    Layers,
    Projection,
    ResidualBlock,
    Size,
    conv_down,
    in_float32,
    smallest_map,
)
from hw8.models.conv import conv_decoder
from hw8.models.output import Output
from hw8.models.registry import model_options, register_model
from hw8.models.transformations import (
    DAMAGES,
    MIRRORED_TURNS,
    QUARTERS,
    Chances,
    Transformed,
    mirror_signs,
    parameter_names,
    transform,
)

SEED = 8  # of the transformations that the diagnosis draws; any number
BETA = 0.1  # error of an amount in [-1, 1] where its loss changes from squared to absolute; chosen by hand
# Narrower than the encoder, since no preset scores by the reconstruction; chosen by hand.
DECODER_WIDTHS = (16, 32, 64, 128)


@model_options
class RecogniserOptions:
    """Options of the model recogniser."""

    widths: FourWidths = (32, 64, 128, 192)
    """Channels of the encoder's four stages, from the image inwards."""
    latent: Size = 64
    """Length of the latent vector that the decoder restores the image from."""
    weight: Positive = 1.0
    """Factor of the losses of the heads."""
    mirror: bool = True
    """Average the evidence of an image and of its mirror image; right where both are equally normal."""


def recogniser_encoder(channels: int, widths: Sequence[int]) -> Layers:
    """A strided stem and three halving residual stages: (N, C, S, S) to features (N, widths[-1], S/16, S/16)."""
    stem = conv_down([channels, widths[0]])
    stem += [nn.Conv2d(widths[0], widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    return Layers(*stem, *(ResidualBlock(inputs, outputs, 2) for inputs, outputs in pairwise(widths)))


class Recogniser(Autoencoder):
    """Encoder with heads that recognise the transformation of the image, and a decoder that undoes it."""

    needs_output = False
    signs: Tensor

    def __init__(self, side: int, channels: int, options: RecogniserOptions) -> None:
        features = options.widths[-1]
        project = nn.Sequential(nn.Flatten(), Projection(features * smallest_map(side) ** 2, options.latent))
        super().__init__(project, conv_decoder(side, channels, DECODER_WIDTHS, options.latent))
        self.features = recogniser_encoder(channels, options.widths)
        self.names = parameter_names(channels)
        self.sizes = (len(self.names), QUARTERS, len(DAMAGES))
        self.heads = nn.Linear(features, sum(self.sizes))
        self.weight, self.chances, self.mirror = options.weight, Chances(), options.mirror
        self.register_buffer("signs", mirror_signs(channels), persistent=False)

    def augment(self, x_NCHW: Tensor) -> Transformed:
        """The images transformed at random, and how."""
        with in_float32(x_NCHW):  # in bfloat16 the sampling grid would be coarse, which alone reveals a change
            return transform(x_NCHW, self.chances)

    def forward(self, x_NCHW: Tensor, augmented: Transformed | None = None) -> Output:
        """Restore the image; while training, from a transformed one, and the terms are the losses of the heads."""
        if not self.training:
            map_NDhw = self.features(x_NCHW)
            latent_ND = self.encoder(map_NDhw)
            return Output(self.decode(latent_ND), latent_ND, {}, map_NDhw)
        changed = self.augment(x_NCHW) if augmented is None else augmented
        map_NDhw = self.features(changed.x_NCHW)
        amount_NP, turn_NK, damage_NK = self._recognise(map_NDhw)
        loss_NP = F.smooth_l1_loss(amount_NP, changed.amount_NP, beta=BETA, reduction="none")
        # The factors 2, 1/2 and 1/2 are chosen by hand.
        terms = {
            "amounts": 2 * self.weight * loss_NP.mean(1),
            "turn": self.weight / 2 * F.cross_entropy(turn_NK, changed.turn_N, reduction="none"),
            "damage": self.weight / 2 * F.cross_entropy(damage_NK, changed.damage_N, reduction="none"),
        }
        latent_ND = self.encoder(map_NDhw)
        return Output(self.decode(latent_ND), latent_ND, terms)

    def _recognise(self, map_NDhw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Amounts (N, P), and logits of quarter turns (N, 4) and damages (N, 6), float32."""
        with in_float32(map_NDhw):
            answers = self.heads(map_NDhw.float().mean((2, 3)))
        amounts, turns, damages = answers.split(self.sizes, dim=1)
        return amounts, turns, damages

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:
        """The answers of the heads and the pooled features, averaged with those of the mirror image if `mirror` is set.

        `amounts` (N, P): how zoomed, tilted, noisy, warm the image looks; `changes` (N, 10): logits of quarter turns
        and damages; `features` (N, widths[-1]).
        """
        map_NDhw = self.features(x_NCHW) if output.map_NDhw is None else output.map_NDhw
        amount_NP, *logits = self._recognise(map_NDhw)
        changes_NK = torch.cat(logits, 1)
        features_ND = map_NDhw.mean((2, 3)).float()
        if not self.mirror:
            return {"amounts": amount_NP, "changes": changes_NK, "features": features_ND}
        mirrored_NDhw = self.features(x_NCHW.flip(3))
        mirrored_NP, turn_NK, damage_NK = self._recognise(mirrored_NDhw)
        mirrored_NK = torch.cat([turn_NK.index_select(1, constant(MIRRORED_TURNS, turn_NK.device)), damage_NK], 1)
        return {
            "amounts": (amount_NP + mirrored_NP * self.signs) / 2,
            "changes": (changes_NK + mirrored_NK) / 2,
            "features": (features_ND + mirrored_NDhw.mean((2, 3)).float()) / 2,
        }

    def components(self) -> dict[str, tuple[str, ...]]:
        """Names of the columns of `amounts` and `changes`."""
        turns = tuple(f"turned {90 * quarters}" for quarters in range(QUARTERS))
        return {"amounts": self.names, "changes": turns + DAMAGES}

    def diagnose(self, x_NCHW: Tensor) -> dict[str, float]:
        """Accuracy of the heads on seeded changes: share of right turns and damages, correlation of amounts."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            changed = self.augment(x_NCHW)
        amount_NP, turn_NK, damage_NK = self._recognise(self.features(changed.x_NCHW))
        both = torch.stack([amount_NP.flatten(), changed.amount_NP.flatten()])
        return {
            "turns_recognised": (turn_NK.argmax(1) == changed.turn_N).float().mean().item(),
            "damages_recognised": (damage_NK.argmax(1) == changed.damage_N).float().mean().item(),
            "amounts_correlation": torch.corrcoef(both)[0, 1].item(),
        }


@register_model
def recogniser(side: int, channels: int, options: RecogniserOptions) -> Recogniser:
    """Autoencoder that also recognises transformations."""
    return Recogniser(side, channels, options)

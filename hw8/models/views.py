"""Dense views: in which quarter turn is an image seen, and shifted where to?

The pretext task of GEOM (Golan and El-Yaniv 2018) with the separate heads of Rot+Trans (Hendrycks 2019). Images like
those of the training are recognised in all their views; of other images the network is less sure.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hw8.models.blocks import FourWidths, Layers, ResidualBlock, in_float32
from hw8.models.output import Model, Output
from hw8.models.registry import model_options, register_model
from hw8.models.transformations import QUARTERS

# Largest side of a view in pixels: larger images are shrunk by whole factors first. Turns and shifts are still told
# apart there, and at 64 pixels a view would take four times as long.
VIEW_SIDE = 32
STEPS = (-1, 0, 1)  # of a shift, in quarters of the side


@model_options
class ViewsOptions:
    """Options of the model views."""

    widths: FourWidths = (16, 32, 64, 128)
    """Channels of the stem and of three residual stages, each of which halves the map."""


class ViewRecogniser(Model):
    """A residual network that recognises the turn and the shifts of a view; it reconstructs nothing."""

    def __init__(self, side: int, channels: int, options: ViewsOptions) -> None:
        super().__init__()
        self.factor, widths = max(1, side // VIEW_SIDE), options.widths
        stem = [nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        self.features = Layers(*stem, *(ResidualBlock(inputs, outputs, 2) for inputs, outputs in pairwise(widths)))
        self.heads = nn.Linear(widths[-1], QUARTERS + 2 * len(STEPS))

    def forward(self, x_NCHW: Tensor) -> Output:
        """The loss `views`, per image: cross-entropies of turn and shifts, summed, the mean over the four turns.

        While training each turn is shifted at random; in evaluation none is. The latent (N, 4 D) is the features of
        the four turns side by side, each of length 1.
        """
        small_NCHW = self._shrunk(x_NCHW)
        row_N = torch.arange(x_NCHW.shape[0], device=x_NCHW.device)
        losses, features = [], []
        for number in range(QUARTERS):
            if self.training:
                # Every part of the batch holds all turns: else its statistics in BatchNorm would reveal the turn.
                turn_N = (row_N + number) % QUARTERS
                down_N, across_N = torch.randint_like(row_N, len(STEPS)), torch.randint_like(row_N, len(STEPS))
            else:
                turn_N, down_N, across_N = (
                    torch.full_like(row_N, number),
                    torch.ones_like(row_N),
                    torch.ones_like(row_N),
                )
            surprise_N2, feature_ND = self._surprise(small_NCHW, turn_N, down_N, across_N)
            losses.append(surprise_N2.sum(1))
            features.append(F.normalize(feature_ND, dim=1))
        return Output(None, torch.cat(features, 1), {"views": torch.stack(losses).mean(0)})

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:  # noqa: ARG002
        """-log p of the right turn, of the right shifts, and of both: `turns`, `shifts`, `views`, (N,) each.

        Means over twelve views: each turn unshifted, and shifted by a quarter both down and across, back and forth.
        (All 36 cost three times as much, and rank as these do.)
        """
        small_NCHW, zero_N = self._shrunk(x_NCHW), torch.zeros(x_NCHW.shape[0], dtype=torch.long, device=x_NCHW.device)
        surprises = [
            self._surprise(small_NCHW, zero_N + quarters, zero_N + step, zero_N + step)[0]
            for quarters in range(QUARTERS)
            for step in range(len(STEPS))
        ]
        turns_N, shifts_N = torch.stack(surprises).mean(0).unbind(1)
        return {"turns": turns_N, "shifts": shifts_N, "views": turns_N + shifts_N}

    def _surprise(self, x_NCHW: Tensor, turn_N: Tensor, down_N: Tensor, across_N: Tensor) -> tuple[Tensor, Tensor]:
        """-log p of the turn and of the two shifts of a view of each image (N, 2), and its pooled features (N, D)."""
        map_NDhw = self.features(shifted(turned(x_NCHW, turn_N), down_N, across_N))
        with in_float32(x_NCHW):
            feature_ND = map_NDhw.float().mean((2, 3))
            logits = self.heads(feature_ND).split((QUARTERS, len(STEPS), len(STEPS)), dim=1)
            turn, down, across = (
                -logit.log_softmax(1).gather(1, truth_N.unsqueeze(1))[:, 0]
                for logit, truth_N in zip(logits, (turn_N, down_N, across_N), strict=True)
            )
            return torch.stack([turn, down + across], 1), feature_ND

    def _shrunk(self, x_NCHW: Tensor) -> Tensor:
        """The images at the side of views."""
        return F.avg_pool2d(x_NCHW, self.factor) if self.factor > 1 else x_NCHW

    @torch.inference_mode()
    def diagnose(self, x_NCHW: Tensor) -> dict[str, float]:
        """-log p of the right turn and shifts of held-out images: how well the pretext task is learned."""
        own = self.evidence(x_NCHW, self(x_NCHW))
        return {name: value.mean().item() for name, value in own.items()}


def turned(x_NCHW: Tensor, turn_N: Tensor) -> Tensor:
    """Each image turned to the left by its number of quarters, pixels unchanged."""
    every_QNCHW = torch.stack([x_NCHW.rot90(quarters, (2, 3)) for quarters in range(QUARTERS)])
    return every_QNCHW[turn_N, torch.arange(x_NCHW.shape[0], device=x_NCHW.device)]


def shifted(x_NCHW: Tensor, down_N: Tensor, across_N: Tensor) -> Tensor:
    """Each image shifted by a quarter of its side back (0), not at all (1) or forth (2); edges are reflected."""
    side = x_NCHW.shape[2]
    step = side // 4
    padded_NHWC = F.pad(x_NCHW, (step, step, step, step), mode="reflect").permute(0, 2, 3, 1)
    place = torch.arange(side, device=x_NCHW.device)
    row_NH1 = (place + down_N.view(-1, 1) * step).unsqueeze(2)
    column_N1W = (place + across_N.view(-1, 1) * step).unsqueeze(1)
    image_N11 = torch.arange(x_NCHW.shape[0], device=x_NCHW.device).view(-1, 1, 1)
    return padded_NHWC[image_N11, row_NH1, column_N1W].permute(0, 3, 1, 2)


@register_model
def views(side: int, channels: int, options: ViewsOptions) -> ViewRecogniser:
    """Network that recognises quarter turns and shifts, without a decoder."""
    return ViewRecogniser(side, channels, options)

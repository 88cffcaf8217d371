"""A network that predicts the quarter turn and the shifts in which it sees an image.

The pretext task of GEOM (Golan and El-Yaniv 2018) with the separate heads of Rot+Trans (Hendrycks 2019). Images like
those of the training are recognised in all their views; of other images the network is less sure.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hw8.base.device import constant
from hw8.models.blocks import FourWidths, Layers, ResidualBlock, conv_down, in_float32
from hw8.models.output import Model, Output
from hw8.models.registry import model_options, register_model
from hw8.models.transformations import MIRRORED_TURNS, QUARTERS, varied

# Images of twice this side in pixels and more are shrunk by a whole factor, to views of 32 to 47 pixels. Turns and
# shifts are still told apart there, and at 64 pixels a view would take four times as long.
VIEW_SIDE = 32
# Of the three stages. The stem halves the map too: without that a view took 1.5 times as long, and the held-out loss
# was higher in the same time (docs/experiments.md).
STRIDES = (1, 2, 2)
STEPS = (-1, 0, 1)  # of a shift, in quarters of the side


@model_options
class ViewsOptions:
    """Options of the model views."""

    widths: FourWidths = (32, 32, 64, 128)
    """Channels of the strided stem and of three residual stages, the last two of which halve the map."""
    mirror: bool = True
    """Average the evidence of an image and of its mirror image; right where both are equally normal."""


class Views(NamedTuple):
    """Views of images, and the places in `STEPS` of their shifts down and across: (4 N, C, H, W), (4 N,) and (4 N,)."""

    view_MCHW: Tensor
    down_M: Tensor
    across_M: Tensor


class ViewRecogniser(Model):
    """A residual network that recognises the turn and the shifts of a view; it reconstructs nothing."""

    needs_output = False

    def __init__(self, side: int, channels: int, options: ViewsOptions) -> None:
        super().__init__()
        self.factor, widths = max(1, side // VIEW_SIDE), options.widths
        stages = (ResidualBlock(*pair, stride) for pair, stride in zip(pairwise(widths), STRIDES, strict=True))
        self.features = Layers(*conv_down([channels, widths[0]]), *stages)
        self.heads = nn.Linear(widths[-1], QUARTERS + 2 * len(STEPS))
        self.mirror = options.mirror

    def augment(self, x_NCHW: Tensor) -> Views:
        """The four turns of each image, varied at random and shifted at random."""
        with in_float32(x_NCHW):
            # Against learning a few thousand images by heart.
            turns_MCHW = turns(varied(self._shrunk(x_NCHW).float()))
        down_M, across_M = (torch.randint(len(STEPS), (len(turns_MCHW),), device=x_NCHW.device) for _ in range(2))
        return Views(shifted(turns_MCHW, down_M, across_M), down_M, across_M)

    def forward(self, x_NCHW: Tensor, augmented: Views | None = None) -> Output:
        """The loss `views`, per image: cross-entropies of turn and shifts, summed, the mean over the four turns.

        While training each image is varied and each turn shifted at random; in evaluation none is. The latent
        (N, 4 D) is the features of the four turns (see `of_all_turns`), in evaluation with those of the mirror image.
        """
        if self.training:
            view_MCHW, down_M, across_M = self.augment(x_NCHW) if augmented is None else augmented
        else:
            small_NCHW = self._shrunk(x_NCHW)
            view_MCHW = turns(small_NCHW)
            down_M = across_M = torch.ones_like(view_MCHW[:, 0, 0, 0], dtype=torch.long)
        logit_MK, _, feature_MD = self._recognise(view_MCHW)
        loss_QN = surprisals(logit_MK, down_M, across_M).sum(2)
        latents = [feature_MD]
        if self.mirror and not self.training:
            latents.append(self._recognise(turns(small_NCHW.flip(3)))[-1])
        return Output(None, of_all_turns(*latents), {"views": loss_QN.mean(0)})

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:  # noqa: ARG002
        """-log p of the right turn, of the right shifts, and of both: `turns`, `shifts`, `views`, (N,) each; `early`.

        Means over twelve views: each turn unshifted, and shifted by a quarter both down and across, back and forth.
        (All 36 cost three times as much, and rank as these do.) With `mirror`, also over those of the mirror image.
        `early` (N, 4 widths[1]) is the features of the first residual stage, as the latent is those of the last.
        """
        small_NCHW, means, early = self._shrunk(x_NCHW), [], []
        for seen_NCHW in (small_NCHW, small_NCHW.flip(3)) if self.mirror else (small_NCHW,):
            turns_MCHW = turns(seen_NCHW)
            for step in range(len(STEPS)):
                step_M = torch.full_like(turns_MCHW[:, 0, 0, 0], step, dtype=torch.long)
                logit_MK, first_ME, _ = self._recognise(shifted(turns_MCHW, step_M, step_M))
                means.append(surprisals(logit_MK, step_M, step_M).mean(0))
                if STEPS[step] == 0:
                    early.append(first_ME)
        turns_N, shifts_N = torch.stack(means).mean(0).unbind(1)
        return {"turns": turns_N, "shifts": shifts_N, "views": turns_N + shifts_N, "early": of_all_turns(*early)}

    def _recognise(self, view_MCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of turn and shifts (M, 10) of views, and the pooled features of the first and the last stage."""
        map_MDhw, stages = view_MCHW, []
        for layer in self.features.layers:
            map_MDhw = layer(map_MDhw)
            if isinstance(layer, ResidualBlock):
                stages.append(map_MDhw)
        with in_float32(view_MCHW):
            first_ME, last_MD = (map_MDhw.float().mean((2, 3)) for map_MDhw in (stages[0], stages[-1]))
            return self.heads(last_MD), first_ME, last_MD

    def _shrunk(self, x_NCHW: Tensor) -> Tensor:
        """The images at the side of views."""
        return F.avg_pool2d(x_NCHW, self.factor) if self.factor > 1 else x_NCHW

    def diagnose(self, x_NCHW: Tensor) -> dict[str, float]:
        """-log p of the right turn and shifts of held-out images: how well the pretext task is learned."""
        own = self.evidence(x_NCHW, self(x_NCHW))
        return {name: own[name].mean().item() for name in ("turns", "shifts", "views")}


def turns(x_NCHW: Tensor) -> Tensor:
    """All images, then all of them turned to the left by one, two and three quarters, pixels unchanged: (4 N, C, H, W).

    A batch holds all turns alike, so that its statistics in BatchNorm do not reveal one.
    """
    return torch.cat([x_NCHW.rot90(quarters, (2, 3)) for quarters in range(QUARTERS)])


def of_all_turns(feature_MD: Tensor, mirrored_MD: Tensor | None = None) -> Tensor:
    """Features of the four turns of images, each of length 1, side by side: (N, 4 D).

    With features of the mirror images' turns, the mean of both. Mirroring swaps left and right turns, so that those of
    the mirror images are reordered first.
    """
    of_turn_QND = F.normalize(feature_MD, dim=1).unflatten(0, (QUARTERS, -1))
    if mirrored_MD is not None:
        mirrored_QND = F.normalize(mirrored_MD, dim=1).unflatten(0, (QUARTERS, -1))
        mirrored_QND = mirrored_QND.index_select(0, constant(MIRRORED_TURNS, feature_MD.device))
        of_turn_QND = (of_turn_QND + mirrored_QND) / 2
    return of_turn_QND.movedim(0, 1).flatten(1)


def surprisals(logit_MK: Tensor, down_M: Tensor, across_M: Tensor) -> Tensor:
    """-log p of the right turn, and of both right shifts, of all turns of images: (4, N, 2)."""
    turn_MK, *shifts = (part_MK.log_softmax(1) for part_MK in logit_MK.split((QUARTERS, len(STEPS), len(STEPS)), dim=1))
    turn_QNK = turn_MK.unflatten(0, (QUARTERS, -1))
    turn_QN = torch.stack([turn_QNK[quarters, :, quarters] for quarters in range(QUARTERS)])
    log_p_down_M, log_p_across_M = (
        part_MK.gather(1, step_M.unsqueeze(1))[:, 0] for part_MK, step_M in zip(shifts, (down_M, across_M), strict=True)
    )
    return -torch.stack([turn_QN, (log_p_down_M + log_p_across_M).unflatten(0, (QUARTERS, -1))], dim=2)


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

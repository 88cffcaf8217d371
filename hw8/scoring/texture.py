"""Local statistics of an image or of a reconstruction's residual: how much detail of which size, and its texture."""

import torch
from torch import Tensor
from torch.nn import functional as F

from hw8.base.device import constant
from hw8.data.arrays import to_levels

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601
BANDS = 4  # octaves: of 64 pixels the coarsest band then has 8 a side; more bands would be a handful of pixels each
LEVELS = 5  # of a quantised residual, -2 to 2, chosen by hand: seven would give 16 shares per histogram instead of 9
# One pair (i, j) of levels from each set that swapping the two and changing both signs make equal.
LAST_PAIR = LEVELS**2 - 1  # the pair of the two highest levels; changing both signs makes LAST_PAIR - k of the pair k
DIFFERENT = tuple(sorted({min(LEVELS * i + j, LEVELS * j + i, LAST_PAIR - LEVELS * i - j, LAST_PAIR - LEVELS * j - i)
                    for i in range(LEVELS) for j in range(LEVELS)}))  # fmt: skip
FLAT = DIFFERENT.index(LEVELS**2 // 2)  # the first of the co-occurrences: both residuals are nearly zero
AXES = (1, 2)  # down and across, of planes (N, H, W)
# Grey levels of one quantisation step of the luma's second difference, chosen by hand: of 1, noise fills the outermost
# levels; of 16, nearly all differences are 0. Colour differences are half as large.
STEP = 4.0


def opponent(x_NCHW: Tensor) -> Tensor:
    """Luma, red minus luma and blue minus luma, or a grey image unchanged: (N, C, H, W)."""
    if x_NCHW.shape[1] == 1:
        return x_NCHW
    red_NHW, green_NHW, blue_NHW = x_NCHW.unbind(1)
    luma_NHW = red_NHW * LUMA[0] + green_NHW * LUMA[1] + blue_NHW * LUMA[2]
    return torch.stack([luma_NHW, red_NHW - luma_NHW, blue_NHW - luma_NHW], dim=1)


def band_energies(x_NCHW: Tensor) -> Tensor:
    """Detail by size: log mean square of each Laplacian band (Burt and Adelson 1983), and how peaked it is.

    Up to four bands of each opponent channel, and for each the log of the squared mean magnitude over the mean square:
    (N, bands * C * 2), of pixels in [-1, 1].
    """
    statistics, current = [], opponent(x_NCHW)
    for _ in range(BANDS):
        if min(current.shape[2:]) < 2:
            break
        coarse = F.avg_pool2d(current, 2, ceil_mode=True)
        band = current - F.interpolate(coarse, current.shape[2:], mode="bilinear")
        energy = band.square().mean((2, 3)).clamp_min(1e-6).log()
        size = band.abs().mean((2, 3)).clamp_min(1e-4).log() * 2
        statistics += [energy, size - energy]
        current = coarse
    return torch.cat(statistics, dim=1)


def cooccurrence(x_NCHW: Tensor) -> Tensor:
    """Which quantised high-pass residuals are neighbours, as in steganalysis (Fridrich and Kodovsky 2012).

    Second and third differences along rows and columns of each opponent channel, in five levels; the joint histogram of
    neighbours along the same direction, made symmetric under swapping and sign; square roots of the shares, so that the
    spread hardly depends on the share; then the mean of both directions. (N, 18 C), of pixels in [-1, 1].
    """
    histograms = []
    for channel, plane_NHW in enumerate(opponent(to_levels(x_NCHW)).unbind(1)):
        step = STEP if channel == 0 else STEP / 2
        second = [plane_NHW.diff(2, axis) for axis in AXES]
        third = [residual_NHW.diff(1, axis) for residual_NHW, axis in zip(second, AXES, strict=True)]
        for residuals, residual_step in ((second, step), (third, 2 * step)):
            both = [
                _pairs(residual_NHW, axis, residual_step) for residual_NHW, axis in zip(residuals, AXES, strict=True)
            ]
            histograms.append((both[0] + both[1]) / 2)
    return torch.cat(histograms, dim=1)


def _pairs(residual_NHW: Tensor, axis: int, step: float) -> Tensor:
    """Square roots of the nine different shares of neighbouring levels along an axis: (N, 9)."""
    if residual_NHW.shape[axis] < 2:
        return residual_NHW.new_zeros(residual_NHW.shape[0], len(DIFFERENT))
    half = LEVELS // 2
    level_NHW = (residual_NHW / step).round_().clamp_(-half, half)
    length = level_NHW.shape[axis] - 1
    first_NHW, second_NHW = level_NHW.narrow(axis, 0, length), level_NHW.narrow(axis, 1, length)
    # An integer only here: arithmetic on eight bytes each would be slow.
    code_NL = torch.add(second_NHW, first_NHW, alpha=LEVELS).add_(half * LEVELS + half).flatten(1).long()
    share_NK = torch.zeros(code_NL.shape[0], LEVELS**2, device=code_NL.device)
    share_NK.scatter_add_(1, code_NL, share_NK.new_ones(1).expand(code_NL.shape))
    share_NLL = share_NK.view(-1, LEVELS, LEVELS) / code_NL.shape[1]
    share_NLL = share_NLL + share_NLL.transpose(1, 2)
    share_NLL = (share_NLL + share_NLL.flip(1, 2)) / 4
    return share_NLL.flatten(1).index_select(1, constant(DIFFERENT, share_NLL.device)).sqrt()

"""Evidence: what a model and an image's own statistics say of the image, by name.

One number per image (N,) is larger for less normal images and can be the score as it stands. A vector (N, D) has no
direction: calibration learns where normal images lie, and its distance from there is the score.
"""

from collections.abc import Callable, Collection

import torch
from torch import Tensor
from torch.nn import functional as F

from hw8.models import losses
from hw8.models.blocks import in_float32
from hw8.models.output import Model, Output
from hw8.scoring import texture

TOP = 0.05  # share of the values, chosen by hand: a small damage covers as much; of a half it would be nearly `l1`
GRID = 4  # cells on a side: 16 columns, whose covariance 400 calibration images can tell; 8x8 would be 64
WINDOW = 7  # pixels on a side, as scikit-image's uniform window has
CONSTANTS = (0.01**2, 0.03**2)  # those of Wang 2004 for pixels in [0, 1], which keep flat windows from dividing by 0


def rse(recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
    """Root of the summed squared error, the course's score: (N,)."""
    return (losses.mse(recon_NCHW, x_NCHW) * x_NCHW[0].numel()).sqrt()


def structural(recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
    """1 - SSIM (Wang 2004, equation 13) of pixels in [0, 1], uniform windows of 7 pixels (or the image): (N,)."""
    with in_float32(x_NCHW):
        a, b = (((image_NCHW.float() + 1) / 2).contiguous() for image_NCHW in (recon_NCHW, x_NCHW))
        mean_a, mean_b = window_means(a), window_means(b)
        square_a, square_b, product = mean_a * mean_a, mean_b * mean_b, mean_a * mean_b
        variances = window_means(a * a) - square_a + window_means(b * b) - square_b
        covariance = window_means(a * b) - product
        light = (2 * product + CONSTANTS[0]) / (square_a + square_b + CONSTANTS[0])
        shape = (2 * covariance + CONSTANTS[1]) / (variances + CONSTANTS[1])
        return 1 - (light * shape).flatten(1).mean(1)


def window_means(x_NCHW: Tensor) -> Tensor:
    """Means over all windows of 7x7 pixels (or as many as the image has), at stride 1: (N, C, H - 6, W - 6).

    As two products with matrices of ones in a band: F.avg_pool2d takes five to ten times as long on a CPU.
    """
    size = min(WINDOW, *x_NCHW.shape[2:])
    down, across = (
        torch.ones(length - size + 1, length, device=x_NCHW.device).triu().tril(size - 1) / size
        for length in x_NCHW.shape[2:]
    )
    return down @ (x_NCHW @ across.T)


def top_l1(recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
    """Mean of the largest twentieth of the absolute errors: (N,)."""
    error_ND = (recon_NCHW - x_NCHW).abs().flatten(1)
    return error_ND.topk(max(1, int(TOP * error_ND.shape[1])), dim=1).values.mean(1)


def centre_l1(recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
    """Mean absolute error of the inner half of each side: (N,)."""
    error_NCHW, (height, width) = (recon_NCHW - x_NCHW).abs(), x_NCHW.shape[2:]
    inner = error_NCHW[:, :, height // 4 : height - height // 4, width // 4 : width - width // 4]
    return inner.flatten(1).mean(1)


def error_bands(recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
    """The error by size of detail: `texture.band_energies` of the residual."""
    return texture.band_energies((x_NCHW - recon_NCHW) / 2)


def error_regions(recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
    """The error by place: log mean squared error in the cells of a 4x4 grid (N, 16)."""
    squared_N1HW = (recon_NCHW - x_NCHW).square().mean(1, keepdim=True)
    return F.adaptive_avg_pool2d(squared_N1HW, min(GRID, *x_NCHW.shape[2:])).clamp_min(1e-8).log().flatten(1)


# Errors compare a reconstruction with its image; statistics need the image alone.
ERRORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    error.__name__: error
    for error in (losses.l1, losses.mse, rse, structural, top_l1, centre_l1, error_bands, error_regions)
}
NOTHING = Output(None, torch.empty(0), {})
STATISTICS: dict[str, Callable[[Tensor], Tensor]] = {"bands": texture.band_energies, "texture": texture.cooccurrence}


def evidence(
    model: Model, x_NCHW: Tensor, output: Output | None = None, evidence_names: Collection[str] | None = None
) -> dict[str, Tensor]:
    """All evidence or, with `evidence_names`, only that, of pixels in [-1, 1]: float32 (N,) or (N, D) by name.

    Errors of the reconstruction, if there is one; statistics of the image; its `latent`; what the model itself says.
    Without `output` the model makes it, if this evidence needs it.
    """
    names = None if evidence_names is None else set(evidence_names)
    has_own = names is None or bool(names - {*ERRORS, *STATISTICS, "latent"})
    if output is None:
        is_needed = names is None or names & {*ERRORS, "latent"} or (has_own and model.needs_output)
        output = model(x_NCHW) if is_needed else NOTHING

    def is_selected(name: str) -> bool:
        return names is None or name in names

    values: dict[str, Tensor] = {}
    if output.recon_NCHW is not None:
        values |= {name: error(output.recon_NCHW, x_NCHW) for name, error in ERRORS.items() if is_selected(name)}
    values |= {name: statistic(x_NCHW) for name, statistic in STATISTICS.items() if is_selected(name)}
    if is_selected("latent"):
        values["latent"] = output.latent_ND
    if has_own:
        values |= {name: value for name, value in model.evidence(x_NCHW, output).items() if is_selected(name)}
    return {name: torch.as_tensor(value).float() for name, value in values.items()}

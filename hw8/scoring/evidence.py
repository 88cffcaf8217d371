"""Evidence: what a model and an image's own statistics say of the image, by name.

A number an image (N,) is larger for less normal images and can be the score as it stands. A vector (N, D) has no
direction: calibration learns where normal images lie, and its distance from there is the score.
"""

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from hw8.base.errors import InputError
from hw8.models import losses
from hw8.models.output import Model, Output
from hw8.scoring import texture

T = TypeVar("T")
TOP = 0.05
GRID = 4
WINDOW = 7
CONSTANTS = (0.01**2, 0.03**2)


def rse(recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
    """Root of the summed squared error, the course's score: (N,)."""
    return (losses.mse(recon_NCHW, x_NCHW) * x_NCHW[0].numel()).sqrt()


def structural(recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
    """1 - SSIM (Wang 2004, equation 13) of pixels in [0, 1], uniform windows of 7 pixels (or the image): (N,)."""
    a, b = (recon_NCHW.float() + 1) / 2, (x_NCHW + 1) / 2
    window = min(WINDOW, *x_NCHW.shape[2:])
    mean_a, mean_b = F.avg_pool2d(a, window, 1), F.avg_pool2d(b, window, 1)
    variance_a = F.avg_pool2d(a * a, window, 1) - mean_a**2
    variance_b = F.avg_pool2d(b * b, window, 1) - mean_b**2
    covariance = F.avg_pool2d(a * b, window, 1) - mean_a * mean_b
    light = (2 * mean_a * mean_b + CONSTANTS[0]) / (mean_a**2 + mean_b**2 + CONSTANTS[0])
    shape = (2 * covariance + CONSTANTS[1]) / (variance_a + variance_b + CONSTANTS[1])
    return 1 - (light * shape).flatten(1).mean(1)


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


ERRORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": losses.l1,
    "mse": losses.mse,
    "rse": rse,
    "structural": structural,
    "top_l1": top_l1,
    "centre_l1": centre_l1,
    "error_bands": error_bands,
    "error_regions": error_regions,
}
STATISTICS: dict[str, Callable[[Tensor], Tensor]] = {
    "bands": texture.band_energies,
    "texture": texture.cooccurrence,
}


def evidence(model: Model, x_NCHW: Tensor, output: Output, wanted: Collection[str] | None = None) -> dict[str, Tensor]:
    """All evidence that there is or, if `wanted` names some, that alone, of pixels in [-1, 1]: float32 (N,) or (N, D).

    Errors of the reconstruction, if there is one; statistics of the image; its `latent`; what the model itself says.
    """

    def asked(name: str) -> bool:
        return wanted is None or name in wanted

    recon_NCHW = output.recon_NCHW
    found = {}
    if recon_NCHW is not None:
        found = {name: error(recon_NCHW, x_NCHW) for name, error in ERRORS.items() if asked(name)}
    found |= {name: statistic(x_NCHW) for name, statistic in STATISTICS.items() if asked(name)}
    if asked("latent"):
        found["latent"] = output.latent_ND
    if wanted is None or not set(wanted) <= found.keys():
        own = model.evidence(x_NCHW, output)
        found |= {name: value for name, value in own.items() if asked(name)}
    return {name: torch.as_tensor(value).float() for name, value in found.items()}


def select(found: Mapping[str, T], score: str) -> T:
    """One piece of evidence by name. Raises InputError, naming those there are, if the model does not give it."""
    if score not in found:
        raise InputError(f"`score` {score}: this model does not give it; it gives {', '.join(found)}")
    return found[score]

"""Evidence: what a model says of an image, one named number each; larger is more unlike the training images."""

from torch import Tensor

from hw8 import losses
from hw8.models.output import Output


def evidence(x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:
    """Reconstruction errors of pixels in [-1, 1], float32 (N,) each.

    rse, the root of the summed squared error, is the course's score; mse and l1 are means over pixels.
    """
    recon_NCHW = output.recon_NCHW.float()
    squared_N = losses.mse(recon_NCHW, x_NCHW)
    pixels = x_NCHW[0].numel()
    return {"rse": (squared_N * pixels).sqrt(), "mse": squared_N, "l1": losses.l1(recon_NCHW, x_NCHW)}

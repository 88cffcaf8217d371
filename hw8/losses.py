"""Reconstruction losses, one number an image."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def mse(recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
    """Mean squared error over an image's pixels in [-1, 1]: (N,)."""
    return (recon_NCHW - x_NCHW).square().flatten(1).mean(1)


def l1(recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
    """Mean absolute error over an image's pixels in [-1, 1]: (N,)."""
    return (recon_NCHW - x_NCHW).abs().flatten(1).mean(1)


def bce(recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
    """Binary cross-entropy in nats a pixel, both images moved to [0, 1] first: (N,).

    The reconstruction is a Bernoulli mean (Vincent 2008, section 2.2; Kingma and Welling 2014, C.1). Pixels
    between 0 and 1 leave the loss above zero even where they are met exactly.
    """
    mean, target = (recon_NCHW.float() + 1) / 2, (x_NCHW + 1) / 2
    return F.binary_cross_entropy(mean, target, reduction="none").flatten(1).mean(1)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": mse, "l1": l1, "bce": bce}

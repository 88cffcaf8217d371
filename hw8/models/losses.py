"""Reconstruction losses, one number per image."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hw8.models.output import Output


class _MeanSquare(torch.autograd.Function):
    """The mean square of a difference, with half as many passes over memory as autograd would take."""

    @staticmethod
    def forward(ctx: Any, recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
        """|recon - x|^2 / pixels: (N,)."""
        difference_NCHW = recon_NCHW - x_NCHW
        ctx.save_for_backward(difference_NCHW)
        axes = tuple(range(1, difference_NCHW.ndim))
        return torch.linalg.vector_norm(difference_NCHW, dim=axes).square() / difference_NCHW[0].numel()

    @staticmethod
    def backward(ctx: Any, gradient_N: Tensor) -> tuple[Tensor, Tensor | None]:
        """Gradients 2 (recon - x) / pixels of the reconstruction and its negative of the image, times `gradient_N`."""
        (difference_NCHW,) = ctx.saved_tensors
        scale_N = gradient_N * (2 / difference_NCHW[0].numel())
        recon_gradient_NCHW = difference_NCHW * scale_N.view(-1, *[1] * (difference_NCHW.ndim - 1))
        return recon_gradient_NCHW, -recon_gradient_NCHW if ctx.needs_input_grad[1] else None


def mse(recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
    """Mean squared error over an image's pixels in [-1, 1]: (N,)."""
    return _MeanSquare.apply(recon_NCHW.float(), x_NCHW.float())


def l1(recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
    """Mean absolute error over an image's pixels in [-1, 1]: (N,)."""
    # The gradient of `mean` would be channels first in memory, which the layer before it reads slowly.
    return (recon_NCHW - x_NCHW).abs().sum((1, 2, 3)) / x_NCHW[0].numel()


def bce(recon_NCHW: Tensor, x_NCHW: Tensor) -> Tensor:
    """Binary cross-entropy in nats per pixel, both images moved to [0, 1] first: (N,).

    The reconstruction is a Bernoulli mean (Vincent 2008, section 2.2; Kingma and Welling 2014, C.1). For pixels
    between 0 and 1 the loss is above zero even where the reconstruction is exact.
    """
    mean, target = (recon_NCHW.float() + 1) / 2, (x_NCHW + 1) / 2
    return F.binary_cross_entropy(mean, target, reduction="none").mean((1, 2, 3))


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": mse, "l1": l1, "bce": bce}


def objective(name: str, output: Output, x_NCHW: Tensor) -> Tensor:
    """The loss that training minimises: of the reconstruction, if there is one, plus the model's terms: (N,)."""
    loss_N = torch.zeros(len(x_NCHW), device=x_NCHW.device)
    if output.recon_NCHW is not None:
        loss_N = LOSSES[name](output.recon_NCHW, x_NCHW)
    for term_N in output.terms.values():
        loss_N = loss_N + term_N
    return loss_N


def selection_loss(name: str, output: Output, x_NCHW: Tensor) -> Tensor:
    """The loss that decides the best epoch: of the reconstruction alone or, without one, the model's terms: (N,)."""
    if output.recon_NCHW is None:
        return objective(name, output, x_NCHW)
    return LOSSES[name](output.recon_NCHW, x_NCHW)

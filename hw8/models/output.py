"""The contract of every model: what a forward pass returns."""

from typing import NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """What a model makes of a batch `x_NCHW` of pixels in [-1, 1].

    `recon_NCHW` is its reconstruction, float32 in [-1, 1]; `latent_ND` the latent of each image; `terms` maps a
    name to a loss per image (N,) that the training loop adds to the reconstruction loss.
    """

    recon_NCHW: Tensor
    latent_ND: Tensor
    terms: dict[str, Tensor]

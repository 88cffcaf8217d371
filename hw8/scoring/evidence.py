"""Evidence: what a model says of an image, one named number each; larger is more unlike the training images."""

from typing import TypeVar

from torch import Tensor

from hw8 import losses
from hw8.errors import InputError
from hw8.models.output import Model, Output

T = TypeVar("T")


def evidence(model: Model, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:
    """Reconstruction errors of pixels in [-1, 1], and what the model itself has to say: float32 (N,) each.

    rse, the root of the summed squared error, is the course's score; mse and l1 are means over pixels.
    """
    found = {}
    if output.recon_NCHW is not None:
        squared_N = losses.mse(output.recon_NCHW, x_NCHW)
        found = {
            "l1": losses.l1(output.recon_NCHW, x_NCHW),
            "mse": squared_N,
            "rse": (squared_N * x_NCHW[0].numel()).sqrt(),
        }
    return found | {name: value_N.float() for name, value_N in model.evidence(x_NCHW, output).items()}


def chosen(found: dict[str, T], score: str) -> T:
    """One piece of evidence by name. Raises InputError, naming those there are, if the model does not give it."""
    if score not in found:
        raise InputError(f"--score {score}: this model does not give it; it gives {', '.join(found)}")
    return found[score]

"""Ways to corrupt an input that the model is to restore, and the noise that scoring always uses."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

# Blocks per side of mask_blocks' grid. Chosen by hand: a block of a 64-pixel face is 8x8 pixels, about an eye, of the
# inner 32 pixels 4x4. Many more would be like single pixels, which their neighbours give away; very few would hide most
# of the face.
BLOCKS = 8


# Seed of the first noise that scores. Chosen by hand; another one would change the scores of runs that are saved.
SEED = 8


def scoring_noise(draw: Callable[..., Tensor], count: int, shape: tuple[int, ...]) -> Tensor:
    """`count` draws of `torch.rand` or `torch.randn`, each from a generator of its own seed: (count, *shape).

    For a buffer of a model, so that every image of every batch is scored with the same noise. The generators are the
    CPU's: the numbers are the same on every device.
    """
    if torch.get_default_device().type == "meta":  # `create_model` first asks how large the model would be
        return torch.empty(count, *shape)
    return torch.stack([draw(shape, generator=torch.Generator().manual_seed(SEED + n)) for n in range(count)])


def gaussian(x_NCHW: Tensor, strength: float | Tensor, normal_NCHW: Tensor) -> Tensor:
    """Add normal noise with a standard deviation of `strength` grey levels (of 255), one for all or (N, 1, 1, 1)."""
    return (x_NCHW + strength / 127.5 * normal_NCHW).clamp(-1, 1)


def salt_pepper(x_NCHW: Tensor, strength: float, uniform_N1HW: Tensor) -> Tensor:
    """Turn a share `strength` of the pixels black or white, all channels at once."""
    whitened = torch.where(uniform_N1HW < strength, 1.0, x_NCHW)
    return torch.where(uniform_N1HW < strength / 2, -1.0, whitened)


def mask_pixels(x_NCHW: Tensor, strength: float, uniform_N1HW: Tensor) -> Tensor:
    """Set a share `strength` of the pixels to zero, which is mid-grey in [-1, 1]."""
    return x_NCHW * (uniform_N1HW >= strength)


def mask_blocks(x_NCHW: Tensor, strength: float, uniform_N1BB: Tensor) -> Tensor:
    """Set a share `strength` of the image's 8x8 grid of blocks to zero."""
    kept = (uniform_N1BB >= strength).float()
    return x_NCHW * F.interpolate(kept, size=x_NCHW.shape[2:], mode="nearest")


def dropout(latent_ND: Tensor, strength: float, uniform_ND: Tensor) -> Tensor:
    """Set a share `strength` of a latent's features to zero, and scale the others up by as much."""
    return latent_ND * (uniform_ND >= strength) / (1 - strength)


NOISES: dict[str, Callable[..., Tensor]] = {
    item.__name__: item for item in (gaussian, salt_pepper, mask_pixels, mask_blocks, dropout)
}


def noise_shape(corruption: str, side: int, channels: int, latent: int) -> tuple[int, ...]:
    """Shape of the noise that a corruption takes for one image."""
    shapes = {"gaussian": (channels, side, side), "mask_blocks": (1, BLOCKS, BLOCKS), "dropout": (latent,)}
    return shapes.get(corruption, (1, side, side))

"""Ways to corrupt an input that the model is to restore, and the randomness behind them."""

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclasses.dataclass(frozen=True)
class Randomness:
    """Random numbers for the images of a batch.

    Without a generator every image has its own, from the global generator; with one (on the CPU) all images share
    the same, so that no score depends on the batch.
    """

    x_NCHW: Tensor
    generator: torch.Generator | None = None

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1): (N or 1, *shape)."""
        if self.generator is None:
            return torch.rand((len(self.x_NCHW), *shape), device=self.x_NCHW.device)
        return torch.rand((1, *shape), generator=self.generator).to(self.x_NCHW.device)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers: (N or 1, *shape)."""
        if self.generator is None:
            return torch.randn((len(self.x_NCHW), *shape), device=self.x_NCHW.device)
        return torch.randn((1, *shape), generator=self.generator).to(self.x_NCHW.device)


def seeded(x_NCHW: Tensor, seed: int) -> Randomness:
    """Randomness for scoring: the same for every image."""
    return Randomness(x_NCHW, torch.Generator().manual_seed(seed))


def gaussian(x_NCHW: Tensor, strength: float | Tensor, draw: Randomness) -> Tensor:
    """Add normal noise with a standard deviation of `strength` grey levels (of 255), one for all or (N, 1, 1, 1)."""
    return (x_NCHW + strength / 127.5 * draw.normal(*x_NCHW.shape[1:])).clamp(-1, 1)


def salt_pepper(x_NCHW: Tensor, strength: float, draw: Randomness) -> Tensor:
    """Turn a share `strength` of the pixels black or white, all channels at once."""
    u_N1HW = draw.uniform(1, *x_NCHW.shape[2:])
    whitened = torch.where(u_N1HW < strength, 1.0, x_NCHW)
    return torch.where(u_N1HW < strength / 2, -1.0, whitened)


def mask_pixels(x_NCHW: Tensor, strength: float, draw: Randomness) -> Tensor:
    """Set a share `strength` of the pixels to zero, which is mid-grey in [-1, 1]."""
    return x_NCHW * (draw.uniform(1, *x_NCHW.shape[2:]) >= strength)


def mask_blocks(x_NCHW: Tensor, strength: float, draw: Randomness) -> Tensor:
    """Set a share `strength` of the image's 8x8 grid of blocks to zero."""
    kept = (draw.uniform(1, 8, 8) >= strength).float()
    return x_NCHW * F.interpolate(kept, size=x_NCHW.shape[2:], mode="nearest")


CORRUPTIONS = {item.__name__: item for item in (gaussian, salt_pepper, mask_pixels, mask_blocks)}

"""Batches of row numbers and their images, as pure functions of seed, epoch and step."""

from collections.abc import Iterator

import numpy as np
import torch

from hw8.base.device import to_device
from hw8.data.arrays import Images, to_pixels

RESIDENT_SHARE = 1 / 4  # of a GPU's free memory that its images take at most: most is left to the training
CHUNK = 4096  # images copied to a GPU at once: 50 MB of the homework's


def epoch_batches(rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Return this epoch's rows, shuffled, in batches of nearly equal size, each row once."""
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    return np.array_split(order, batch_count(len(order), batch_size))


def batch_count(rows: int, batch_size: int) -> int:
    """Return the number of batches in an epoch: as few as `batch_size` allows, but none of a single image.

    Batch normalisation has no statistics of one image, so that a batch may hold three with `batch_size` 2.
    """
    return max(1, min(-(-rows // batch_size), rows // 2))


def mirror_mask(count: int, seed: int, step: int) -> np.ndarray:
    """Return which of a batch's images are mirrored at this step: bool (count,), each true with probability 1/2."""
    return np.random.default_rng([seed, step, 1]).random(count) < 0.5


def training_batch(
    images: Images,
    rows_B: np.ndarray,
    device: torch.device,
    mirrored_B: np.ndarray | None = None,
    channels_last: bool = True,
) -> torch.Tensor:
    """Return training images as float32 (B, C, side, side) in [-1, 1], those of `mirrored_B` mirrored left to right."""
    batch_BHWC = torch.from_numpy(images.read(rows_B))
    if mirrored_B is not None:
        rows = torch.from_numpy(mirrored_B.nonzero()[0])
        batch_BHWC.index_copy_(0, rows, batch_BHWC.index_select(0, rows).flip(2))
    return to_pixels(to_device(batch_BHWC.numpy(), device), device, channels_last)


def resident_images(images: Images, device: torch.device) -> torch.Tensor | None:
    """All images on a GPU, uint8 (N, side, side, C), if they take at most a quarter of its free memory, else None."""
    size = len(images) * images.side**2 * images.channels
    torch.cuda.empty_cache()  # what PyTorch keeps of an earlier training does not count as free
    if size > RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
        return None
    resident_NHWC = torch.empty(
        (len(images), images.side, images.side, images.channels), dtype=torch.uint8, device=device
    )
    for rows in in_batches(np.arange(len(images)), CHUNK):
        resident_NHWC[rows[0] : rows[-1] + 1] = torch.from_numpy(images.read(rows)).to(device)
    return resident_NHWC


def in_batches(rows: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yield the rows in order, `batch_size` at a time."""
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]

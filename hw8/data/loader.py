"""Batches of row numbers and their images, as pure functions of seed, epoch and step."""

from collections.abc import Iterator

import numpy as np
import torch

from hw8.data.arrays import Images, to_pixels


def epoch_batches(rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Return this epoch's rows, shuffled, in batches of nearly equal size, each row once."""
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    return np.array_split(order, batch_count(len(order), batch_size))


def batch_count(rows: int, batch_size: int) -> int:
    """Return the number of batches in an epoch: as few as `batch_size` allows, but none of a single image.

    Batch normalisation has no statistics of one image, so that a batch may hold three with `batch_size` 2.
    """
    return max(1, min(-(-rows // batch_size), rows // 2))


def mirrored_rows(count: int, seed: int, step: int) -> np.ndarray:
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
    # Only from pinned memory does a copy to the GPU run beside the computation.
    return to_pixels(batch_BHWC.pin_memory() if device.type == "cuda" else batch_BHWC, device, channels_last)


def in_batches(rows: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yield the rows in order, `batch_size` at a time."""
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]

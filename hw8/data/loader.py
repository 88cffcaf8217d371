"""Batches of row numbers, and the images behind them, as pure functions of seed, epoch and step."""

from collections.abc import Iterator

import numpy as np
import torch

from hw8.data.arrays import Images, to_pixels


def epoch_batches(rows: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """This epoch's rows, shuffled, in batches of nearly equal size: none lost, none repeated."""
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    return np.array_split(order, batch_count(len(order), batch_size))


def batch_count(rows: int, batch_size: int) -> int:
    """Batches in an epoch of so many rows: as few as `batch_size` allows, but none of a single image.

    Batch normalisation has no statistics of one image, so a batch may hold one more than `batch_size` 2.
    """
    return max(1, min(-(-rows // batch_size), rows // 2))


def mirrored_rows(count: int, seed: int, step: int) -> np.ndarray:
    """Which of a batch's images are mirrored at this step: bool (count,), each with an even chance."""
    return np.random.default_rng([seed, step, 1]).random(count) < 0.5


def training_batch(
    images: Images,
    rows_B: np.ndarray,
    device: torch.device,
    mirrored_B: np.ndarray | None = None,
    channels_last: bool = True,
) -> torch.Tensor:
    """Training images of these rows as float32 (B, C, side, side) in [-1, 1], some mirrored left to right."""
    tensor = torch.from_numpy(images.read(rows_B))
    if mirrored_B is not None:
        mirrored = torch.from_numpy(mirrored_B.nonzero()[0])
        tensor.index_copy_(0, mirrored, tensor.index_select(0, mirrored).flip(2))
    return to_pixels(tensor.pin_memory() if device.type == "cuda" else tensor, device, channels_last)


def in_batches(rows: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Rows in order, `batch_size` at a time."""
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]

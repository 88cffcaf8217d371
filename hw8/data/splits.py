"""The training set, cut once by seed into train, calibration and development."""

import dataclasses

import numpy as np

from hw8.base.errors import InputError
from hw8.config import DataConfig

MIN_IMAGES = 20  # images of a training set: of fewer, the fifth that calibrates would be under four
FIT_IMAGES = 8192  # images that evidence is fitted to; chosen by hand to bound the time and memory of those fits
MIN_HELD_OUT = 4  # images: with them no p-value is under 1/5, and with fewer none is of any use


@dataclasses.dataclass(frozen=True)
class Splits:
    """Row numbers of the three parts, sorted; from `split_rows` they are disjoint and hold every row once."""

    train: np.ndarray
    calibration: np.ndarray
    development: np.ndarray


def evenly_spaced(rows: np.ndarray, max_count: int) -> np.ndarray:
    """Return at most `max_count` of the rows at equal distances, the first and the last among them."""
    return rows[np.linspace(0, len(rows) - 1, min(max_count, len(rows))).round().astype(int)]


def reference_rows(splits: Splits) -> np.ndarray:
    """Return every n-th training row, at most 8,192 of them, to fit evidence to."""
    # Not `evenly_spaced`: scores of existing runs were fitted to these rows.
    return splits.train[:: -(-len(splits.train) // FIT_IMAGES)]


def split_rows(count: int, config: DataConfig) -> Splits:
    """Cut `count` rows by `config.split_seed`; the same on every machine and NumPy version.

    A held-out part has its share of the rows, at least `held_out_minimum`, but never more than a
    fifth of the rows unless its share asks for it, nor than `held_out_maximum`.
    Raises InputError for fewer than 20 images, or fewer than 4 in a held-out part.
    """
    if count < MIN_IMAGES:
        raise InputError(f"the training set has {count} images; at least {MIN_IMAGES} are needed to hold some out")
    # RandomState's stream is frozen (NEP 19), unlike Generator's, so that every NumPy version makes the same cut.
    order = np.random.RandomState(config.split_seed).permutation(count)
    least = min(config.held_out_minimum, count // 5)
    shares, most = (config.calibration_share, config.development_share), config.held_out_maximum
    held_out = [min(max(round(count * share), least), most) for share in shares]
    for number, part in zip(held_out, ("calibration", "development"), strict=True):
        if number < MIN_HELD_OUT:
            hint = f"raise `held_out_minimum` or `{part}_share`"
            raise InputError(f"{number} images for {part}; at least {MIN_HELD_OUT} are needed: {hint}")
    calibration, development, train = np.split(order, np.cumsum(held_out))
    return Splits(np.sort(train), np.sort(calibration), np.sort(development))

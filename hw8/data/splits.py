"""The training set, cut once by seed into train, calibration and development; and which images are scored."""

import dataclasses

import numpy as np

from hw8.base.errors import InputError
from hw8.config import DataConfig
from hw8.data.arrays import Images, Selection
from hw8.data.sources import TESTING_FILES, TRAINING_FILES, Source

SMALLEST = 20  # images of a training set: a fifth of fewer would leave under four to calibrate on
FIT_IMAGES = 8192  # images that evidence is fitted to; chosen by hand to bound the time and memory of those fits
LEAST_HELD_OUT = 4  # images: with them no p-value is under 1/5, and with fewer none is of any use


@dataclasses.dataclass(frozen=True)
class Splits:
    """Row numbers of the three parts: disjoint, sorted, together every row once."""

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
    if count < SMALLEST:
        raise InputError(f"the training set has {count} images; at least {SMALLEST} are needed to hold some out")
    # RandomState's stream is frozen (NEP 19), unlike Generator's, so that every NumPy version makes the same cut.
    order = np.random.RandomState(config.split_seed).permutation(count)
    least = min(config.held_out_minimum, count // 5)
    shares, most = (config.calibration_share, config.development_share), config.held_out_maximum
    held_out = [min(max(round(count * share), least), most) for share in shares]
    for number, part in zip(held_out, ("calibration", "development"), strict=True):
        if number < LEAST_HELD_OUT:
            hint = f"raise `held_out_minimum` or `{part}_share`"
            raise InputError(f"{number} images for {part}; at least {LEAST_HELD_OUT} are needed: {hint}")
    calibration, development, train = np.split(order, np.cumsum(held_out))
    return Splits(np.sort(train), np.sort(calibration), np.sort(development))


def images_to_score(source: Source, config: DataConfig) -> Images:
    """The images to score, cropped: the test set or, where there is none, the development images. Raises InputError."""
    if source.has_test_set:
        return source.testing(config.crop)
    images = source.training(config.crop)
    development = Selection(images.array_NHWC, split_rows(len(images), config).development)
    return Images(development, config.crop, f"{images.name} (development images)")


def files_to_score(source: Source, config: DataConfig) -> list[str] | None:
    """The picture files behind `images_to_score`, in their order; None where nothing names them."""
    if source.has_test_set:
        return source.file_names(TESTING_FILES, len(source.testing()))
    count = len(source.training())
    names = source.file_names(TRAINING_FILES, count)
    return None if names is None else [names[row] for row in split_rows(count, config).development]

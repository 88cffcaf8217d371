"""Synthetic anomalies made of normal images, of a common kind (`corruptions.py`) or an unseen one (`unseen.py`)."""

import dataclasses

import numpy as np

from hw8.data.arrays import Images
from hw8.data.corruptions import CORRUPTIONS
from hw8.data.unseen import UNSEEN

FIRST_UNSEEN = 1000  # the unseen kinds' numbers, as seeds: a new common kind does not change what they draw


def corrupt(kind: str, images: Images, rows_B: np.ndarray, pool: np.ndarray, seed: int) -> np.ndarray:
    """Return the images of `rows_B`, each changed by `kind`, cropped as by `images.read`: uint8 (B, side, side, C).

    The whole image is changed before it is cropped, so that runs with other crops are measured on the same anomalies,
    also where a crop misses one. Where a second image is needed, it is another row of `pool`, which
    is sorted and contains `rows_B`. A row's change depends on seed, kind and row alone, not on its batch.
    """
    kinds, first = (CORRUPTIONS, 0) if kind in CORRUPTIONS else (UNSEEN, FIRST_UNSEEN)
    change, number = kinds[kind], first + list(kinds).index(kind)
    rngs = [np.random.default_rng([seed, number, int(row)]) for row in rows_B]
    partners = np.array([_other(row, pool, rng) for row, rng in zip(rows_B, rngs, strict=True)])
    batch, others = images.read_whole(rows_B), images.read_whole(partners)
    changed = [change(*item) for item in zip(batch, others, rngs, strict=True)]
    return images.cropped(np.stack(changed))


@dataclasses.dataclass(frozen=True)
class Corrupted:
    """The images of `pool`, each changed by `kind` when it is read: see `corrupt`."""

    kind: str
    images: Images
    pool: np.ndarray
    seed: int

    def read(self, rows_B: np.ndarray) -> np.ndarray:
        """Return the changed images of these rows: uint8 (B, side, side, C)."""
        return corrupt(self.kind, self.images, rows_B, self.pool, self.seed)


def _other(row: int, pool: np.ndarray, rng: np.random.Generator) -> int:
    """A row of the pool other than `row` (which is in it)."""
    other = int(pool[rng.integers(len(pool))])
    return other if other != row else int(pool[(np.searchsorted(pool, row) + 1) % len(pool)])

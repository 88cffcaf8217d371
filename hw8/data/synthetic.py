"""Images changed by a kind of synthetic anomaly, common (`corruptions.py`) or unseen in training (`unseen.py`)."""

from collections.abc import Callable

import numpy as np

from hw8.data.arrays import Images
from hw8.data.corruptions import CORRUPTIONS
from hw8.data.unseen import UNSEEN

Change = Callable[[np.ndarray], np.ndarray]  # from row numbers (B,) to the changed images of those rows, uint8
FIRST_UNSEEN = 1000  # the unseen kinds' numbers, as seeds: a new common kind does not change what they draw


def corrupt(kind: str, images: Images, rows_B: np.ndarray, pool: np.ndarray, seed: int) -> np.ndarray:
    """The images of `rows_B`, each changed by `kind`, as `images.read` would give them: uint8 (B, side, side, C).

    The whole image is changed before it is cropped, so that runs with other crops meet the same anomalies,
    and a crop that misses one pays for it. Where a second image is needed, it is another row of `pool`, which
    is sorted and holds `rows_B`. A row's change depends on seed, kind and row alone, not on its batch.
    """
    known = kind in CORRUPTIONS
    change = CORRUPTIONS[kind] if known else UNSEEN[kind]
    number = list(CORRUPTIONS).index(kind) if known else FIRST_UNSEEN + list(UNSEEN).index(kind)
    rngs = [np.random.default_rng([seed, number, int(row)]) for row in rows_B]
    partners = np.array([_other(row, pool, rng) for row, rng in zip(rows_B, rngs, strict=True)])
    batch, others = images.read_whole(rows_B), images.read_whole(partners)
    changed = [change(*item) for item in zip(batch, others, rngs, strict=True)]
    return images.cropped(np.stack(changed))


def _other(row: int, pool: np.ndarray, rng: np.random.Generator) -> int:
    """A row of the pool other than `row` (which is in it)."""
    chosen = int(pool[rng.integers(len(pool))])
    return chosen if chosen != row else int(pool[(np.searchsorted(pool, row) + 1) % len(pool)])

"""Which rows stand for many."""

import numpy as np

from hw8.data.alignment import alignment
from hw8.data.arrays import Images
from hw8.data.splits import Splits, evenly_spaced, reference_rows


# splits
def test_every_nth_training_row_is_a_reference():
    for count, step in ((8192, 1), (8193, 2), (20_000, 3)):
        splits = Splits(np.arange(count) + 7, np.arange(0), np.arange(0))
        np.testing.assert_array_equal(reference_rows(splits), np.arange(count)[::step] + 7)


def test_evenly_spaced_rows():
    assert evenly_spaced(np.arange(6) + 10, 4).tolist() == [10, 12, 13, 15]
    assert evenly_spaced(np.arange(3), 4).tolist() == [0, 1, 2]


# alignment
def test_the_shifts_of_images_that_were_not_seen_are_read():
    """Of noise nothing can be read off: R^2 is -.25; a regression that had seen these images would make it .06."""
    noise = np.random.default_rng(0).integers(0, 256, (203, 16, 16, 1), dtype=np.uint8)
    assert alignment(Images(noise), np.arange(203)) < 0


def test_looked_at_spread():
    rows_seen = []

    class Noting(Images):
        def read(self, rows):
            rows_seen.append(rows)
            return super().read(rows)

    noise = np.random.default_rng(0).integers(0, 256, (900, 16, 16, 1), dtype=np.uint8)
    alignment(Noting(noise), np.arange(100, 900))
    assert (rows_seen[0][0], rows_seen[0][-1], len(rows_seen[0])) == (100, 899, 500)

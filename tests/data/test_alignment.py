"""Whether objects lie in one place is seen from the images alone."""

import numpy as np
import pytest

from hw8.data.alignment import ALIGNED, MIN_TO_ALIGN, alignment, is_aligned
from hw8.data.arrays import Images
from hw8.data.demo import demo_images
from tests.unaligned import scattered


@pytest.fixture(scope="module")
def anywhere() -> Images:
    return Images(scattered(300))


def test_objects_in_one_place_are_aligned_and_objects_anywhere_are_not(anywhere):
    rows = np.arange(300)
    assert alignment(Images(demo_images("normal", 300, 0)), rows) > ALIGNED
    assert alignment(anywhere, rows) < 0.1
    assert not is_aligned(anywhere, rows)


def test_grey_images_and_sides_that_are_no_multiple_are_taken():
    grey = demo_images("normal", 250, 1).mean(3, keepdims=True).astype(np.uint8)
    assert is_aligned(Images(grey), np.arange(250))
    assert is_aligned(Images(grey[:, 3:60, 3:60]), np.arange(250))


def test_few_images_say_too_little_and_count_as_aligned(anywhere):
    assert is_aligned(anywhere, np.arange(MIN_TO_ALIGN - 1))
    assert not is_aligned(anywhere, np.arange(MIN_TO_ALIGN))


def test_only_the_rows_that_are_given_count(anywhere):
    both = np.concatenate([demo_images("normal", 250, 0), scattered(250, side=64)])
    assert is_aligned(Images(both), np.arange(250))
    assert not is_aligned(Images(both), np.arange(250, 500))


def test_the_same_images_give_the_same_figure(anywhere):
    assert alignment(anywhere, np.arange(300)) == alignment(anywhere, np.arange(300))

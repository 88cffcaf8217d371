import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hw8.data.arrays import to_pixels
from hw8.data.loader import epoch_batches, mirror_mask, training_batch


@given(st.integers(2, 2000), st.integers(2, 300), st.integers(0, 5))
def test_an_epoch_takes_every_row_once_in_even_batches(count, batch_size, epoch):
    rows = np.arange(100, 100 + count)
    batches = epoch_batches(rows, batch_size, seed=3, epoch=epoch)
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), rows)
    sizes = {len(batch) for batch in batches}
    assert max(sizes) <= batch_size or batch_size == 2
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1


def test_order_follows_seed_and_epoch():
    rows = np.arange(500)
    first = np.concatenate(epoch_batches(rows, 64, 0, 0))
    np.testing.assert_array_equal(np.concatenate(epoch_batches(rows, 64, 0, 0)), first)
    assert (np.concatenate(epoch_batches(rows, 64, 0, 1)) != first).any()
    assert (np.concatenate(epoch_batches(rows, 64, 1, 0)) != first).any()


@pytest.mark.parametrize("flip", [False, True])
def test_flip_mirrors_some_images_and_nothing_else(faces, flip):
    rows = np.arange(40)
    x_NCHW = training_batch(faces, rows, torch.device("cpu"), mirror_mask(40, seed=1, step=2) if flip else None)
    plain = to_pixels(torch.from_numpy(faces.read(rows)))
    kept = (x_NCHW == plain).flatten(1).all(1)
    mirrored = (x_NCHW == plain.flip(3)).flatten(1).all(1)
    assert (kept | mirrored).all()
    assert mirrored.any().item() == flip
    assert kept.any()

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw8.base.errors import InputError
from hw8.config import DataConfig
from hw8.data.splits import split_rows

CALIBRATION = [1, 31, 33, 42, 45]
DEVELOPMENT = [22, 30, 34, 39, 49]


@given(
    st.integers(20, 30_000),
    st.floats(0.01, 0.4),
    st.floats(0.01, 0.4),
    st.integers(1, 500),
    st.integers(0, 2**32 - 1),
)
def test_parts_are_disjoint_and_complete(count, calibration, development, minimum, seed):
    config = DataConfig(
        calibration_share=calibration, development_share=development, held_out_minimum=minimum, split_seed=seed
    )
    for share, part in ((calibration, "calibration"), (development, "development")):
        if (held_out := min(max(round(count * share), min(minimum, count // 5)), 5000)) < 4:
            with pytest.raises(InputError, match=f"^{held_out} images for {part}; at least 4 .* `{part}_share`"):
                split_rows(count, config)
            return
    splits = split_rows(count, config)
    parts = [splits.train, splits.calibration, splits.development]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(count))
    assert all(len(part) > 0 and (np.diff(part) > 0).all() for part in parts)


@pytest.mark.parametrize(
    ("count", "held_out"),
    [(400_000, 5000), (100_000, 5000), (8000, 400), (4000, 200), (1200, 200), (500, 100), (20, 4)],
)
def test_default_sizes(count, held_out):
    splits = split_rows(count, DataConfig())
    assert (len(splits.calibration), len(splits.development)) == (held_out, held_out)


def test_a_cut_made_today_holds_tomorrow():
    splits = split_rows(4000, DataConfig())
    assert splits.calibration[:5].tolist() == CALIBRATION
    assert splits.development[:5].tolist() == DEVELOPMENT


def test_a_part_has_at_most_its_maximum():
    splits = split_rows(1000, DataConfig(calibration_share=0.4, held_out_minimum=10, held_out_maximum=50))
    assert (len(splits.calibration), len(splits.development), len(splits.train)) == (50, 50, 900)
    with pytest.raises(InputError, match="held_out_maximum = 50: must be at least held_out_minimum"):
        DataConfig(held_out_minimum=51, held_out_maximum=50)


def test_seed_changes_the_cut():
    first, second = (split_rows(4000, DataConfig(split_seed=seed)).calibration for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_too_few_images():
    with pytest.raises(InputError, match="19 images; at least 20"):
        split_rows(19, DataConfig())

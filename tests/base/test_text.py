"""Text for a terminal."""

import pytest

from hw8.base.text import aligned, percent, short


def test_columns_are_aligned_also_beside_wide_characters():
    rows = [["kind", "images", "AUC"], ["猫", "1,000", "1.0"], ["dog", "5", "0.95"]]
    assert aligned(rows) == ["kind  images   AUC", "猫     1,000   1.0", "dog        5  0.95"]
    assert aligned(rows, left=2)[2] == "dog   5       0.95"


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (999.2, "999"), (999.7, "1,000"), (18912.3, "18,912"), (-1234.5, "-1,234")]
)
def test_numbers_have_three_digits_and_no_exponent(value, text):
    assert short(value) == text


@pytest.mark.parametrize(("share", "text"), [(-0.001, "0%"), (0.996, "100%"), (-0.02, "-2%")])
def test_no_share_is_minus_nothing(share, text):
    assert percent(share) == text

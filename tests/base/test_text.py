"""Text for a terminal."""

from hw8.base.text import aligned


def test_columns_are_aligned_also_beside_wide_characters():
    rows = [["kind", "images", "AUC"], ["猫", "1,000", "1.0"], ["dog", "5", "0.95"]]
    assert aligned(rows) == ["kind  images   AUC", "猫     1,000   1.0", "dog        5  0.95"]
    assert aligned(rows, left=2)[2] == "dog   5       0.95"

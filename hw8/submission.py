"""The Kaggle file: `ID,score`, every test image once and in order, checked as Kaggle checks it."""

from pathlib import Path

import numpy as np

from hw8.errors import InputError
from hw8.files import written_aside
from hw8.scoring.inference import check_scores
from hw8.tables import ids_in_order, numbers, read_table


def write_submission(path: Path, score_N: np.ndarray) -> None:
    """Write scores in the order of their IDs, then read them back; the file appears whole and valid or not at all.

    Numbers are written so that reading them gives the same float64. Raises InputError for scores that
    are not finite or all the same.
    """
    check_scores(score_N, str(path))
    with written_aside(path) as aside:
        rows = (f"{row},{score!r}" for row, score in enumerate(score_N.astype(float).tolist()))
        aside.write_text("\n".join(["ID,score", *rows]) + "\n", encoding="utf-8")
        if not np.array_equal(read_submission(aside, len(score_N)), score_N):
            raise InputError(f"{path}: what was written does not read back the same; is the disk full or failing?")


def read_submission(path: Path, rows: int | None = None) -> np.ndarray:
    """Scores float64 (N,) of a submission file, in the order of their IDs.

    `rows` is the number of test images, if known. Raises InputError unless the header is `ID,score`, every
    ID from 0 stands once and in order, every score is a finite number, and there are `rows` of them.
    """
    table = read_table(path, ("ID", "score"))
    score_N = numbers(path, table, "score")
    if rows is not None and len(score_N) != rows:
        raise InputError(f"{path}: has {len(score_N):,} rows, but the test set has {rows:,} images")
    order = ids_in_order(path, table)
    moved = order != np.arange(len(order))
    if moved.any():
        raise InputError(f"{path}: line {int(moved.argmax()) + 2}: IDs must rise from 0 in order; sort the rows by ID")
    return score_N


def check_submission(path: Path, rows: int) -> np.ndarray:
    """The scores (rows,) of a submission that is fit to upload.

    Raises InputError if it is not valid, or ranks nothing.
    """
    score_N = read_submission(path, rows)
    check_scores(score_N, str(path))
    return score_N

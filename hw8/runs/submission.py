"""The Kaggle file: `ID,score`, every test image once and in order, checked as Kaggle checks it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hw8.base.errors import InputError
from hw8.base.files import atomic_write, write_table
from hw8.base.tables import ids_in_order, numbers, read_table
from hw8.scoring.tails import check_finite, check_scores


def write_submission(path: Path, score_N: np.ndarray) -> None:
    """Write scores in the order of their IDs, then read them back; the file appears whole and valid or not at all.

    Numbers are written so that reading them gives the same float64. Raises InputError for scores that
    are not finite or all the same.
    """
    check_scores(score_N, str(path))
    with atomic_write(path) as temporary:
        rows = (f"{row},{score!r}" for row, score in enumerate(score_N.astype(float).tolist()))
        temporary.write_text("\n".join(["ID,score", *rows]) + "\n", encoding="utf-8")
        if not np.array_equal(read_submission(temporary, len(score_N)), score_N):
            raise InputError(f"{path}: what was written does not read back the same; is the disk full or failing?")


def read_submission(path: Path, rows: int | None = None) -> np.ndarray:
    """Scores float64 (N,) of a submission file, in the order of their IDs.

    `rows` is the number of test images, if known. Raises InputError unless the header is `ID,score`, every
    ID from 0 stands once and in order, every score is a finite number, and there are `rows` of them.
    """
    table = read_table(path, ("ID", "score"))
    score_N = numbers(path, table, "score")
    if rows is not None and len(score_N) != rows:
        raise InputError(
            f"{path}: has {len(score_N):,} rows, but the test set has {rows:,} images; was another one scored, such as "
            f"the demo's? score the right one, or check it with `rows` {len(score_N)}"
        )
    order = ids_in_order(path, table)
    moved = order != np.arange(len(order))
    if moved.any():
        raise InputError(f"{path}: line {int(moved.argmax()) + 2}: IDs must rise from 0 in order; sort the rows by ID")
    return score_N


def write_part(path: Path, first: int, score_N: np.ndarray, whole: str) -> None:
    """Write the scores of one part of a test set, whose first image is `first`, as `ID,score,whole`.

    `whole` names what it is a part of: the number of images, a dash, and a digest of weights and images. Raises
    InputError for scores that are not finite.
    """
    check_finite(score_N, str(path))
    rows = ((row, score, whole) for row, score in enumerate(score_N.tolist(), first))
    write_table(path, ("ID", "score", "whole"), rows)


def merge_parts(paths: Sequence[Path], out: Path) -> int:
    """Merge the parts of a submission, given in any order; returns the number of rows.

    Raises InputError if a file is not a part or of another run or test set, or an image is missing or in two parts;
    then nothing is written.
    """
    if not paths:
        raise InputError("no parts to merge; give every part once")
    parts, wholes = [], set()
    for path in paths:
        table = read_table(path, ("ID", "score", "whole"))
        ids = numbers(path, table, "ID")
        wholes |= set(table["whole"])
        if len(wholes) > 1:
            raise InputError(f"{path}: is a part of another run or test set than the others; score it again")
        if (ids != ids[0] + np.arange(len(ids))).any() or ids[0] < 0 or ids[0] % 1:
            raise InputError(f"{path}: its IDs must rise one by one; score that part again")
        parts.append((int(ids[0]), path, numbers(path, table, "score")))
    parts.sort(key=lambda part: part[0])
    expected = 0
    for first, path, score_N in parts:
        if first != expected:
            fault = f"IDs {expected} to {first - 1} are missing" if first > expected else f"ID {first} is in two parts"
            raise InputError(f"{path}: {fault}; give every part once")
        expected += len(score_N)
    total = next(iter(wholes)).partition("-")[0]
    if total != str(expected):
        raise InputError(f"{parts[-1][1]}: IDs from {expected} on are missing of {total}; give every part once")
    write_submission(out, np.concatenate([score_N for _, _, score_N in parts]))
    return expected


def check_submission(path: Path, rows: int) -> np.ndarray:
    """The scores (rows,) of a submission fit to be uploaded. Raises InputError if it is not valid or ranks nothing."""
    score_N = read_submission(path, rows)
    check_scores(score_N, str(path))
    return score_N

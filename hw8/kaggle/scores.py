"""The ledger to look at, and Kaggle's scores beside our own figures."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from hw8.base.errors import printable
from hw8.kaggle.drafts import digest
from hw8.kaggle.ledger import Entry

LONGEST = 40  # letters of a message


def listing(entries: Sequence[Entry]) -> str:
    """The ledger as a table, newest last."""
    if not entries:
        return "No submissions yet"
    head = ("date (UTC)", "file", "run", "preset", "held-out", "public", "private", "status", "message")
    rows = [head, *map(_cells, entries)]
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in shown]
    return "\n".join(line.rstrip() for line in lines)


def _cells(entry: Entry) -> tuple[str, ...]:
    message = entry.message if len(entry.message) <= LONGEST else entry.message[: LONGEST - 3] + "..."
    scores = (entry.held_out_auc, entry.public, entry.private)
    return (entry.minute, entry.file, entry.run, entry.preset, *scores, entry.status, message)


def scores_of_run(entries: Sequence[Entry], run: Path) -> tuple[float, float]:
    """Kaggle's public and private score of a run in a comparison (NaN if unknown), from its newest scored entry.

    An entry is the run's if its file is, by digest, the run's scores.csv, or else if it names the run. Raises OSError
    if scores.csv is there and cannot be read.
    """
    scored = [entry for entry in entries if entry.public or entry.private]
    scores = run / "scores.csv"
    own = digest(scores) if scored and scores.exists() else ""
    same = [entry for entry in scored if entry.sha256 == own]
    named = [entry for entry in scored if entry.run and os.path.realpath(entry.run) == os.path.realpath(run)]
    for entry in (same or named)[-1:]:
        return float(entry.public or "nan"), float(entry.private or "nan")
    return math.nan, math.nan

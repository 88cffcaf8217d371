"""Check a submission file as Kaggle does: header, every ID once and in order, finite scores, row count."""

import dataclasses
from pathlib import Path

import tyro

from hw8.commands.parsing import parse


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/check.py."""

    file: tyro.conf.Positional[Path]
    """Submission: ID,score."""
    rows: int = 19_636
    """Images in the test set; the homework's by default."""


def main() -> None:
    """Parse, check and say so."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.runs.submission import check_submission

    score_N = check_submission(arguments.file, arguments.rows)
    print(f"{arguments.file}: valid, {len(score_N):,} scores from {score_N.min():.6g} to {score_N.max():.6g}")

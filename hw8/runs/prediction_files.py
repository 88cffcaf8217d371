"""The files that a prediction writes: the submission, those beside it, and the evidence behind the scores."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hw8.base.errors import InputError
from hw8.base.files import atomic_write, check_replaceable, write_table
from hw8.base.processes import processes
from hw8.runs.scores import RunScores, Scores
from hw8.runs.submission import write_submission
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.tails import benjamini_hochberg

SUBMISSION = "ID,score(,whole)?"  # the first line of a submission, or of a part of one, as a regular expression
# Ends of the names of the files beside a submission.
FILES_SUFFIX, FLAGGED_SUFFIX = ".files.csv", ".flagged.csv"
FIRST_LINES = {".csv": SUBMISSION, FILES_SUFFIX: "file,score,p_value", FLAGGED_SUFFIX: "ID,p_value(,file)?"}

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Discovery:
    """The file of the images flagged at a false discovery rate, and how many there are."""

    rate: float
    path: Path
    count: int


def check_outputs(out: Path, evidence: Path | None, runs: list[Path]) -> None:
    """Raise InputError for files that cannot be written, before anything is scored."""
    if out.suffix != ".csv":
        raise InputError(f"`out` {out}: must end in .csv; the picture goes beside it as .png")
    if evidence is not None and evidence.suffix not in (".csv", ".npz"):
        raise InputError(f"`evidence` {evidence}: must end in .csv or .npz")
    written = {out.with_suffix(suffix): header for suffix, header in FIRST_LINES.items()}
    if evidence is not None and evidence.resolve() in [path.resolve() for path in written]:
        raise InputError(f"`evidence` {evidence}: is the name of another file that is written; choose another")
    if evidence is not None and len(runs) > 1:
        raise InputError(f"`evidence` {evidence}: needs a single `run`; each run has evidence of its own")
    for path, header in written.items():
        check_replaceable(path, "out", header)
    if evidence is not None:
        check_replaceable(evidence, "evidence", "ID,score,p_value.*" if evidence.suffix == ".csv" else "PK.*")


def replace_submission(out: Path, score_N: np.ndarray, rewritten: dict[str, bool]) -> None:
    """Write the submission; files beside it, by their endings, that were made of earlier scores are removed.

    Those that are not `rewritten` are named in the log, as is a submission that held other scores.
    """
    before = out.read_bytes() if out.is_file() else None
    write_submission(out, score_N)
    if before is not None and before != out.read_bytes():
        log.info("%s: replaced; it held other scores", out)
    for suffix, again in rewritten.items() if processes().is_main else ():
        if (stale := out.with_suffix(suffix)).exists():
            stale.unlink()
            if not again:
                log.info("%s: removed, since it was made of the scores that are now replaced", stale)


def write_discoveries(path: Path, p_value_N: np.ndarray, rate: float, names: Sequence[str] | None = None) -> Discovery:
    """Write `ID,p_value` of the images flagged at a false discovery rate, the most anomalous first.

    Where the pictures' names are known, a third column, `file`, has them.
    """
    rows = np.flatnonzero(benjamini_hochberg(p_value_N, rate))
    rows = rows[np.argsort(p_value_N[rows], kind="stable")]
    columns: dict[str, list[Any]] = {"ID": rows.tolist(), "p_value": p_value_N[rows].tolist()}
    if names is not None:
        columns["file"] = [names[row] for row in columns["ID"]]
    write_table(path, list(columns), zip(*columns.values(), strict=True))
    return Discovery(rate, path, len(rows))


def write_files(path: Path, names: Sequence[str], scores: Scores) -> Path:
    """Write `file,score,p_value` of the pictures, the most anomalous first; without p-values that column is empty."""
    rows = np.argsort(-scores.score_N, kind="stable").tolist()
    p_value_N = [""] * len(names) if scores.p_value_N is None else scores.p_value_N.tolist()
    score_N = scores.score_N.tolist()
    write_table(path, ("file", "score", "p_value"), ((names[row], score_N[row], p_value_N[row]) for row in rows))
    return path


def write_evidence(path: Path, trained: TrainedRun, scores: RunScores) -> None:
    """Write the evidence behind the scores, one row per image: score, p_value, and the columns of all evidence.

    As .csv every column has a name of its own; as .npz vectors stay whole, (N, D).
    """
    import pandas as pd

    columns: dict[str, Any] = {"ID": np.arange(len(scores.score_N)), "score": scores.score_N}
    columns["p_value"] = scores.p_value_N
    with atomic_write(path) as temporary:
        if path.suffix == ".npz":
            with temporary.open("wb") as file:
                np.savez_compressed(file, **(columns | dict(scores.table)))
            return
        for name, value in scores.table.items():
            columns |= dict(zip(trained.column_names(name, value), np.reshape(value, (len(value), -1)).T, strict=True))
        pd.DataFrame(columns).to_csv(temporary, index=False)

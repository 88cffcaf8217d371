"""A submission before it is sent: a checked file, its message, and the run that it comes from."""

import contextlib
import hashlib
import json
from pathlib import Path

from hw8.base.errors import InputError
from hw8.base.files import read_text
from hw8.config import RUNS
from hw8.kaggle.client import COMPETITION, check_competition, single_spaced
from hw8.kaggle.ledger import Entry, is_plain

LONGEST_MESSAGE = 500


def draft(file: Path, message: str, rows: int, run: Path | None = None, competition: str = COMPETITION) -> Entry:
    """A submission that is fit to be sent, not in the ledger yet.

    `rows` is the number of test images. `run` is where the file comes from; without it, the run of the file's name in
    runs/, if there is one. Raises InputError for a file, message, run or competition that is not right.
    """
    check_competition(competition)
    text = single_spaced(message)
    # The client's parser would drop a message that is two dashes.
    if not 0 < len(text) <= LONGEST_MESSAGE or not is_plain(text) or text == "--":
        raise InputError(f"`message`: must be 1 to {LONGEST_MESSAGE} letters, no control characters, and not just --")
    if not is_plain(str(file)):
        raise InputError(f"{str(file)!r}: has control characters in its name; rename it")
    from hw8.runs.submission import check_submission  # NumPy's start is not for those who only download

    check_submission(file, rows)
    known = _described(run or _origin(file))
    if run is not None and not known:
        raise InputError(f"`run` {run}: no finished run here (its summary.json is missing or damaged); check the name")
    return Entry("", competition, file.as_posix(), digest(file), text, **known)


def digest(file: Path) -> str:
    """A file's SHA-256 in hexadecimal. Raises OSError."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _origin(file: Path) -> Path:
    """Where a file of this name comes from: predict.py's runs/NAME, or a comparison's own folder of a run."""

    return file.parent if file.name == "scores.csv" else RUNS / file.stem


def _described(run: Path) -> dict[str, str]:
    """A run's path, preset and held-out macro AUC, also of a detector in a comparison; nothing if it does not tell."""
    for name in ("summary.json", "result.json"):
        with contextlib.suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
            found = json.loads(read_text(run / name))
            auc = float(found["held_out"]["macro_auc"] if name == "summary.json" else found["held_out_auc"])
            preset = single_spaced(str(found["preset"]))
            if is_plain(f"{run}{preset}"):
                return {"run": run.as_posix(), "preset": preset, "held_out_auc": f"{auc:.5f}"}
    return {}

"""One submission: the file is checked, the daily allowance observed, the ledger written, the file sent."""

import contextlib
import dataclasses
import hashlib
import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from hw8.base.errors import InputError, Interrupted, command, printable
from hw8.base.files import read_text
from hw8.config import RUNS
from hw8.kaggle.client import COMPETITION, ask, find_client, single_spaced, submit_words
from hw8.kaggle.ledger import FAILED, LEDGER, SENDING, SENT, Entry, Ledger

DAILY_LIMIT = 5  # submissions, by the homework's rules; Kaggle's days begin at 00:00 UTC
MAX_MESSAGE = 500  # characters; chosen by hand, a list of submissions shows fewer


def draft(file: Path, message: str, rows: int, run: Path | None = None, competition: str = COMPETITION) -> Entry:
    """A checked submission that is not in the ledger yet.

    `rows` is the number of test images. `run` is the run that the file comes from; by default the run of the file's
    name in runs/, if there is one. Raises InputError for an invalid file, message, run or competition.
    """
    from hw8.runs.submission import check_submission  # imports NumPy, which a download does without

    text = single_spaced(message)
    # The client's parser drops a message of two dashes.
    if not 0 < len(text) <= MAX_MESSAGE or text == "--":
        raise InputError(f"`message`: must be 1 to {MAX_MESSAGE} characters, and not just --")
    if not f"{text}{file}".isprintable():
        raise InputError("the `message` and the name of the file must be of printable characters; change them")
    check_submission(file, rows)
    # A comparison writes scores.csv into the run's own folder; predict.py writes submissions/NAME.csv.
    origin = run or (file.parent if file.name == "scores.csv" else RUNS / file.stem)
    described = _described(origin)
    if run is not None and not described:
        raise InputError(f"`run` {run}: no finished run here (its summary.json is missing or damaged); check the name")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return Entry("", competition, file.as_posix(), sha256, text, **described)


def _described(run: Path) -> dict[str, str]:
    """The path, preset and held-out macro AUC of a run, or of a row of a comparison; empty if they are not there."""
    for name in ("summary.json", "result.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            values = json.loads(read_text(run / name))
            auc = float(values["held_out"]["macro_auc"] if name == "summary.json" else values["held_out_auc"])
            return {"run": run.as_posix(), "preset": str(values["preset"]), "held_out_auc": f"{auc:.5f}"}
    return {}


def budget(entries: Sequence[Entry], competition: str, now: datetime) -> str:
    """The used part of today's submissions, in words."""
    used = len(_used_today(entries, competition, now))
    return f"{used} of {DAILY_LIMIT} submissions used today ({now.astimezone(UTC):%Y-%m-%d} UTC) by the ledger"


def check_budget(entries: Sequence[Entry], competition: str, now: datetime, force: bool) -> None:
    """Raise InputError if today's submissions are used, unless `force`."""
    used = _used_today(entries, competition, now)
    if len(used) < DAILY_LIMIT or force:
        return
    time = now.astimezone(UTC)
    minutes = 24 * 60 - (time.hour * 60 + time.minute)
    unfinished = sum(entry.status == SENDING for entry in used)
    note = f" ({unfinished} of them unfinished: `refresh` may free them)" if unfinished else ""
    raise InputError(
        f"{competition}: {budget(entries, competition, now)}{note}; wait {minutes // 60} h {minutes % 60} min for "
        "00:00 UTC, or add `force`"
    )


def _used_today(entries: Sequence[Entry], competition: str, now: datetime) -> list[Entry]:
    """The entries that count for today's limit: all whose sending began this day in UTC, except those that failed."""
    today = now.astimezone(UTC).date()
    counted = [entry for entry in entries if entry.competition == competition and entry.status != FAILED]
    return [entry for entry in counted if entry.when.date() == today]


def warnings(entries: Sequence[Entry], new: Entry) -> list[str]:
    """Lines about the same file submitted before, and about uploads whose end is not known."""
    earlier = [entry for entry in entries if entry.competition == new.competition]
    same = [entry for entry in earlier if entry.sha256 == new.sha256 and entry.status != FAILED]
    return [
        f"{new.file}: the same file was submitted on {entry.minute} as {printable(entry.file)}" for entry in same[-1:]
    ] + [
        f"{printable(entry.file)} of {entry.minute}: is still being sent, or never finished; counted until `refresh`"
        for entry in earlier
        if entry.status == SENDING
    ]


def submit(new: Entry, ledger: Ledger, seconds: float, force: bool = False, now: datetime | None = None) -> str:
    """Send a draft and return Kaggle's answer. The ledger holds it before the upload begins.

    Raises InputError if today's submissions are used (unless `force`), without a client, and for any answer but
    success: the ledger then counts the submission unless it surely did not arrive. Raises Interrupted on Ctrl-C.
    """
    client = find_client()
    with ledger.changing() as entries:
        moment = (now or datetime.now(UTC)).astimezone(UTC)
        check_budget(entries, new.competition, moment, force)
        entry = dataclasses.replace(new, date=moment.isoformat(timespec="microseconds"), status=SENDING)
        entries.append(entry)
    refresh = command("submit", *refresh_options(entry.competition, ledger))
    unknown = f"it may have arrived and is counted; {refresh} shows whether it did"
    try:
        answer = ask(client, submit_words(entry.competition, Path(entry.file), entry.message), seconds)
    except subprocess.TimeoutExpired:
        raise InputError(f"{new.file}: no answer in {seconds:g} seconds (`timeout`); {unknown}") from None
    except KeyboardInterrupt:
        raise Interrupted(f"{new.file}: stopped while it was sent; {unknown}") from None
    if success := answer.success():
        _settle(entry, SENT, ledger, "was submitted")
        return success
    if refusal := answer.refusal(new.competition):
        _settle(entry, FAILED, ledger, f"not submitted: {refusal}")
        raise InputError(f"{new.file}: not submitted: {refusal}")
    raise InputError(f"{new.file}: kaggle ended with code {answer.code} ({answer.last_line()}); {unknown}")


def refresh_options(competition: str, ledger: Ledger) -> list[str]:
    """The words of `hw8 submit` that ask Kaggle for the scores in a ledger."""
    words = ["--refresh"]
    words += [] if competition == COMPETITION else ["--competition", competition]
    return words + ([] if ledger.path == LEDGER else ["--ledger", str(ledger.path)])


def _settle(sent: Entry, status: str, ledger: Ledger, outcome: str) -> None:
    """Write how the upload ended. Raises InputError, with the `outcome`, if the ledger cannot be written."""
    try:
        with ledger.changing() as entries:
            for place, entry in enumerate(entries):
                # A refresh in another process may have been here: a score stays, "in no list yet" does not.
                if entry.date == sent.date and entry.status in (SENDING, FAILED):
                    entries[place] = dataclasses.replace(entry, status=status)
    except InputError as error:
        raise InputError(f"{sent.file}: {outcome}; but the ledger still has it as {SENDING}: {error}") from None

"""Kaggle's scores: fetched into the ledger, listed, and looked up for a run."""

import csv
import dataclasses
import hashlib
import io
import math
import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hw8.base.errors import InputError, printable
from hw8.base.text import aligned
from hw8.kaggle.client import PAGE_SIZE, ask, find_client, refresh_words, single_spaced
from hw8.kaggle.ledger import COMPLETE, ERROR, FAILED, SENDING, SENT, Entry, Ledger, as_score

# An upload is in Kaggle's list at once; what is not there after this time did not arrive. Chosen by hand: well above
# the default time limit of five minutes, and short enough to free a submission on the same day.
LOST_AFTER = timedelta(hours=1)
# Kaggle's time of a submission differs from ours by the upload and by how wrong our clock is: a day covers a clock that
# is set to another zone. With more, an old submission of the same name and message could be taken for a lost one.
SAME_WITHIN = timedelta(days=1)
PRINTED_MESSAGE = 40  # characters printed of a message; with more the table gets too wide for most terminals


def refresh(ledger: Ledger, competition: str, seconds: float, now: datetime | None = None) -> list[str]:
    """Ask for the list of submissions and put the scores into the ledger; return lines about what changed.

    An entry that was being sent and is not in the list is set to failed once it is an hour old. Raises InputError if
    the client gives no list, and for a ledger that is damaged or cannot be written, which is then left unchanged.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    listed = read_list(_fetch_list(competition, seconds), competition)
    elsewhere = 0
    with ledger.changing() as entries:
        before = list(entries)
        for item in listed:
            place = find_entry(entries, item)
            if place is not None:
                entry = entries[place]
                scores = {"public": item.public or entry.public, "private": item.private or entry.private}
                entries[place] = dataclasses.replace(entry, status=item.status, ref=item.ref, **scores)
            elif item.when.date() == moment.date():
                elsewhere += 1
        oldest = min(item.when for item in listed) if len(listed) >= PAGE_SIZE else None
        for place, entry in enumerate(entries):
            overdue = entry.when < moment - LOST_AFTER and (oldest is None or entry.when > oldest)
            if entry.competition == competition and entry.status == SENDING and overdue:
                entries[place] = dataclasses.replace(entry, status=FAILED)
        changed = [new for old, new in zip(before, entries, strict=True) if old != new]
    lines = [
        f"{printable(entry.file)} of {entry.minute}: {entry.status}, public {entry.public or '-'}, "
        f"private {entry.private or '-'}"
        for entry in changed
    ]
    if elsewhere:
        lines.append(f"{elsewhere} of today's submissions were made elsewhere: Kaggle counts them, the ledger does not")
    return lines or ["nothing new"]


def _fetch_list(competition: str, seconds: float) -> str:
    """What the client prints when it is asked for the list of submissions. Raises InputError."""
    try:
        answer = ask(find_client(), refresh_words(competition), seconds)
    except subprocess.TimeoutExpired:
        raise InputError(f"{competition}: no list in {seconds:g} seconds (`timeout`); try again") from None
    if answer.code != 0:
        unknown = f"kaggle ended with code {answer.code} ({answer.last_line()}); try again"
        raise InputError(f"{competition}: no list of submissions: {answer.refusal(competition) or unknown}")
    return answer.output


def read_list(text: str, competition: str) -> list[Entry]:
    """The submissions in what the client printed, as entries without digest and run: CSV, perhaps after warnings.

    Raises InputError if there is no list in it.
    """
    if text.strip().endswith("No submissions found"):
        return []
    try:
        table = csv.DictReader(io.StringIO(text[text.index("ref,fileName,") :], newline=""), restval="")
        return [
            Entry(
                date=datetime.fromisoformat(row["date"]).replace(tzinfo=UTC).isoformat(),  # UTC, without saying so
                competition=competition,
                file=row["fileName"],
                sha256="",
                message=single_spaced(row["description"]),
                status={"COMPLETE": COMPLETE, "ERROR": ERROR}.get(row["status"].rpartition(".")[2], SENT),
                public=as_score(row["publicScore"]),
                private=as_score(row["privateScore"]),
                ref=row["ref"],
            )
            for row in table
        ]
    except (ValueError, KeyError, csv.Error):
        raise InputError("kaggle printed no list of submissions; pip install --upgrade kaggle") from None


def find_entry(entries: Sequence[Entry], item: Entry) -> int | None:
    """The index of the entry that is this submission of Kaggle's list, or None.

    It is the one with Kaggle's number, else the nearest in time of those with the same file name and message.
    """
    candidates = {}
    for place, entry in enumerate(entries):
        if item.ref and entry.ref == item.ref:
            return place
        same_text = (Path(entry.file).name, entry.message) == (item.file, item.message)
        distance = abs(entry.when - item.when)
        unmatched = not entry.ref and entry.status != FAILED and entry.competition == item.competition
        if same_text and unmatched and distance < SAME_WITHIN:
            candidates[place] = distance
    return min(candidates, key=candidates.__getitem__, default=None)


def listing(entries: Sequence[Entry]) -> str:
    """The ledger as a table, newest last."""
    if not entries:
        return "No submissions yet"
    rows = [("date (UTC)", "file", "run", "preset", "held-out", "public", "private", "status", "message")]
    for entry in entries:
        message = entry.message
        if len(message) > PRINTED_MESSAGE:
            message = f"{message[: PRINTED_MESSAGE - 3]}..."
        scores = (entry.held_out_auc, entry.public, entry.private)
        rows.append((entry.minute, entry.file, entry.run, entry.preset, *scores, entry.status, message))
    return "\n".join(aligned([[printable(cell) for cell in row] for row in rows], left=len(rows[0])))


def scores_of_run(entries: Sequence[Entry], run: Path) -> tuple[float, float]:
    """Kaggle's public and private score of a run in a comparison (NaN if unknown), from its newest scored entry.

    An entry belongs to the run if its file has the digest of the run's scores.csv, else if it names the run. Raises
    OSError if scores.csv cannot be read.
    """
    scored = [entry for entry in entries if entry.public or entry.private]
    scores = run / "scores.csv"
    sha256 = hashlib.sha256(scores.read_bytes()).hexdigest() if scored and scores.exists() else ""
    by_file = [entry for entry in scored if sha256 and entry.sha256 == sha256]
    by_name = [entry for entry in scored if entry.run and os.path.realpath(entry.run) == os.path.realpath(run)]
    for entry in (by_file or by_name)[-1:]:
        return float(entry.public or "nan"), float(entry.private or "nan")
    return math.nan, math.nan

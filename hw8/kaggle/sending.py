"""Sending a draft: the ledger has it before the upload begins, and learns how it ended."""

import contextlib
import dataclasses
import logging
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hw8.base.errors import InputError, Interrupted, command
from hw8.kaggle.allowance import check_budget
from hw8.kaggle.client import ask, find_client, submit_words
from hw8.kaggle.drafts import digest
from hw8.kaggle.ledger import FAILED, SENDING, SENT, Entry, Ledger

log = logging.getLogger(__name__)


def submit(new: Entry, ledger: Ledger, seconds: float, force: bool = False, now: datetime | None = None) -> str:
    """Send a draft, and return Kaggle's answer; the ledger has it before the upload begins.

    Raises InputError for a sixth of the day (unless `force`), without a client, and for whatever the client says but
    success; the ledger then counts it unless it surely did not arrive. Interrupted likewise.
    """
    client = find_client()
    entry = _entered(new, ledger, force, now or datetime.now(UTC))
    try:
        answer = ask(client, submit_words(entry.competition, Path(entry.file), entry.message), seconds)
    except subprocess.TimeoutExpired:
        raise InputError(f"{new.file}: no answer in {seconds:g} seconds (`timeout`); {_unknown()}") from None
    except KeyboardInterrupt:
        raise Interrupted(f"{new.file}: stopped while it was sent; {_unknown()}") from None
    except InputError as error:
        _settle(entry, FAILED, ledger, f"not submitted: {error}")
        raise
    if success := answer.success():
        _settle(entry, SENT, ledger, "was submitted")
        _check_unchanged(entry)
        return success
    if refusal := answer.refusal(new.competition):
        _settle(entry, FAILED, ledger, f"not submitted: {refusal}")
        raise InputError(f"{new.file}: not submitted: {refusal}")
    raise InputError(f"{new.file}: kaggle ended with code {answer.code} ({answer.last()}); {_unknown()}")


def _unknown() -> str:
    return f"it may have arrived and is counted; {command('submit', '--refresh')} tells"


def _entered(new: Entry, ledger: Ledger, force: bool, now: datetime) -> Entry:
    """Write the draft into the ledger as being sent. Raises InputError if today's submissions are used."""
    moment = now.astimezone(UTC)
    with ledger.changing() as entries:
        check_budget(entries, new.competition, moment, force)
        while any(entry.when == moment for entry in entries):
            moment += timedelta(microseconds=1)
        entry = dataclasses.replace(new, date=moment.isoformat(timespec="microseconds"), status=SENDING)
        entries.append(entry)
    return entry


def _settle(entry: Entry, status: str, ledger: Ledger, what: str) -> None:
    """Write down how it ended. Raises InputError, which tells what that was, if it cannot be written."""
    try:
        ledger.settle(entry, status)
    except InputError as error:
        raise InputError(f"{entry.file}: {what}; but the ledger still has it as {SENDING}: {error}") from None


def _check_unchanged(entry: Entry) -> None:
    with contextlib.suppress(OSError):
        if digest(Path(entry.file)) != entry.sha256:
            log.warning("Warning:  %s: was changed while it was sent; see what it scores", entry.file)

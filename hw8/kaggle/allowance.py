"""Five submissions a day: what the ledger counts of them, and what one would regret to spend one on."""

from collections.abc import Sequence
from datetime import UTC, datetime

from hw8.base.errors import InputError, printable
from hw8.kaggle.ledger import FAILED, SENDING, Entry

A_DAY = 5  # submissions, by the homework's rules; Kaggle's days are UTC


def used_today(entries: Sequence[Entry], competition: str, now: datetime) -> list[Entry]:
    """What counts of today's five: everything of this day in UTC but what surely failed.

    The day is that in which sending began, by this machine's clock; for an upload over midnight Kaggle's may be the
    next, and Kaggle has the last word.
    """
    today = now.astimezone(UTC).date()
    mine = [entry for entry in entries if entry.competition == competition and entry.status != FAILED]
    return [entry for entry in mine if entry.when.date() == today]


def budget(entries: Sequence[Entry], competition: str, now: datetime) -> str:
    """Today's budget in words."""
    used = len(used_today(entries, competition, now))
    return f"{used} of {A_DAY} submissions used today ({now.astimezone(UTC):%Y-%m-%d} UTC) by the ledger"


def check_budget(entries: Sequence[Entry], competition: str, now: datetime, force: bool) -> None:
    """Raise InputError if today's submissions are used, unless `force`."""
    used = used_today(entries, competition, now)
    if len(used) < A_DAY or force:
        return
    day = now.astimezone(UTC)
    minutes = 24 * 60 - (day.hour * 60 + day.minute)
    unsure = sum(entry.status == SENDING for entry in used)
    note = f" ({unsure} of them unfinished: `refresh` may free them)" if unsure else ""
    raise InputError(
        f"{competition}: {budget(entries, competition, now)}{note}; wait {minutes // 60} h {minutes % 60} min for "
        "00:00 UTC, or add `force`"
    )


def warnings(entries: Sequence[Entry], new: Entry) -> list[str]:
    """Lines about what one would regret: the same file again, and uploads of which nobody knows how they ended."""
    mine = [entry for entry in entries if entry.competition == new.competition]
    same = [entry for entry in mine if entry.sha256 == new.sha256 and entry.status != FAILED]
    return [
        f"{new.file}: the same file was submitted on {entry.minute} as {printable(entry.file)}" for entry in same[-1:]
    ] + [
        f"{printable(entry.file)} of {entry.minute}: is still being sent, or never finished; counted until `refresh`"
        for entry in mine
        if entry.status == SENDING
    ]

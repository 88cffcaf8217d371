"""Asking Kaggle what came of the submissions, and writing it into the ledger."""

import dataclasses
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hw8.base.errors import InputError, printable
from hw8.kaggle.client import Answer, ask, check_competition, find_client, refresh_words
from hw8.kaggle.ledger import COMPLETE, ERROR, FAILED, SENDING, SENT, Entry, Ledger
from hw8.kaggle.listed import Listed, read_list
from hw8.kaggle.matching import WINDOW, match, same_words

SHORT_PAGE = 20  # what clients before 2.0 list, and Kaggle by default
SKEW = timedelta(days=1)  # the most by which a clock set to another zone is wrong


def refresh(ledger: Ledger, competition: str, seconds: float, now: datetime | None = None) -> list[str]:
    """Ask for the list of submissions and put scores into the ledger; returns lines that say what changed.

    An entry that was being sent and is not in the list is set to failed, once it is an hour old; one that may be in it
    at another hour is left alone and told. Raises InputError if the client does not give the list, and for a ledger
    that is damaged or cannot be written, which is then left as it is.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    listed = read_list(_ask_for_list(competition, seconds).output)
    with ledger.changing() as entries:
        before = list(entries)
        found = match(entries, listed, competition)
        for place, number in found.items():
            entries[place] = _updated(entries[place], listed[number])
        strangers = [item for number, item in enumerate(listed) if number not in found.values()]
        lines = []
        for place, entry in enumerate(entries):
            if place in found or entry.competition != competition or entry.status not in (SENDING, SENT):
                continue
            if twin := _twin(entry, strangers):
                lines.append(
                    f"{printable(entry.file)} of {entry.minute}: Kaggle lists its name and message, but of {twin}; is "
                    "this machine's clock right?"
                )
            elif entry.status == SENDING and entry.when < moment - WINDOW and _reaches(listed, entry.when):
                entries[place] = dataclasses.replace(entry, status=FAILED)
        changed = [new for old, new in zip(before, entries, strict=True) if old != new]
    return [*map(_told, changed), *lines, *_elsewhere(strangers, moment)] or ["nothing new"]


def _ask_for_list(competition: str, seconds: float) -> Answer:
    """The client's list of submissions, of a client of any version. Raises InputError."""
    check_competition(competition)
    client = find_client()
    try:
        answer = ask(client, refresh_words(competition, paged=True), seconds)
        if answer.code == 2 and "page-size" in answer.words:
            answer = ask(client, refresh_words(competition, paged=False), seconds)
    except subprocess.TimeoutExpired:
        raise InputError(f"{competition}: no list in {seconds:g} seconds (`timeout`); try again") from None
    if answer.code != 0:
        reason = answer.refusal(competition) or f"kaggle ended with code {answer.code} ({answer.last()}); try again"
        raise InputError(f"{competition}: no list of submissions: {reason}")
    return answer


def _updated(entry: Entry, item: Listed) -> Entry:
    """The entry with what Kaggle says; what it does not say any more is kept."""
    said = COMPLETE if item.status is None and item.public else item.status
    status = said if said in (COMPLETE, ERROR) else entry.status if entry.status in (COMPLETE, ERROR) else SENT
    return dataclasses.replace(
        entry,
        status=status,
        public=item.public or entry.public,
        private=item.private or entry.private,
        ref=item.ref or entry.ref,
    )


def _twin(entry: Entry, strangers: Sequence[Listed]) -> str:
    """When Kaggle took what may be this entry if a clock is wrong by hours; nothing if there is no such thing."""
    dates = [item.date for item in strangers if item.date is not None and same_words(entry, item)]
    return next((f"{date:%Y-%m-%d %H:%M} UTC" for date in dates if abs(date - entry.when) < SKEW), "")


def _reaches(listed: Sequence[Listed], when: datetime) -> bool:
    """Whether the list goes back far enough to hold what was sent then."""
    dates = [item.date for item in listed if item.date is not None]
    return len(dates) == len(listed) and (len(listed) < SHORT_PAGE or min(dates) < when)


def _told(entry: Entry) -> str:
    scores = f"public {entry.public or '-'}, private {entry.private or '-'}"
    return f"{printable(entry.file)} of {entry.minute}: {entry.status}, {scores}"


def _elsewhere(strangers: Sequence[Listed], now: datetime) -> list[str]:
    """A line about those of today's submissions that the ledger does not have, if there are any."""
    count = sum(item.date is not None and item.date.date() == now.date() for item in strangers)
    return [f"{count} of today's submissions were made elsewhere: Kaggle counts them, the ledger does not"][:count]

"""Which submission of Kaggle's list is which of the ledger's."""

import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from hw8.kaggle.ledger import FAILED, Entry
from hw8.kaggle.listed import Listed

WINDOW = timedelta(hours=1)  # between our clock before an upload and Kaggle's after it


def match(entries: Sequence[Entry], listed: Sequence[Listed], competition: str) -> dict[int, int]:
    """Which entry is which of the listed, by place: by Kaggle's number, else by file name, message and nearest time.

    Without a date only what can be nothing else is matched.
    """
    pairs: list[tuple[float, int, int]] = []
    for place, entry in enumerate(entries):
        for number, item in enumerate(listed):
            if entry.competition == competition and (apart := _apart(entry, item)) is not None:
                pairs.append((apart, place, number))
    found: dict[int, int] = {}
    for apart, place, number in sorted(pairs):
        taken = place in found or number in found.values()
        if not taken and (apart < math.inf or _only(pairs, place, number)):
            found[place] = number
    return found


def same_words(entry: Entry, item: Listed) -> bool:
    """Whether these have one file name and message, as far as the client told them."""
    told = item.name is not None or item.message is not None
    return told and item.name in (None, Path(entry.file).name) and item.message in (None, entry.message)


def _only(pairs: Sequence[tuple[float, int, int]], place: int, number: int) -> bool:
    """Whether these two have no other choice among what has no date."""
    return sum(apart == math.inf and (one == place or other == number) for apart, one, other in pairs) == 1


def _apart(entry: Entry, item: Listed) -> float | None:
    """Seconds between an entry and a listed submission; infinity if unknown; None if they are not the same."""
    if entry.ref and item.ref:
        return -1.0 if entry.ref == item.ref else None
    if not same_words(entry, item):
        return None
    if item.date is None:
        return math.inf
    apart = abs(item.date - entry.when)
    if apart > WINDOW:
        return None
    # What counts as failed may have arrived all the same, but only if it is nothing else's.
    return (apart + WINDOW * (entry.status == FAILED)).total_seconds()

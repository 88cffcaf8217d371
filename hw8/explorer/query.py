"""Which images the explorer's page asks for."""

import dataclasses

import numpy as np

from hw8.base.errors import InputError
from hw8.data.labels import Labels

FILTERS = {
    "all": "all images",
    "flagged": "flagged",
    "unflagged": "not flagged",
    "false_alarms": "false alarms",
    "misses": "misses",
    "only_here": "flagged by {here} only",
    "only_there": "flagged by {there} only",
}


@dataclasses.dataclass(frozen=True)
class Query:
    """Which images, in which order: by a score of a run (0 or 1), flagged above a threshold (None: at p <= .05).

    `show` is one of FILTERS, `kind` a kind of the labels (empty: all), and `text` an ID or a part of a file's name.
    """

    run: int = 0
    by: str = "score"
    ascending: bool = False
    show: str = "all"
    kind: str = ""
    text: str = ""
    above: float | None = None


def filters(labels: Labels | None, here: str, there: str | None) -> dict[str, str]:
    """What of FILTERS there is to be shown of the run `here`: mistakes need labels, and a comparison another run."""
    missing = {"false_alarms", "misses"} if labels is None else set()
    missing |= {"only_here", "only_there"} if there is None else set()
    return {name: text.format(here=here, there=there) for name, text in FILTERS.items() if name not in missing}


def matches(
    query: Query, flagged_N: np.ndarray, other_N: np.ndarray, labels: Labels | None, names: list[str] | None
) -> np.ndarray:
    """Which images a query asks for, bool (N,), given which are flagged by its run and by the other.

    Raises InputError if `show` is not among FILTERS.
    """
    label_N = np.full(len(flagged_N), -1) if labels is None else labels.label_N
    masks = {
        "all": np.ones(len(flagged_N), bool), "flagged": flagged_N, "unflagged": ~flagged_N,
        "false_alarms": flagged_N & (label_N == 0), "misses": ~flagged_N & (label_N == 1),
        "only_here": flagged_N & ~other_N, "only_there": other_N & ~flagged_N,
    }  # fmt: skip
    if query.show not in masks:
        raise InputError(f"{query.show!r} cannot be shown; there are {', '.join(FILTERS)}")
    match_N: np.ndarray = masks[query.show]
    if query.kind:
        match_N = match_N & (np.zeros(len(match_N), bool) if labels is None else labels.kind_N == query.kind)
    text = query.text.strip().lower().removeprefix("#")  # as a card writes an ID
    if not text:
        return match_N
    named_N = np.array([text in name.lower() for name in names or [""] * len(match_N)])
    if text.isascii() and text.isdigit() and int(text) < len(named_N):
        named_N[int(text)] = True
    return match_N & named_N

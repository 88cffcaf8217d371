"""Images on which two methods disagree: found by one, missed by the other."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from hw8.data.labels import Labels
from hw8.scoring.tails import ALPHA

PAIRED = 6  # methods, the best first: every two of them have their images on the page, either way
# Images over all pairs, and of one pair at most. Chosen by hand: each is shown under both methods, in some 5 kB.
SHOWN, MAX_IMAGES = 240, 48
BUDGET = ALPHA  # of the normal test images, the share that each method may flag


def disagreements(scores: Sequence[np.ndarray], labels: Labels | None) -> dict[str, Any]:
    """For every two methods, of scores (N,) each, the images flagged by one and not by the other, the clearest first.

    Each method gets the same budget of false alarms: it flags what scores above all but a twentieth of the normal test
    images, so that none looks better for flagging more, and methods without p-values can be compared. With labels only
    anomalies count; without, each method flags a twentieth of the images. `flagged` counts the images that each flags.
    """
    total = len(scores[0]) if scores else 0
    flagged = [_within_budget(score_N, labels) for score_N in scores]
    places = [np.argsort(np.argsort(-score_N, kind="stable"), kind="stable") for score_N in scores]
    counted_N = np.ones(total, bool) if labels is None else labels.label_N == 1
    orders = list(itertools.permutations(range(len(scores)), 2))
    most = min(MAX_IMAGES, SHOWN // max(1, len(orders)))
    pairs = []
    for found_by, missed_by in orders:
        rows = np.flatnonzero(flagged[found_by] & ~flagged[missed_by] & counted_N)
        gap = places[found_by][rows] - places[missed_by][rows]
        clearest = rows[np.argsort(gap, kind="stable")][:most].tolist()
        pairs.append({"found_by": found_by, "missed_by": missed_by, "total": len(rows), "rows": clearest})
    counts = [int(flagged_N.sum()) for flagged_N in flagged]
    return {"flagged": counts, "labelled": labels is not None, "pairs": pairs}


def _within_budget(score_N: np.ndarray, labels: Labels | None) -> np.ndarray:
    """Which images score above all but a twentieth of the normal ones or, without labels, of all: bool (N,)."""
    if labels is None:
        falling_N = np.append(np.sort(score_N)[::-1], -np.inf)
        flagged_N: np.ndarray = score_N > falling_N[int(np.ceil(BUDGET * len(score_N)))]
    else:
        falling_M = np.sort(score_N[labels.label_N == 0])[::-1]
        flagged_N = score_N > falling_M[int(BUDGET * len(falling_M))]
    return flagged_N

"""Images on which two methods disagree: found by one, missed by the other."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from hw8.data.labels import Labels

PAIRED = 6  # methods, the best first: every two of them have their images on the page, either way
# Images over all pairs, and of one pair at most. Chosen by hand: each is shown under both methods, in some 5 kB.
SHOWN, MOST = 240, 48
UNLABELLED = 0.05  # share of the images that each method flags where no labels say how many anomalies there are


def disagreements(scores: Sequence[np.ndarray], labels: Labels | None) -> dict[str, Any]:
    """For every two methods, of scores (N,) each, the images flagged by one and not by the other, the clearest first.

    Each method flags as many images as there are anomalies, those with its highest scores, so that none looks better
    for flagging more, and methods without p-values can be compared. With labels only anomalies count; without, each
    method flags a twentieth of the images.
    """
    total = len(scores[0]) if scores else 0
    count = int(np.ceil(UNLABELLED * total)) if labels is None else int(labels.label_N.sum())
    places = [np.argsort(np.argsort(-score_N, kind="stable"), kind="stable") for score_N in scores]
    pairs = list(itertools.permutations(range(len(scores)), 2))
    most = min(MOST, SHOWN // max(1, len(pairs)))
    counted_N = np.ones(total, bool) if labels is None else labels.label_N == 1
    of = []
    for a, b in pairs:
        rows = np.flatnonzero((places[a] < count) & (places[b] >= count) & counted_N)
        clearest = rows[np.argsort(places[a][rows] - places[b][rows], kind="stable")][:most]
        of.append({"by": a, "not": b, "total": len(rows), "ids": clearest.tolist()})
    return {"flagged": count, "labelled": labels is not None, "of": of}

"""What would be flagged at another threshold: the numbers behind the slider below the histogram of the scores."""

from typing import Any

import numpy as np

from hw8.data.labels import Labels
from hw8.report.plots import groups_of, score_edges
from hw8.scoring.tails import conformal

STEPS = 200  # of the slider, evenly over the histogram: two or three pixels of a laptop's screen each


def thresholds(
    score_N: np.ndarray, labels: Labels | None, normal_C: np.ndarray | None, threshold: float | None
) -> dict[str, Any]:
    """For each of 200 rising thresholds, its p-value and how many images of each group score above it.

    `normal_C` are the calibration scores behind the p-values, None where there are none. `threshold` is that of
    p <= .05, at which the slider starts; without one it starts at the highest score, and flags none.
    """
    groups = groups_of(score_N, labels)
    edges, _ = score_edges(score_N, STEPS, threshold)
    first = float(score_N.max()) if threshold is None else threshold
    threshold_T = np.unique([*edges, first])
    p_value_T = None if normal_C is None else p_values_above(normal_C, threshold_T)
    normal = set() if labels is None else set(labels.kind_N[labels.label_N == 0])
    return {
        "threshold": threshold_T.tolist(),
        "p": None if p_value_T is None else p_value_T.round(5).tolist(),
        "start": int(np.searchsorted(threshold_T, first)),
        "groups": [
            {
                "name": name, "normal": name in normal, "count": len(group),
                "flagged": counts_above(group, threshold_T).tolist(),
            }
            for name, group in groups.items()
        ],
        "labelled": labels is not None,
    }  # fmt: skip


def counts_above(score_N: np.ndarray, threshold_T: np.ndarray) -> np.ndarray:
    """How many of the scores lie above each threshold: (T,)."""
    counts_T: np.ndarray = len(score_N) - np.searchsorted(np.sort(score_N), threshold_T, side="right")
    return counts_T


def p_values_above(normal_C: np.ndarray, threshold_T: np.ndarray) -> np.ndarray:
    """p-values (T,) of scores just above each threshold, by calibration scores (C,).

    At the threshold itself the calibration image that set it would count.
    """
    return conformal(normal_C, np.nextafter(threshold_T, np.inf))

"""What would be flagged at another threshold: the numbers behind the slider below a histogram of scores."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from hw8.scoring.tails import conformal

# Places of the slider, a pixel or two each on a phone; a multiple of BINS in explorer_threshold.js.
SLIDER_STEPS = 240


def thresholds(
    score_by_group: Mapping[str, np.ndarray],
    normal_groups: Collection[str],
    normal_C: np.ndarray | None,
    threshold: float | None,
) -> dict[str, Any]:
    """Rising thresholds to choose from, their p-values, and how many images of each group score above each of them.

    They lie evenly between the lowest score and the 99th percentile, beyond which a few scores would press the rest
    together; the one nearest to `threshold`, that of p <= .05, is exactly that, and its place is the `default`. Without
    one they end at the highest score, which flags none. `normal_C` are the calibration scores behind the p-values.
    """
    score_N = np.concatenate([*score_by_group.values()])
    low, high = score_N.min(), max(np.quantile(score_N, 0.99), score_N.max() if threshold is None else threshold)
    above_T = np.linspace(low, high if high > low else low + 1, SLIDER_STEPS + 1)
    place = None if threshold is None else int(np.abs(above_T - threshold).argmin())
    if place is not None:
        above_T[place] = threshold
    return {
        "thresholds": above_T.tolist(),
        "default": place,
        "p": None if normal_C is None else p_values_above(normal_C, above_T).tolist(),
        "groups": [
            {
                "name": name, "normal": name in normal_groups, "total": len(group_N),
                "above": counts_above(group_N, above_T).tolist(),
            }
            for name, group_N in score_by_group.items()
        ],
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

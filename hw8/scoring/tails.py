"""Scores of unlike units in one: how improbable they are for a normal image, in nats."""

import dataclasses

import numpy as np

from hw8.base.errors import InputError

BODY = 0.9
# The tail's mean excess, in robust standard deviations of the normals, at the least. An exponential's is 1.2 and a
# normal's .47 of them; only ties, or a tail cut off short, come below a tenth, and would make any excess absurd.
LEAST_EXCESS = 0.1


@dataclasses.dataclass(frozen=True)
class Tail:
    """-log p of normal images at each different score, with an exponential tail over the upper tenth (Pickands 1975).

    Empirical p-values end at 1 / (C + 1), and whatever lies beyond would be equally strange; the tail goes on.
    `value_U` are the different scores up to the tail, rising, and `nats_U` what they are worth; beyond the last of them
    the nats rise by 1 for each `excess`.
    """

    value_U: np.ndarray
    nats_U: np.ndarray
    excess: float

    @classmethod
    def fit(cls, score_C: np.ndarray) -> "Tail":
        """Learn from the scores of normal images (C,)."""
        return cls._of_sorted(np.sort(np.asarray(score_C, np.float64)))

    @classmethod
    def _of_sorted(cls, sorted_C: np.ndarray) -> "Tail":
        count = len(sorted_C)
        threshold = sorted_C[int(np.ceil(BODY * (count - 1)))]
        first_C = np.searchsorted(sorted_C, threshold, side="right")
        value_U, place_U = np.unique(sorted_C[:first_C], return_index=True)
        # The share of normals at or above each score; half an image more keeps it between 0 and 1.
        nats_U = -np.log((count - place_U + 0.5) / (count + 1))
        beyond = sorted_C[first_C:] - threshold
        mean_excess = float(beyond.mean()) if len(beyond) else 0.0
        return cls(value_U, nats_U, max(mean_excess, LEAST_EXCESS * _spread(sorted_C)))

    def nats(self, score_N: np.ndarray) -> np.ndarray:
        """-log p (N,), above 0 and strictly increasing: interpolated between normals, and falling on below them."""
        low, high = self.value_U[0], self.value_U[-1]
        body_N = np.interp(score_N, self.value_U, self.nats_U)
        below_N = np.maximum(low - score_N, 0) / self.excess
        beyond_N = np.maximum(score_N - high, 0) / self.excess
        return body_N / (1 + below_N) + beyond_N


def leave_one_out_nats(score_C: np.ndarray) -> np.ndarray:
    """-log p of each normal image by a tail fitted to the others (C,), as a new image meets it.

    A tail is too kind to the images that it was fitted to: p-values from them would promise too much.
    """
    order = np.argsort(score_C, kind="stable")
    sorted_C = np.asarray(score_C, np.float64)[order]
    found_C = np.empty(len(sorted_C))
    for place, row in enumerate(order):
        rest = Tail._of_sorted(np.delete(sorted_C, place))
        found_C[row] = rest.nats(sorted_C[place : place + 1])[0]
    return found_C


def conformal(score_C: np.ndarray, score_N: np.ndarray) -> np.ndarray:
    """Conformal p-value (Vovk 2005): share of the normals (C,) at least as unlike, the image counted as one: (N,)."""
    larger_N = len(score_C) - np.searchsorted(np.sort(score_C), score_N, side="left")
    return (1 + larger_N) / (len(score_C) + 1)


def rarity(p_value: float, count: int) -> str:
    """A conformal p-value from so many normal images, in words."""
    beyond = round(p_value * (count + 1)) - 1
    if beyond < 1:
        return f"none of {count:,} normal images is as unlike"
    verb = "is" if beyond == 1 else "are"
    return f"{beyond:,} of {count:,} normal images ({beyond / count:.1%}) {verb} at least as unlike"


def _spread(sorted_C: np.ndarray) -> float:
    """Interquartile range over 1.349, the standard deviation where half the scores are tied, 1 where all are."""
    low, high = np.percentile(sorted_C, (25, 75))
    return float((high - low) / 1.349 or sorted_C.std() or 1.0)


def check_scores(score_N: np.ndarray, name: str) -> None:
    """Refuse scores that rank nothing. Raises InputError if any is not finite or all are the same."""
    bad = ~np.isfinite(score_N)
    if bad.any():
        raise InputError(
            f"{name}: {bad.sum():,} of {len(score_N):,} scores are not finite, the first at ID {bad.argmax()}; "
            "the model is broken: train again with a lower `lr`"
        )
    if len(score_N) > 1 and score_N.max() == score_N.min():
        raise InputError(
            f"{name}: every score is {score_N[0]:g}, so they rank nothing; the test images are all the same, "
            "or the model has collapsed: look at them, or train again"
        )

"""How improbable a score is for a normal image: conformal p-values, and -log p with an exponential tail."""

import dataclasses
import math

import numpy as np

from hw8.base.errors import InputError

# Share of normal images that may be flagged as anomalous: the usual level of a test. Twice as large doubles the false
# alarms; p-values below 1 / (C + 1) do not exist, so a much smaller one needs thousands of calibration images.
ALPHA = 0.05
BODY = 0.9  # share of the normals below the tail, chosen by hand: with 0.99, 400 normals would leave four to fit it to
# Least mean excess of the tail, in robust standard deviations of the normals. An exponential's is 1.2 and a normal's
# .47 of them; only ties, or a tail cut off short, come below a tenth, and would make any excess absurd.
MIN_EXCESS = 0.1
# Of clean images about this share lies beyond the outlier limit, if scores fall off as an exponential or faster: a
# hundred of the homework's 100,000, at which a person can look.
OUTLIER_SHARE = 1e-3
ROUNDING = 1e-12  # by which a p-value may exceed its limit: both are fractions that floats hold nearly
UPPER = 0.8  # quantile that the decay is estimated from; a tenth of anomalies among the images raises the limit by half


@dataclasses.dataclass(frozen=True)
class Tail:
    """-log p of normal images at each different score, with an exponential tail over the upper tenth (Pickands 1975).

    Empirical p-values end at 1 / (C + 1), and all scores beyond would be equally strange; the tail tells them apart.
    `value_U` are the different scores up to the start of the tail, rising, and `neg_log_p_U` their -log p. If several
    images share the last of these scores, the next larger score follows. Beyond the last, -log p rises by 1 for each
    `excess`.
    """

    value_U: np.ndarray
    neg_log_p_U: np.ndarray
    excess: float

    @classmethod
    def fit(cls, score_C: np.ndarray) -> "Tail":
        """Learn from the scores of normal images (C,)."""
        sorted_C = np.sort(np.asarray(score_C, np.float64))
        count = len(sorted_C)
        body_end = sorted_C[int(np.ceil(BODY * (count - 1)))]
        tail_start = np.searchsorted(sorted_C, body_end, side="right")
        value_U, place_U = np.unique(sorted_C[:tail_start], return_index=True)
        if place_U[-1] + 1 < tail_start < count:
            # Where several share the last value, its -log p does not say how few lie beyond; that of the next one does.
            value_U, place_U = np.append(value_U, sorted_C[tail_start]), np.append(place_U, tail_start)
        # The share of normals at or above each score; half an image more keeps it between 0 and 1.
        neg_log_p_U = -np.log((count - place_U + 0.5) / (count + 1))
        beyond = sorted_C[tail_start:] - body_end
        mean_excess = float(beyond.mean()) if len(beyond) else 0.0
        return cls(value_U, neg_log_p_U, max(mean_excess, MIN_EXCESS * _spread(sorted_C)))

    def neg_log_p(self, score_N: np.ndarray) -> np.ndarray:
        """-log p (N,), above 0, strictly increasing: interpolated between normals; below the lowest falling to 0."""
        low, high = self.value_U[0], self.value_U[-1]
        body_N = np.interp(score_N, self.value_U, self.neg_log_p_U)
        below_N = np.maximum(low - score_N, 0) / self.excess
        beyond_N = np.maximum(score_N - high, 0) / self.excess
        return body_N / (1 + below_N) + beyond_N


def _spread(sorted_C: np.ndarray) -> float:
    """Interquartile range over 1.349, the standard deviation where half the scores are tied, 1 where all are."""
    low, high = np.percentile(sorted_C, (25, 75))
    return float((high - low) / 1.349 or sorted_C.std() or 1.0)


def leave_one_out_neg_log_p(score_C: np.ndarray) -> np.ndarray:
    """-log p of each normal image by a tail fitted to the others (C,), as it is computed for a new image.

    A tail fitted to an image underestimates how unusual that image is.
    """
    return np.array([Tail.fit(np.delete(score_C, row)).neg_log_p(score_C[row]) for row in range(len(score_C))])


def conformal(score_C: np.ndarray, score_N: np.ndarray) -> np.ndarray:
    """Conformal p-value (Vovk 2005) of scores (N,): share of the normals (C,) at least as unlike, the image included.

    (1 + #{calibration scores >= score}) / (C + 1): flagging at p <= alpha flags at most a share alpha of normal images
    on average.
    """
    larger_N = len(score_C) - np.searchsorted(np.sort(score_C), score_N, side="left")
    return (1 + larger_N) / (len(score_C) + 1)


def is_flagged(p_value_N: np.ndarray, alpha: float = ALPHA) -> np.ndarray:
    """Which images are flagged as anomalous: p <= alpha, bool (N,)."""
    return p_value_N <= alpha


def benjamini_hochberg(p_value_N: np.ndarray, rate: float) -> np.ndarray:
    """Which images are flagged so that at most a share `rate` of those flagged are normal, on average: bool (N,).

    The k smallest p-values are flagged, k the largest with p_(k) <= rate k / N (Benjamini and Hochberg 1995). Conformal
    p-values share their calibration images; the promise holds for split conformal ones too (Bates 2023).
    """
    order_N = np.argsort(p_value_N, kind="stable")
    rank_N = np.arange(1, len(p_value_N) + 1)
    limit_N = rate * rank_N / len(rank_N) + ROUNDING
    count = int(np.max(rank_N[p_value_N[order_N] <= limit_N], initial=0))
    flagged_N = np.zeros(len(p_value_N), bool)
    flagged_N[order_N[:count]] = True
    return flagged_N


def outlier_threshold(score_C: np.ndarray) -> float:
    """The score that a share `OUTLIER_SHARE` of normal images exceeds, if it falls off exponentially above the median.

    The fall is read off the median and the upper quantile of calibration scores (C,), a tenth of which may be of
    anomalies too: a fit to the upper end would follow them. Where both are the same nothing is known of the fall, and
    the limit is infinite.
    """
    middle, upper = np.quantile(score_C, (0.5, UPPER))
    if upper == middle:
        return math.inf
    return float(middle + (upper - middle) * math.log(0.5 / OUTLIER_SHARE) / math.log(0.5 / (1 - UPPER)))


def threshold(score_C: np.ndarray, alpha: float = ALPHA) -> float | None:
    """The score above which images are flagged at `alpha`; None if so few normals (C,) give no p-value that small."""
    ranks_C = np.arange(1, len(score_C) + 1)
    allowed = int(is_flagged(ranks_C / (len(score_C) + 1), alpha).sum())
    return float(np.sort(score_C)[-allowed]) if allowed else None


def threshold_from_p_values(p_value_N: np.ndarray, score_N: np.ndarray) -> float:
    """The score above which p <= .05, of scores (N,) whose p-values (N,) fall as they rise."""
    falling_N = np.sort(score_N)[::-1]
    count = int(is_flagged(p_value_N).sum())
    return float(np.append(falling_N, np.nextafter(falling_N[-1], -np.inf))[count])


def check_scores(score_N: np.ndarray, name: str, images: str = "test") -> None:
    """Raise InputError for scores of these `images` that rank nothing: if any is not finite, or all are the same."""
    check_finite(score_N, name, images)
    if len(score_N) > 1 and score_N.max() == score_N.min():
        raise InputError(
            f"{name}: every score is {score_N[0]:g}, so they rank nothing; the {images} images are all the same, "
            "or the model has collapsed: look at them, or train again"
        )


def check_finite(score_N: np.ndarray, name: str, images: str = "test") -> None:
    """Raise InputError if any score of these `images` is not finite."""
    bad = ~np.isfinite(score_N)
    if bad.any():
        raise InputError(
            f"{name}: {bad.sum():,} of {len(score_N):,} scores of {images} images are not finite, the first in row "
            f"{bad.argmax()}; the model is broken: train again with a lower `lr`"
        )

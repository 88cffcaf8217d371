"""Whether one method is better than another on the same test images, or the two are tied."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

from hw8.data.labels import Labels
from hw8.evaluation.metrics import CONFIDENCE, components


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference of two macro ROC-AUCs with its 95% confidence interval."""

    value: float
    low: float
    high: float

    @property
    def tie(self) -> bool:
        """Whether the interval holds zero: these images and seeds do not tell the two apart."""
        return self.low <= 0 <= self.high


def paired_difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], labels: Labels) -> Difference:
    """Macro ROC-AUC of our scores less theirs, each a mean over seeds, (N,) a seed, on the same labelled images.

    The variance over images is DeLong's (1988) for correlated curves: that of each image's difference of structural
    components, so that images which are hard for both cancel out. Where both sides have several seeds, the variance
    of their means over seeds is added.
    """
    above_SM, below_SK = zip(*(_macro_components(score_N, labels) for score_N in ours), strict=True)
    their_above_SM, their_below_SK = zip(*(_macro_components(score_N, labels) for score_N in theirs), strict=True)
    value = _mean_auc(below_SK) - _mean_auc(their_below_SK)
    variance = _variance(np.mean(above_SM, axis=0) - np.mean(their_above_SM, axis=0))
    kinds = len(below_SK[0])
    for kind in range(kinds):
        mine = np.mean([below_K[kind] for below_K in below_SK], axis=0)
        others = np.mean([below_K[kind] for below_K in their_below_SK], axis=0)
        variance += _variance(mine - others) / kinds**2
    if min(len(ours), len(theirs)) > 1:
        for below in (below_SK, their_below_SK):
            variance += _variance(np.array([_mean_auc([below_K]) for below_K in below]))
    half = float(norm.ppf(0.5 + CONFIDENCE / 2)) * float(np.sqrt(variance))
    return Difference(value, value - half, value + half)


def _macro_components(score_N: np.ndarray, labels: Labels) -> tuple[np.ndarray, list[np.ndarray]]:
    """Structural components of the mean over kinds: of the normal images (M,), and of each kind's anomalies."""
    normal_M, anomalous = score_N[labels.label_N == 0], labels.label_N == 1
    kinds = np.unique(labels.kind_N[anomalous])
    parts = [components(normal_M, score_N[labels.kind_N == kind]) for kind in kinds]
    return np.mean([above_M for above_M, _ in parts], axis=0), [below_N for _, below_N in parts]


def _mean_auc(below_SK: Sequence[Sequence[np.ndarray]]) -> float:
    return float(np.mean([[below_N.mean() for below_N in below_K] for below_K in below_SK]))


def _variance(value_N: np.ndarray) -> float:
    """Of the mean of these values; a single one tells nothing, and its variance is the largest that there is."""
    return float(value_N.var(ddof=1) / len(value_N)) if len(value_N) > 1 else 0.25

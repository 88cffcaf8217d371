"""Whether one method is better than another on the same test images, or the two are tied."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import t

from hw8.data.labels import Labels
from hw8.evaluation.metrics import CONFIDENCE, delong_components


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference of two macro ROC-AUCs, its standard error, and the degrees of freedom of that."""

    value: float
    standard_error: float
    degrees_of_freedom: float

    def interval(self, comparisons: int = 1) -> tuple[float, float]:
        """95% confidence interval; those of several comparisons hold together with 95% (Bonferroni).

        An interval that holds zero is a tie: these images and seeds do not tell the two apart.
        """
        level = 1 - (1 - CONFIDENCE) / (2 * comparisons)
        half = float(t.ppf(level, self.degrees_of_freedom)) * self.standard_error
        return self.value - half, self.value + half


def differences_from(
    best: str, scores: Mapping[str, Sequence[np.ndarray]], labels: Labels
) -> dict[str, tuple[float, float, float]]:
    """Of every method but the best: its macro ROC-AUC minus the best's, and the ends of a 95% confidence interval.

    `scores` are each method's, (N,) per seed. All intervals hold together with 95%, although the best is picked by the
    scores that it is then compared by: every pair of methods counts as a comparison, not only those with the best.
    """
    pairs = len(scores) * (len(scores) - 1) // 2
    differences = {
        name: paired_difference(scores_of_method, scores[best], labels)
        for name, scores_of_method in scores.items()
        if name != best
    }
    return {name: (difference.value, *difference.interval(pairs)) for name, difference in differences.items()}


def paired_difference(scores_a: Sequence[np.ndarray], scores_b: Sequence[np.ndarray], labels: Labels) -> Difference:
    """Macro ROC-AUC of method a minus that of b, each a mean over seeds, (N,) per seed, on the same labelled images.

    The variance over images is DeLong's (1988) for correlated curves: that of each image's difference of structural
    components, so that images which are hard for both cancel out. A side of several seeds adds the variance of its mean
    over them; the degrees of freedom are Welch and Satterthwaite's. A side of one seed adds nothing, since its
    variance over seeds is unknown.
    """
    above_a_SM, below_a_SK = zip(*(_macro_components(score_N, labels) for score_N in scores_a), strict=True)
    above_b_SM, below_b_SK = zip(*(_macro_components(score_N, labels) for score_N in scores_b), strict=True)
    kind_count = len(below_a_SK[0])
    parts = [_variance(np.mean(above_a_SM, axis=0) - np.mean(above_b_SM, axis=0))]
    for kind in range(kind_count):
        mean_a_N = np.mean([below_K[kind] for below_K in below_a_SK], axis=0)
        mean_b_N = np.mean([below_K[kind] for below_K in below_b_SK], axis=0)
        variance, freedom = _variance(mean_a_N - mean_b_N)
        parts.append((variance / kind_count**2, freedom))
    parts += [
        _variance(np.array([_mean_auc([below_K]) for below_K in side]))
        for side in (below_a_SK, below_b_SK)
        if len(side) > 1
    ]
    total = sum(variance for variance, _ in parts)
    spread = sum(variance**2 / freedom for variance, freedom in parts)
    value = _mean_auc(below_a_SK) - _mean_auc(below_b_SK)
    return Difference(value, float(np.sqrt(total)), total**2 / spread if spread else np.inf)


def _macro_components(score_N: np.ndarray, labels: Labels) -> tuple[np.ndarray, list[np.ndarray]]:
    """Structural components of the mean over kinds: of the normal images (M,), and of each kind's anomalies."""
    normal_M, anomalous = score_N[labels.label_N == 0], labels.label_N == 1
    kinds = np.unique(labels.kind_N[anomalous])
    parts = [delong_components(normal_M, score_N[labels.kind_N == kind]) for kind in kinds]
    return np.mean([above_M for above_M, _ in parts], axis=0), [below_N for _, below_N in parts]


def _mean_auc(below_SK: Sequence[Sequence[np.ndarray]]) -> float:
    return float(np.mean([[below_N.mean() for below_N in below_K] for below_K in below_SK]))


def _variance(value_N: np.ndarray) -> tuple[float, int]:
    """Variance of the mean of these values, and its degrees of freedom.

    A single value has the largest variance that a difference between -1 and 1 can have.
    """
    return (float(value_N.var(ddof=1) / len(value_N)), len(value_N) - 1) if len(value_N) > 1 else (1.0, 1)

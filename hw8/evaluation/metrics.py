"""ROC-AUC by kind and over all, with confidence intervals; average precision; FPR at 95% TPR."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from hw8.base.errors import InputError
from hw8.data.labels import Labels

CONFIDENCE = 0.95  # of every interval: the usual level, and the one that pages and tables name


@dataclasses.dataclass(frozen=True)
class Interval:
    """An AUC with its 95% confidence interval and the number of anomalous images behind it."""

    auc: float
    low: float
    high: float
    n: int


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores measured against labels. `macro` is the mean over kinds of each kind's AUC."""

    overall: Interval
    macro: Interval
    average_precision: float
    fpr95: float
    kinds: dict[str, Interval]
    normals: int

    @property
    def precision_by_chance(self) -> float:
        """The average precision to expect of scores that know nothing: the share of anomalies."""
        return self.overall.n / (self.overall.n + self.normals)

    def as_json(self) -> dict[str, Any]:
        """The fields that `evaluate.py --json` prints."""
        return {
            "auc": self.overall.auc,
            "macro_auc": self.macro.auc,
            "average_precision": self.average_precision,
            "fpr95": self.fpr95,
            "kinds": {kind: dataclasses.asdict(interval) for kind, interval in self.kinds.items()},
            "auc_interval": [self.overall.low, self.overall.high],
            "macro_auc_interval": [self.macro.low, self.macro.high],
            "normals": self.normals,
        }


def evaluate(score_N: np.ndarray, labels: Labels, image_N: np.ndarray | None = None) -> Evaluation:
    """Compare scores (larger is more anomalous) with labels. Raises InputError if their numbers differ,
    a score is not finite, or all labels are alike.

    `image_N` names the image that each row shows, where several rows are changed copies of one: the intervals then
    allow for how such rows vary together. Without it the rows are independent.
    """
    if len(score_N) != len(labels):
        raise InputError(f"{len(score_N):,} scores for {len(labels):,} labels; score and label the same test set")
    if labels.why_unusable:
        raise InputError(labels.why_unusable)
    if not np.isfinite(score_N).all():
        raise InputError("some scores are not finite numbers, which cannot be compared with others")
    anomalous = labels.label_N == 1
    names = [str(kind) for kind in np.unique(labels.kind_N[anomalous])]
    image_N = np.arange(len(score_N)) if image_N is None else image_N
    normal_M, image_M = score_N[~anomalous], image_N[~anomalous]

    def beside_normals(of_kind_N: np.ndarray) -> KindComponents:
        return KindComponents(*delong_components(normal_M, score_N[of_kind_N]), image_N[of_kind_N])

    kinds = {name: beside_normals(labels.kind_N == name) for name in names}
    return Evaluation(
        overall=_interval(image_M, [beside_normals(anomalous)]),
        macro=_interval(image_M, list(kinds.values())),
        average_precision=average_precision(normal_M, score_N[anomalous]),
        fpr95=fpr_at_tpr(normal_M, score_N[anomalous], 0.95),
        kinds={name: _interval(image_M, [kind]) for name, kind in kinds.items()},
        normals=len(normal_M),
    )


def roc_auc(normal_M: np.ndarray, anomalous_N: np.ndarray) -> float:
    """Chance, in [0, 1], that an anomalous image scores above a normal one; ties count half (Mann-Whitney).

    Scores (M,) and (N,), neither empty.
    """
    return float(delong_components(normal_M, anomalous_N)[1].mean())


def average_precision(normal_M: np.ndarray, anomalous_N: np.ndarray) -> float:
    """Mean over the anomalies of the share, in (0, 1], of anomalies among the images that score at least as high.

    Scores (M,) and (N,), neither empty.
    """
    normals_N, anomalies_N = (
        len(score_K) - np.searchsorted(np.sort(score_K), anomalous_N) for score_K in (normal_M, anomalous_N)
    )
    return float((anomalies_N / (normals_N + anomalies_N)).mean())


def fpr_at_tpr(normal_M: np.ndarray, anomalous_N: np.ndarray, tpr: float) -> float:
    """Smallest share, in [0, 1], of normal images flagged by a threshold that flags at least `tpr` of the anomalies.

    Scores (M,) and (N,), neither empty; `tpr` in (0, 1].
    """
    needed = int(np.ceil(tpr * len(anomalous_N) - 1e-9))  # .95 * 20 is 19, whatever its last digit
    threshold = np.sort(anomalous_N)[::-1][needed - 1]
    return float((normal_M >= threshold).mean())


def delong_components(normal_M: np.ndarray, anomalous_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Structural components of the AUC (DeLong 1988).

    For each normal image the share of anomalous ones above it (M,), and for each anomalous image the share
    of normal ones below it (N,); ties count half.
    """
    return 1 - _share_below(anomalous_N, normal_M), _share_below(normal_M, anomalous_N)


def _share_below(other_M: np.ndarray, score_N: np.ndarray) -> np.ndarray:
    """The share of the others below each score (N,); ties count half."""
    sorted_M = np.sort(other_M)
    below_N, not_above_N = (np.searchsorted(sorted_M, score_N, side) for side in ("left", "right"))
    return (below_N + not_above_N) / (2 * len(other_M))


class KindComponents(NamedTuple):
    """DeLong's components of the normals and of the rows of a kind, and the image that each of its rows shows."""

    above_M: np.ndarray
    below_N: np.ndarray
    image_N: np.ndarray


def _interval(image_M: np.ndarray, kinds: list[KindComponents]) -> Interval:
    """Mean AUC of some kinds against the same normals, with DeLong's variance on the logit scale.

    The rows of one image are one cluster (Obuchowski 1997): the variance is that of the sums of their structural
    components. If every row is an image of its own, that is DeLong's variance. On the logit scale the interval
    stays within [0, 1] and covers better near 1 (Pepe 2003, section 5.2). Where it is not defined, as after perfect
    separation, the interval is auc +- 3 / n (rule of three), where n is the smaller of the numbers of normal and of
    anomalous images; for a mean over K kinds of n_k images, which weigh alike, the latter is K^2 / sum(1 / n_k).
    """
    auc = float(np.mean([kind.below_N.mean() for kind in kinds]))
    above_M = np.mean([kind.above_M for kind in kinds], axis=0)
    weighted_samples = [(above_M, image_M, 1.0), *((kind.below_N, kind.image_N, 1 / len(kinds)) for kind in kinds)]
    n = sum(len(kind.below_N) for kind in kinds)
    variance = _variance(weighted_samples)
    if not 0 < auc < 1 or variance == 0:
        effective_n = len(kinds) ** 2 / sum(1 / len(kind.below_N) for kind in kinds)
        half_width = min(1.0, 3 / min(len(above_M), effective_n))
        return Interval(auc, max(0.0, auc - half_width), min(1.0, auc + half_width), n)
    half = float(ndtri(0.5 + CONFIDENCE / 2)) * float(np.sqrt(variance)) / (auc * (1 - auc))
    logit = np.log(auc / (1 - auc))
    low, high = (float(1 / (1 + np.exp(-value))) for value in (logit - half, logit + half))
    return Interval(auc, low, high, n)


def _variance(weighted_samples: list[tuple[np.ndarray, np.ndarray, float]]) -> float:
    """Variance of a weighted sum of means: of each its values (N,), the image behind each value, and its weight.

    A single value has no variance that could be estimated: the largest that values in [0, 1] can have is taken.
    """
    shares, images, single_values = [], [], 0.0
    for value_N, image_N, weight in weighted_samples:
        count = len(value_N)
        if count == 1:
            single_values += 0.25 * weight**2
            continue
        # Scaled so that independent rows give the unbiased variance of the mean, var(ddof=1) / count.
        shares.append(weight * (value_N - value_N.mean()) / np.sqrt(count * (count - 1)))
        images.append(image_N)
    if not shares:
        return single_values
    _, cluster_R = np.unique(np.concatenate(images), return_inverse=True)
    return single_values + float(np.square(np.bincount(cluster_R, np.concatenate(shares))).sum())

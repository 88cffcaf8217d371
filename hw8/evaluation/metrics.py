"""ROC-AUC by kind and over all, with confidence intervals; average precision; FPR at 95% TPR."""

import dataclasses
from typing import Any

import numpy as np
from scipy.stats import norm, rankdata

from hw8.data.labels import Labels
from hw8.errors import InputError

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Interval:
    """An AUC with its 95% confidence interval and the number of anomalous images behind it."""

    auc: float
    low: float
    high: float
    n: int


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What scores are worth against labels. `macro` is the mean over kinds of each kind's AUC."""

    overall: Interval
    macro: Interval
    average_precision: float
    fpr95: float
    kinds: dict[str, Interval]
    normals: int

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


def evaluate(score_N: np.ndarray, labels: Labels) -> Evaluation:
    """Compare scores (larger is more anomalous) with labels. Raises InputError if their numbers differ."""
    if len(score_N) != len(labels):
        raise InputError(f"{len(score_N):,} scores for {len(labels):,} labels; score and label the same test set")
    from sklearn.metrics import average_precision_score

    normal_M = score_N[labels.label_N == 0]
    anomalous = labels.label_N == 1
    kinds = [str(kind) for kind in np.unique(labels.kind_N[anomalous])]
    parts = [components(normal_M, score_N[labels.kind_N == kind]) for kind in kinds]
    return Evaluation(
        overall=_interval([components(normal_M, score_N[anomalous])]),
        macro=_interval(parts),
        average_precision=float(average_precision_score(labels.label_N, score_N)),
        fpr95=fpr_at_tpr(normal_M, score_N[anomalous], 0.95),
        kinds={kind: _interval([part]) for kind, part in zip(kinds, parts, strict=True)},
        normals=len(normal_M),
    )


def roc_auc(normal_M: np.ndarray, anomalous_N: np.ndarray) -> float:
    """Chance that an anomalous image scores above a normal one, ties counting half (Mann-Whitney)."""
    return float(components(normal_M, anomalous_N)[1].mean())


def fpr_at_tpr(normal_M: np.ndarray, anomalous_N: np.ndarray, tpr: float) -> float:
    """Smallest share of normal images flagged by a threshold that flags at least `tpr` of the anomalous ones."""
    needed = int(np.ceil(tpr * len(anomalous_N) - 1e-9))
    threshold = np.sort(anomalous_N)[::-1][needed - 1]
    return float((normal_M >= threshold).mean())


def components(normal_M: np.ndarray, anomalous_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Structural components of the AUC (DeLong 1988; by ranks, Sun and Xu 2014).

    For each normal image the share of anomalous ones above it (M,), and for each anomalous image the share
    of normal ones below it (N,); ties count half.
    """
    m, n = len(normal_M), len(anomalous_N)
    ranks = rankdata(np.concatenate([normal_M, anomalous_N]))
    above_M = 1 - (ranks[:m] - rankdata(normal_M)) / n
    below_N = (ranks[m:] - rankdata(anomalous_N)) / m
    return above_M, below_N


def _interval(parts: list[tuple[np.ndarray, np.ndarray]]) -> Interval:
    """Mean AUC of some kinds against the same normals, with DeLong's variance on the logit scale.

    On that scale the interval stays within [0, 1] and covers better near 1 (Pepe 2003, section 5.2). Where the
    variance is zero (perfect separation) or a side has one image, the interval says what is known: nothing
    below or above that n could exclude (rule of three).
    """
    auc = float(np.mean([below.mean() for _, below in parts]))
    above_M = np.mean([above for above, _ in parts], axis=0)
    n = sum(len(below) for _, below in parts)
    smallest = min(len(above_M), n)
    variance = above_M.var(ddof=1) / len(above_M) if len(above_M) > 1 else 0.25
    for _, below in parts:
        variance += (below.var(ddof=1) / len(below) if len(below) > 1 else 0.25) / len(parts) ** 2
    if not 0 < auc < 1 or variance == 0:
        slack = min(1.0, 3 / smallest)
        return Interval(auc, max(0.0, auc - slack), min(1.0, auc + slack), n)
    half = float(norm.ppf(0.5 + CONFIDENCE / 2)) * float(np.sqrt(variance)) / (auc * (1 - auc))
    logit = np.log(auc / (1 - auc))
    low, high = (float(1 / (1 + np.exp(-value))) for value in (logit - half, logit + half))
    return Interval(auc, low, high, n)

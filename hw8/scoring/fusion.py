"""One score from several runs, by a rule fixed in advance."""

from collections.abc import Sequence

import numpy as np

from hw8.scoring.tails import conformal, leave_one_out_neg_log_p

# Rank correlation from which runs count as copies, chosen by hand between runs of one preset with other seeds, which
# agree at .96 or .97 (docs/experiments.md) and must stay separate, and one run given twice, which agrees at 1.
SAME = 0.99


def fuse(neg_log_ps: Sequence[np.ndarray], groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Fisher's combination (1932): the sum of the runs' -log p (N,), runs of one group counting as their mean.

    Raw errors of unlike models have unlike units and must never be averaged.
    """
    return np.sum([np.mean([neg_log_ps[run] for run in group], axis=0) for group in groups], axis=0)


def fused_p_values(score_N: np.ndarray, normals: Sequence[np.ndarray], groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Conformal p-values of fused scores (N,), from each run's scores (C,) of the same calibration normals."""
    return conformal(fuse([leave_one_out_neg_log_p(score_C) for score_C in normals], groups), score_N)


def rank_correlation(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Spearman's correlation of every two runs' scores (N,): (runs, runs); of a single image all agree.

    Scores that are all equal have none, 0 here, with any but themselves.
    """
    from scipy.stats import rankdata

    if len(scores[0]) < 2:
        return np.ones((len(scores), len(scores)))
    with np.errstate(invalid="ignore"):
        correlation = np.atleast_2d(np.corrcoef([rankdata(score_N) for score_N in scores]))
    return np.where(np.eye(len(scores), dtype=bool), 1.0, np.nan_to_num(correlation))


def agreeing_groups(correlation: np.ndarray) -> list[list[int]]:
    """Runs in groups that agree: each joins the first group with a run it correlates with at .99 or more."""
    groups: list[list[int]] = []
    for run in range(len(correlation)):
        agreeing = next((group for group in groups if correlation[run, group].max() >= SAME), None)
        if agreeing is None:
            groups.append([run])
        else:
            agreeing.append(run)
    return groups

"""One score from several runs, by a rule fixed in advance."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from hw8.scoring.tails import conformal, leave_one_out_nats

SAME = 0.99


def fuse(nats: Sequence[np.ndarray], groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Fisher's combination (1932): the sum of the runs' -log p (N,), runs of one group counting as their mean.

    Raw errors of unlike models have unlike units and must never be averaged.
    """
    return np.sum([np.mean([nats[member] for member in group], axis=0) for group in groups], axis=0)


def fused_p_values(score_N: np.ndarray, normals: Sequence[np.ndarray], groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Conformal p-values of fused scores (N,), by the same calibration normals as every run scores them, (C,) each."""
    return conformal(fuse([leave_one_out_nats(score_C) for score_C in normals], groups), score_N)


def rank_correlation(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Spearman's correlation of every two runs' scores (N,): (runs, runs)."""
    return np.atleast_2d(np.corrcoef([rankdata(score_N) for score_N in scores]))


def one_opinion(correlation: np.ndarray) -> list[list[int]]:
    """Runs by groups that agree: each joins the first group with a member it correlates with at .99 or more."""
    groups: list[list[int]] = []
    for run in range(len(correlation)):
        home = next((group for group in groups if correlation[run, group].max() >= SAME), None)
        if home is None:
            groups.append([run])
        else:
            home.append(run)
    return groups

"""Scores of unlike units in one: how improbable they are for a normal image, in nats."""

import dataclasses

import numpy as np

BODY = 0.9


@dataclasses.dataclass(frozen=True)
class Tail:
    """The normals' scores, sorted (C,), with an exponential tail over their upper tenth (Pickands 1975).

    Empirical p-values end at 1 / (C + 1), and whatever lies beyond would be equally strange; the tail goes on.
    """

    sorted_C: np.ndarray
    threshold: float
    excess: float

    @classmethod
    def fit(cls, score_C: np.ndarray) -> "Tail":
        """Learn from the scores of normal images (C,)."""
        sorted_C = np.sort(np.asarray(score_C, np.float64))
        threshold = float(np.quantile(sorted_C, BODY))
        beyond = sorted_C[sorted_C > threshold] - threshold
        return cls(sorted_C, threshold, max(float(beyond.mean()) if len(beyond) else 0.0, 1e-12))

    def nats(self, score_N: np.ndarray) -> np.ndarray:
        """-log p (N,), above 0; strictly increasing, by interpolation between the normals and decay below them."""
        count = len(self.sorted_C)
        p_N = np.interp(score_N, self.sorted_C, 1 - np.arange(1, count + 1) / (count + 1))
        body_N = -np.log(np.maximum(p_N, 1 - BODY))
        below_N = np.minimum(score_N - self.sorted_C[0], 0) / self.excess
        body_N = body_N * np.exp(np.maximum(below_N, -500))
        tail_N = -np.log(1 - BODY) + (score_N - self.threshold) / self.excess
        return np.where(score_N > self.threshold, tail_N, body_N)


def conformal(score_C: np.ndarray, score_N: np.ndarray) -> np.ndarray:
    """Conformal p-value (Vovk 2005): share of the normals (C,) at least as unlike, the image counted as one: (N,)."""
    larger_N = len(score_C) - np.searchsorted(np.sort(score_C), score_N, side="left")
    return (1 + larger_N) / (len(score_C) + 1)

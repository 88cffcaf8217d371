"""ROC-AUC without labels: development normals against synthetic anomalies made from them."""

import functools
from collections.abc import Callable
from typing import Protocol

import numpy as np

from hw8.data.arrays import Images
from hw8.data.corruptions import CORRUPTIONS, corrupt
from hw8.data.labels import NORMAL, Labels
from hw8.evaluation.metrics import Evaluation, evaluate

PER_KIND = 500
SEED = 8


class Scores(Protocol):
    """Whatever turns rows of images, or what `change` makes of them, into named scores."""

    def score(
        self, images: Images, rows: np.ndarray, change: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Scores of these rows: (len(rows),) each."""
        ...


def held_out_labels(rows: np.ndarray) -> Labels:
    """Labels of the development normals followed by the synthetic anomalies, in the order `score_held_out` has them."""
    count = min(len(rows), PER_KIND)
    kinds = np.concatenate([np.full(len(rows), NORMAL), np.repeat(list(CORRUPTIONS), count)])
    return Labels((kinds != NORMAL).astype(np.int64), kinds)


def score_held_out(scorer: Scores, images: Images, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The evidence of the development rows and of up to 500 of them under each corruption, float64."""
    chosen = rows[:: max(1, len(rows) // PER_KIND)][:PER_KIND]
    changes = [functools.partial(_corrupted, kind, images, rows) for kind in CORRUPTIONS]
    parts = [scorer.score(images, rows), *(scorer.score(images, chosen, change) for change in changes)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _corrupted(kind: str, images: Images, pool: np.ndarray, rows_B: np.ndarray) -> np.ndarray:
    return corrupt(kind, images, rows_B, pool, SEED)


def evaluate_held_out(scorer: Scores, images: Images, rows: np.ndarray) -> dict[str, Evaluation]:
    """What each piece of evidence is worth on the development split."""
    labels = held_out_labels(rows)
    return {name: evaluate(score, labels) for name, score in score_held_out(scorer, images, rows).items()}

"""A run's scores of images, with p-values and the evidence behind them."""

import dataclasses

import numpy as np

from hw8.data.arrays import Images
from hw8.data.splits import reference_rows
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.calibration import Table
from hw8.scoring.tails import check_scores, is_flagged, threshold, threshold_from_p_values
from hw8.scoring.transductive import Sample, Transducer


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of a test set (N,), larger is more anomalous, by the method of this name; p-values if there are any."""

    name: str
    score_N: np.ndarray
    p_value_N: np.ndarray | None

    def flagged(self) -> np.ndarray | None:
        """Which images are flagged as anomalous: bool (N,); None without p-values."""
        return None if self.p_value_N is None else is_flagged(self.p_value_N)


@dataclasses.dataclass(frozen=True)
class RunScores(Scores):
    """One run's scores, with the evidence behind them and the calibration normals' scores (C,).

    A transductive run estimates the `share` of anomalies; its evidence is that before the transduction, and no normal
    has such a score: `normal_C` is None.
    """

    p_value_N: np.ndarray
    table: Table
    normal_C: np.ndarray | None
    share: float | None = None

    @property
    def threshold(self) -> float | None:
        """The score above which p <= .05; None if too few normals calibrated it for such p-values."""
        if self.normal_C is None:  # p-values fall as scores rise
            return threshold_from_p_values(self.p_value_N, self.score_N)
        return threshold(self.normal_C)


def score_images(trained: TrainedRun, images: Images) -> RunScores:
    """One run's scores of all images, in the order of their IDs.

    A transductive run learns from the unlabelled images too, and needs its training images for it. Raises InputError if
    those are gone, or the scores rank nothing.
    """
    table = trained.scorer.table(images, np.arange(len(images)), label=trained.name)
    score_N = trained.run_score(table)
    check_scores(score_N, trained.name)
    if not trained.config.scoring.transductive:
        p_value_N = trained.p_value(score_N)
        return RunScores(trained.name, score_N, p_value_N, table, trained.normal_C)
    training, splits = trained.open_training()
    scorer = trained.scorer.with_evidence(trained.config.scoring.evidence_names)
    transducer = Transducer(scorer, trained.calibration, trained.score_name, trained.config.seed)
    row_R = reference_rows(splits)
    normal = Sample(training, row_R, trained.in_reference(row_R, splits))
    transduction = transducer(normal, Sample(training, splits.calibration), images, score_N)
    return RunScores(trained.name, transduction.score_N, transduction.p_value_N, table, None, transduction.share)

"""What the explorer shows of one run: its scores of a test set, and why an image has its score."""

import contextlib
import threading
from typing import Any

import numpy as np

from hw8.base.errors import InputError
from hw8.data.arrays import Images
from hw8.data.labels import Labels
from hw8.evaluation.metrics import Interval, evaluate
from hw8.explorer.neighbours import Neighbourhood
from hw8.explorer.watched import Watch, Watched
from hw8.report.explanation import Explainer, words_of
from hw8.report.gallery import drawn_map
from hw8.report.heatmaps import three_channels
from hw8.report.run_report import warnings_of
from hw8.report.sprites import data_uri, pictures
from hw8.report.thresholds import thresholds
from hw8.runs.scores import score_images
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.tails import is_flagged, threshold


class ScoredRun:
    """A run's `scores` of a test set and their `p_values`, (N,) each by name.

    `score` is the run's own score, there once `score` was called; the others are its evidence, there after
    `score_evidence`, which takes longer.
    """

    scores: dict[str, np.ndarray]
    p_values: dict[str, np.ndarray]

    def __init__(self, name: str, trained: TrainedRun, images: Images) -> None:
        self.name, self.trained, self.images = name, trained, images
        self.neighbourhood: Neighbourhood | None = None
        self._macro: Interval | None = None
        self.note = "The nearest training images are still being searched for; open this again in a moment."
        self._busy = threading.Lock()

    def score(self, watch: Watch) -> None:
        """Score the whole test set by the run's own score. Raises InputError if its scores rank nothing."""
        self.predicted = score_images(self.trained, Watched(self.images, watch))
        self.scores, self.p_values = {"score": self.predicted.score_N}, {"score": self.predicted.p_value_N}
        self.explainer = Explainer.for_images(self.trained, self.images)

    def score_evidence(self, watch: Watch) -> None:
        """Score the whole test set by each piece of the run's evidence too."""
        scorer, calibration = self.trained.with_all_evidence().scorer, self.trained.calibration
        scores = calibration.scores(scorer.table(Watched(self.images, watch), np.arange(len(self.images))))
        if self.predicted.share is None:
            del scores[self.trained.score_name]  # the run's own score
        # Other threads read these meanwhile: p-values first, since scores are looked up in them.
        self.p_values = self.p_values | {name: calibration.p_value(name, score_N) for name, score_N in scores.items()}
        self.scores = self.scores | scores

    def find_neighbours(self, watch: Watch) -> None:
        """Make ready to show the nearest training images, or keep a note why they cannot be shown."""
        try:
            self.neighbourhood = Neighbourhood.of(self.trained, watch)
        except InputError as error:
            self.note = f"No nearest training images: {error}"

    def summary(self, labels: Labels | None) -> dict[str, Any]:
        """What the head of the page says of the run."""
        if labels is not None and self._macro is None:  # once: the page asks often while the evidence is scored
            self._macro = evaluate(self.scores["score"], labels).macro
        macro = self._macro
        return {
            "name": self.name,
            "preset": self.trained.config.preset,
            "columns": list(self.scores),
            "transductive": self.predicted.share is not None,
            "warnings": self.warnings(),
            "auc": None if macro is None else [macro.auc, macro.low, macro.high],
            "flagged": float(is_flagged(self.p_values["score"]).mean()),
            "calibration_count": self.explainer.calibration_count,
        }

    def warnings(self) -> list[str]:
        """What the run's training warned of; nothing without its summary, which scores do not need."""
        with contextlib.suppress(InputError):
            return [] if self.trained.folder is None else warnings_of(self.trained.folder.read_summary())
        return []

    def column(self, by: str) -> np.ndarray:
        """The scores of this name (N,). Raises InputError if there are none."""
        if by not in self.scores:
            raise InputError(f"there is no score {by!r}; there are {', '.join(self.scores)}")
        return self.scores[by]

    def flagged(self, by: str, above: float | None = None) -> np.ndarray:
        """Which images score above a threshold, by default that of p <= .05: bool (N,)."""
        above = self.threshold(by) if above is None else above
        score_N = self.column(by)
        return np.zeros(len(score_N), bool) if above is None else score_N > above

    def threshold(self, by: str) -> float | None:
        """The score above which p <= .05; None if too few normals calibrated it for such p-values."""
        return self.predicted.threshold if by == "score" else threshold(self.trained.calibration.values_C[by])

    def histogram(self, by: str, groups: dict[str, np.ndarray]) -> dict[str, Any]:
        """Thresholds to choose from, and of each group of rows how many images score above each, see `thresholds`."""
        score_N, normal_C = self.column(by), self.calibration_scores(by)
        score_by_group = {name: score_N[rows] for name, rows in groups.items()}
        return thresholds(score_by_group, {"normal"}, normal_C, self.threshold(by))

    def calibration_scores(self, by: str) -> np.ndarray | None:
        """The scores behind this score's p-values; None of a transductive run's own score."""
        return self.predicted.normal_C if by == "score" else self.trained.calibration.values_C[by]

    def words(self, rows: np.ndarray) -> list[str]:
        """What sets these test images apart from normal ones."""
        if not len(rows):
            return []
        return words_of(self.trained, {name: value[rows] for name, value in self.predicted.table.items()})

    def judged(self, row: int, by: str = "score", above: float | None = None) -> dict[str, Any]:
        """What a score and a threshold, by default that of p <= .05, say of a test image."""
        score_N, limit = self.column(by), self.threshold(by) if above is None else above
        return {
            "by": by,
            "score": float(score_N[row]),
            "p": float(self.p_values[by][row]),
            "rank": 1 + int((score_N > score_N[row]).sum()),
            "above": limit,
            "usual": limit == self.threshold(by),
            "flagged": limit is not None and bool(score_N[row] > limit),
        }

    def explain(self, image_HWC: np.ndarray) -> dict[str, Any]:
        """Why an image, cropped as the run takes it, has its score."""
        with self._busy:  # the threads of the server share one model
            explanation = self.explainer.explain(image_HWC[None], [""])[0]
            nearest = [] if self.neighbourhood is None else self.neighbourhood.nearest(image_HWC)
        return {
            "run": self.name,
            "score": explanation.score,
            "p": explanation.p_value,
            "flagged": bool(is_flagged(np.array(explanation.p_value))),
            "calibration_count": self.explainer.calibration_count,
            "words": explanation.words,
            "parts": explanation.p_values,
            "shares": explanation.shares,
            "deviations": explanation.deviations,
            "added": explanation.added,
            "pictures": [(part, data_uri(picture)) for part, picture in pictures(explanation)],
            "nearest": [data_uri(three_channels(image)) for image in nearest],
            "note": self.note if self.neighbourhood is None else "",
        }

    def score_map(self, image_HWC: np.ndarray) -> dict[str, str]:
        """Where an image's score comes from, as a picture and in words: twenty times the time of `explain`."""
        with self._busy:
            return drawn_map(self.trained, image_HWC)

    def explain_row(self, row: int, by: str = "score", above: float | None = None) -> dict[str, Any]:
        """Why a test image has its score, and how the score of this name judges it."""
        return self.explain(self.images.read(np.array([row]))[0]) | self.judged(row, by, above)

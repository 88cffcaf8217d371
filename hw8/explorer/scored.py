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
from hw8.report.explanation import Explainer
from hw8.report.figures import heat, share_of_peak, three_channels
from hw8.report.run_report import warnings_of
from hw8.report.sprites import data_uri, pictures
from hw8.report.thresholds import counts_above, p_values_above
from hw8.report.words import rarity
from hw8.runs.scores import score_images
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.tails import is_flagged, threshold

# Places of the threshold's slider, a pixel or two each on a phone; a multiple of BINS in explorer_threshold.js.
SLIDER_STEPS = 240


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
        if self.predicted.normal_C is not None:
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
            "transductive": self.predicted.normal_C is None,
            "warnings": self.warnings(),
            "auc": None if macro is None else [macro.auc, macro.low, macro.high],
            "flagged": float(is_flagged(self.p_values["score"]).mean()),
            "normals": self.explainer.normals,
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
        """Thresholds to choose from, and of each group of rows how many images score above each of them.

        They lie evenly between the lowest score and the 99th percentile, beyond which a few scores would press the rest
        together; the one nearest to p = .05 is exactly that. Where none can be flagged they end at the highest.
        """
        score_N, default = self.column(by), self.threshold(by)
        low, high = score_N.min(), max(np.quantile(score_N, 0.99), score_N.max() if default is None else default)
        above_T = np.linspace(low, high if high > low else low + 1, SLIDER_STEPS + 1)
        place = None if default is None else int(np.abs(above_T - default).argmin())
        if place is not None:
            above_T[place] = default
        normal_C = self.predicted.normal_C if by == "score" else self.trained.calibration.values_C[by]
        p_T = None if normal_C is None else p_values_above(normal_C, above_T).tolist()
        listed = [
            {"name": name, "total": len(rows), "above": counts_above(score_N[rows], above_T).tolist()}
            for name, rows in groups.items()
        ]
        return {"thresholds": above_T.tolist(), "default": place, "p": p_T, "groups": listed}

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
            "rarity": explanation.rarity,
            "normals": self.explainer.normals,
            "words": explanation.words,
            "parts": explanation.parts,
            "shares": explanation.shares,
            "deviations": explanation.deviations,
            "added": explanation.added,
            "pictures": [(part, data_uri(picture)) for part, picture in pictures(explanation)],
            "nearest": [data_uri(three_channels(image)) for image in nearest],
            "note": self.note if self.neighbourhood is None else "",
        }

    def score_map(self, image_HWC: np.ndarray) -> str:
        """Where an image's score comes from, as a picture to lay over it: twenty times the time of `explain`."""
        with self._busy:
            map_HW = self.trained.score_maps(image_HWC[None])[0]
        return data_uri(heat(share_of_peak(map_HW)))

    def explain_row(self, row: int) -> dict[str, Any]:
        """Why a test image has its score, and its rarity in words."""
        explained = self.explain(self.images.read(np.array([row]))[0])
        p_value = float(self.p_values["score"][row])  # of a transductive run, the score is another than the explained
        known = {"score": float(self.scores["score"][row]), "p": p_value, "flagged": bool(self.flagged("score")[row])}
        return explained | known | {"rarity": rarity(p_value, self.explainer.normals)}

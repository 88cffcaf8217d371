"""Training images that look unlike the rest: a folder of normal images may hold a few that are not."""

import dataclasses
from typing import Any

import numpy as np

from hw8.base.files import write_table
from hw8.data.arrays import Images
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.tails import outlier_limit
from hw8.training.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Suspects:
    """Rows of the training images that are unlike the rest, the most unlike first, and their scores, of `count`."""

    row_S: np.ndarray
    score_S: np.ndarray
    count: int

    def as_json(self) -> dict[str, Any]:
        """What summary.json holds of them."""
        return {"images": self.count, "suspects": len(self.row_S), "rows": self.row_S.tolist()}

    def write(self, folder: RunFolder) -> None:
        """Write suspects.csv, `ID,score`, where there are any: an ID is a row of trainingset.npy."""
        if len(self.row_S):
            rows = zip(self.row_S.tolist(), self.score_S.tolist(), strict=True)
            write_table(folder.path / "suspects.csv", ("ID", "score"), rows)


def find_suspects(run: TrainedRun, images: Images) -> Suspects:
    """Score all images that the run was trained, calibrated and measured on, and name those beyond the limit."""
    score_N = run.with_needed_evidence().score(images, np.arange(len(images)), label="suspects")[run.score_name]
    row_S = np.flatnonzero(score_N > outlier_limit(run.calibration.values_C[run.score_name]))
    row_S = row_S[np.argsort(-score_N[row_S], kind="stable")]
    return Suspects(row_S, score_N[row_S], len(images))

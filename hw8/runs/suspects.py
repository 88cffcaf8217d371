"""Training images that look unlike the rest: a folder of normal images may hold a few that are not."""

import dataclasses
from typing import Any

import numpy as np

from hw8.base.files import write_table
from hw8.data.arrays import Images
from hw8.data.splits import Splits
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.tails import outlier_threshold
from hw8.training.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Suspects:
    """Rows of the training images that are unlike the rest, the most unlike first, and their scores, of `count`."""

    row_S: np.ndarray
    score_S: np.ndarray
    count: int

    def as_json(self) -> dict[str, Any]:
        """What summary.json holds of them; their rows are in suspects.csv."""
        return {"images": self.count, "suspects": len(self.row_S)}

    def write(self, folder: RunFolder, names: list[str] | None) -> None:
        """Write suspects.csv where there are any: `ID,score`, and `file` if the training images have `names`.

        An ID is a row of trainingset.npy.
        """
        if not len(self.row_S):
            return
        columns, rows = ["ID", "score"], [self.row_S.tolist(), self.score_S.tolist()]
        if names is not None:
            columns, rows = [*columns, "file"], [*rows, [names[row] for row in self.row_S]]
        write_table(folder.path / "suspects.csv", columns, zip(*rows, strict=True))


def find_suspects(run: TrainedRun, images: Images, splits: Splits) -> Suspects:
    """Score all images that the run was trained, calibrated and measured on, and name those beyond the limit.

    An image that the distances were fitted to does not count among its own nearest neighbours.
    """
    row_N = np.arange(len(images))
    table = run.scorer.table(images, row_N, label="suspects")
    score_N = run.run_score(table, run.in_reference(row_N, splits))
    row_S = np.flatnonzero(score_N > outlier_threshold(run.normal_C))
    row_S = row_S[np.argsort(-score_N[row_S], kind="stable")]
    return Suspects(row_S, score_N[row_S], len(images))

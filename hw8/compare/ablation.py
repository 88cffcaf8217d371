"""What each piece of a run's evidence is worth: alone, left out of the joint score, and added to it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hw8.data.labels import Labels
from hw8.data.sources import open_source
from hw8.data.splits import reference_rows
from hw8.evaluation.held_out import Development, HeldOut
from hw8.evaluation.metrics import evaluate
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.calibration import JOINT, Calibration, Table

LEFT_OUT, ADDED = "joint without ", "joint with "
OTHERWISE = {True: "joint by nearest neighbours", False: "joint by Mahalanobis distance"}


@dataclasses.dataclass(frozen=True)
class Tables:
    """Evidence of the calibration normals, of the development split with its anomalies, and of the test set."""

    calibration: Table
    development: Development
    test: Table
    labels: Labels | None
    reference: Table | None
    neighbours: bool

    def row(self, score: str, parts: Sequence[str], neighbours: bool | None = None) -> dict[str, float]:
        """ROC-AUC of a score whose calibration is fitted anew with these parts, as the run's own or as `neighbours`."""
        nearest = self.neighbours if neighbours is None else neighbours
        wanted = {name: self.calibration[name] for name in (parts if score == JOINT else [score])}
        calibration = Calibration.fit(wanted, parts if score == JOINT else (), nearest, self.reference, (score,))
        held_out = HeldOut.of(self.development.mapped(calibration.scores), score)
        found = {"held_out": held_out.common.macro.auc, "unseen": held_out.unseen.macro.auc}
        if self.labels is not None:
            labelled = evaluate(calibration.scores(self.test)[score], self.labels)
            found |= {"macro": labelled.macro.auc} | {kind: item.auc for kind, item in labelled.kinds.items()}
        return found


def ablate(run: Path, where: str | None = None) -> pd.DataFrame:
    """One row a piece of evidence (alone), the joint score, and it without and with each: ROC-AUC of each.

    Columns: held_out and unseen, macro ROC-AUC without labels; where the test set of `where` (default: the run's own)
    has labels, macro and each kind. Calibrations are fitted anew; nothing is trained. Raises InputError if there is
    no such run, or it does not fit the data.
    """
    tables, parts = _read(run, where)
    names = [*tables.calibration]
    rows = {name: tables.row(name, ()) for name in names}
    if parts:
        rows[JOINT] = tables.row(JOINT, parts)
        rows[OTHERWISE[not tables.neighbours]] = tables.row(JOINT, parts, not tables.neighbours)
        rows |= {ADDED + name: tables.row(JOINT, (*parts, name)) for name in names if name not in parts}
    if len(parts) > 1:
        rows |= {LEFT_OUT + left: tables.row(JOINT, [name for name in parts if name != left]) for left in parts}
    return pd.DataFrame.from_dict(rows, orient="index")


def _read(run: Path, where: str | None) -> tuple[Tables, tuple[str, ...]]:
    trained = TrainedRun.load(run, "auto")
    config, take = trained.config, trained.scorer.with_all_evidence().table
    images, splits = trained.open_training()
    test_source = open_source(config.data.source if where is None else where)
    test = trained.open_test(test_source)
    on_training = config.scoring.fit_on == "training"
    tables = Tables(
        take(images, splits.calibration, label="calibration"),
        Development.measure(take, images, splits.development),
        take(test, np.arange(len(test)), label="test"),
        test_source.labels(len(test)),
        take(images, reference_rows(splits), label="training") if on_training else None,
        config.scoring.distance == "neighbours",
    )
    return tables, config.scoring.parts

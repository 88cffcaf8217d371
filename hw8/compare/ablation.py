"""What each piece of a run's evidence is worth: alone, left out of the joint score, and added to it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hw8.config import FUSED, JOINT, Distance, ScoreConfig
from hw8.data.labels import Labels
from hw8.data.splits import reference_rows
from hw8.evaluation.held_out import Development, HeldOut
from hw8.evaluation.metrics import evaluate
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.calibration import Calibration, Table


@dataclasses.dataclass(frozen=True)
class Tables:
    """Evidence of the calibration normals, of the development split with its anomalies, and of the test set."""

    calibration: Table
    development: Development
    test: Table
    labels: Labels | None
    reference: Table | None

    def row(self, score: str, parts: Sequence[str], distance: Distance, fused: Sequence[str] = ()) -> dict[str, float]:
        """ROC-AUC of one score, whose calibration is fitted anew; the joint score is that of these parts."""
        scoring = ScoreConfig(score=score, parts=tuple(parts), fused=tuple(fused), distance=distance)
        evidence = {name: self.calibration[name] for name in scoring.evidence_names}
        calibration = Calibration.fit(evidence, scoring, self.reference)
        held_out = HeldOut.of(self.development.mapped(calibration.scores), score)
        row = {"held_out": held_out.common.macro.auc, "unseen": held_out.unseen.macro.auc}
        if self.labels is not None:
            evaluation = evaluate(calibration.scores(self.test)[score], self.labels)
            row |= {"macro": evaluation.macro.auc} | {kind: item.auc for kind, item in evaluation.kinds.items()}
        return row


def ablate(run: Path, where: str | None = None) -> pd.DataFrame:
    """One row per piece of evidence (alone), the joint or fused score, and it without (and joint: with) each: ROC-AUC.

    Columns: held_out and unseen, macro ROC-AUC without labels; where the test set of `where` (default: the run's own)
    has labels, macro and each kind. Calibrations are fitted anew; nothing is trained. Raises InputError if there is
    no such run, or it does not fit the data.
    """
    trained = TrainedRun.load(run)
    scoring = trained.config.scoring
    parts, fused, distance = scoring.parts, scoring.fused, scoring.distance
    tables = _measure(trained, where)
    names = [*tables.calibration]
    rows = {name: tables.row(name, (), distance) for name in names}
    if parts:
        other: Distance = "neighbours" if distance == "mahalanobis" else "mahalanobis"
        label = {"mahalanobis": "Mahalanobis distance", "neighbours": "nearest neighbours"}[other]
        rows[JOINT] = tables.row(JOINT, parts, distance)
        rows[f"joint by {label}"] = tables.row(JOINT, parts, other)
    for name in names if parts else ():
        if name not in parts:
            rows[f"joint with {name}"] = tables.row(JOINT, (*parts, name), distance)
    for name in parts if len(parts) > 1 else ():
        rows[f"joint without {name}"] = tables.row(JOINT, [part for part in parts if part != name], distance)
    if fused:
        rows[FUSED] = tables.row(FUSED, parts, distance, fused)
    for name in fused if len(fused) > 1 else ():
        rows[f"fused without {name}"] = tables.row(FUSED, parts, distance, [other for other in fused if other != name])
    return pd.DataFrame.from_dict(rows, orient="index")


def _measure(trained: TrainedRun, where: str | None) -> Tables:
    """All evidence of the run's model on the images that calibrate, measure and are reported on."""
    # The run's own scorer gives only what its score needs.
    table = trained.with_all_evidence().scorer.table
    images, splits = trained.open_training()
    source = trained.open_source(where)
    test = trained.open_test(source)
    fit_on_training = trained.config.scoring.fit_on == "training"
    return Tables(
        table(images, splits.calibration, label="calibration"),
        Development.measure(table, images, splits.development),
        table(test, np.arange(len(test)), label="test"),
        source.labels(len(test)),
        table(images, reference_rows(splits), label="training") if fit_on_training else None,
    )

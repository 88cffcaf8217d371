"""What each piece of a run's evidence is worth: alone, left out of the joint score, and added to it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hw8.data.labels import Labels
from hw8.data.sources import open_source
from hw8.data.splits import split_rows
from hw8.evaluation.held_out import Development, HeldOut
from hw8.evaluation.metrics import evaluate
from hw8.member import Member
from hw8.scoring.calibration import JOINT, Calibration, Table

LEFT_OUT, ADDED, NEAREST = "joint without ", "joint with ", "joint by nearest neighbours"


@dataclasses.dataclass(frozen=True)
class Tables:
    """Evidence of the calibration normals, of the development split with its anomalies, and of the test set."""

    calibration: Table
    development: Development
    test: Table
    labels: Labels | None

    def row(self, score: str, parts: Sequence[str], neighbours: bool = False) -> dict[str, float]:
        """ROC-AUC of a score whose calibration is fitted anew with these parts."""
        calibration = Calibration.fit(self.calibration, parts, neighbours)
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
        rows[NEAREST] = tables.row(JOINT, parts, neighbours=True)
        rows |= {ADDED + name: tables.row(JOINT, (*parts, name)) for name in names if name not in parts}
    if len(parts) > 1:
        rows |= {LEFT_OUT + left: tables.row(JOINT, [name for name in parts if name != left]) for left in parts}
    return pd.DataFrame.from_dict(rows, orient="index")


def _read(run: Path, where: str | None) -> tuple[Tables, tuple[str, ...]]:
    member = Member.load(run, "auto")
    config, take = member.config, member.scorer.with_all_evidence().table
    source = open_source(config.data.source)
    images, test_source = source.training(config.data.crop), source if where is None else open_source(where)
    splits, test = split_rows(len(images), config.data), member.open_test(test_source)
    tables = Tables(
        take(images, splits.calibration, label="calibration"),
        Development.measure(take, images, splits.development),
        take(test, np.arange(len(test)), label="test"),
        test_source.labels(len(test)),
    )
    return tables, config.scoring.parts

"""Choose the constants of the transduction without labels: `python benchmarks/transduction.py RUN [OUT]`.

Test sets are simulated from the development images of RUN, a `boss` trained with `--development-share 0.3
--calibration-share 0.1`. The anomalies of one are altered by kinds that no model is trained on; those of another are
a group of the images themselves, found by k-means, which the training and calibration images that classifiers see are
then left without. The encoder and its calibration have seen such images, so that `boss` alone is at chance there.
Writes OUT.csv (default: docs/benchmarks/transduction), one row per family of test sets, share of anomalies and setting.
"""

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from hw8.base.files import write_text
from hw8.data.arrays import Images
from hw8.data.synthetic import corrupt
from hw8.evaluation.metrics import roc_auc
from hw8.runs.trained_run import TrainedRun
from hw8.scoring import transductive
from hw8.scoring.tails import conformal, is_flagged, leave_one_out_neg_log_p
from hw8.scoring.transductive import MIN_Z, Sample, Transducer, log_odds, mann_whitney_z

SHARES = 0.0, 0.05, 0.2, 0.5  # of anomalies in a simulated test set
CHOSEN_AT = 0.2  # the share at which constants other than the chosen ones are tried
# `boss` finds the other four of the unseen kinds nearly always (.998 or more).
KINDS = "mirror_half", "relight", "part_swap"
GROUPS, COMPONENTS = 8, 20  # of k-means, on as many principal components
# Around the values in hw8/scoring/transductive.py.
VARIED = {"PENALTY_C": (1e-4, 1e-3, 1e-2), "OWN_SCALE": (1.0, 3.0, 30.0), "FOLDS": (2,)}
LIMITS = 1.0, 2.0, 3.0  # values of MIN_Z


@dataclasses.dataclass(frozen=True)
class Described:
    """Columns of images (N, D) that classifiers learn from, the last of which is -log p of the run, and its scores."""

    value_ND: np.ndarray
    inductive_N: np.ndarray

    def rows(self, rows: np.ndarray) -> "Described":
        """Those of these rows."""
        return Described(self.value_ND[rows], self.inductive_N[rows])


@dataclasses.dataclass(frozen=True)
class Simulated:
    """A test set: what is known of training and calibration normals, and of its own images, which are `anomalous_N`."""

    family: str
    share: float
    normal: Described
    calibration: Described
    test: Described
    anomalous_N: np.ndarray


def groups(images: Images, column_ND: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Groups of the images (N,) by their colours, shrunk to 8x8 pixels, and by the columns of their evidence."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    pixels = images.read(np.arange(len(images))).astype(np.float32)
    cell = images.side // 8
    small_ND = pixels.reshape(len(pixels), 8, cell, 8, cell, -1).mean((2, 4)).reshape(len(pixels), -1)
    standard_ND = (column_ND - column_ND.mean(0)) / (column_ND.std(0) + 1e-9)
    for name, value_ND in (("group by colour", small_ND), ("group by evidence", standard_ND)):
        component_NK = PCA(COMPONENTS, random_state=0).fit_transform(value_ND)
        yield name, KMeans(GROUPS, n_init=3, random_state=0).fit_predict(component_NK)


def simulated(run: TrainedRun) -> Iterator[Simulated]:
    """Every test set, of all shares."""
    images, splits = run.open_training()
    transducer = Transducer(run.scorer, run.calibration, run.score_name, run.config.seed)

    def described(of: Images) -> Described:
        rows = np.arange(len(of))
        return Described(transducer.describe(Sample(of, rows)), run.score(of, rows)[run.score_name])

    known = described(images)
    inductive_C = run.normal_C
    known.value_ND[splits.calibration, -1] = leave_one_out_neg_log_p(inductive_C)
    known.inductive_N[splits.calibration] = inductive_C
    dev = splits.development
    altered = {kind: described(Images(corrupt(kind, images, dev, dev, 0))) for kind in KINDS}
    by = list(groups(images, known.value_ND[:, :-1]))
    for share in SHARES:
        rng = np.random.default_rng(0)
        for kind in KINDS:
            order = rng.permutation(len(dev))
            count = round(share * len(dev))
            changed, same = altered[kind].rows(order[:count]), known.rows(dev[order[count:]])
            test = Described(
                np.concatenate([changed.value_ND, same.value_ND]),
                np.concatenate([changed.inductive_N, same.inductive_N]),
            )
            normal, calibration = known.rows(splits.train), known.rows(splits.calibration)
            yield Simulated("altered", share, normal, calibration, test, np.arange(len(dev)) < count)
        for name, group_N in by:
            for group in range(0, GROUPS, 2):
                inside, outside = dev[group_N[dev] == group], dev[group_N[dev] != group]
                inside = rng.permutation(inside)[: round(share / (1 - share) * len(outside))]
                outside = rng.permutation(outside)[: round(len(inside) * (1 - share) / share) if share else None]
                rows = np.concatenate([inside, outside])
                normal, calibration = (
                    known.rows(part[group_N[part] != group]) for part in (splits.train, splits.calibration)
                )
                test = known.rows(rows)
                yield Simulated(name, share, normal, calibration, test, np.arange(len(rows)) < len(inside))


def settings(share: float) -> Iterator[dict[str, float]]:
    """The chosen constants and, at one share, others, one at a time."""
    yield {}
    if share == CHOSEN_AT:
        for name, values in VARIED.items():
            yield from ({name: value} for value in values)


def measure(run: TrainedRun) -> Iterator[Mapping[str, object]]:
    """One row for each test set, setting, and limit."""
    for one in simulated(run):
        aucs = {"boss_auc": auc(one.test.inductive_N, one.anomalous_N)}
        for setting in settings(one.share):
            constants = {name: setting.get(name, getattr(transductive, name)) for name in VARIED}
            with mock.patch.multiple(transductive, **constants):
                odds = log_odds(one.normal.value_ND, one.calibration.value_ND, one.test.value_ND, run.config.seed)
            odds_auc, p_N = auc(odds[1], one.anomalous_N), conformal(*odds)
            for limit in LIMITS if not setting else (MIN_Z,):
                found = mann_whitney_z(*odds) >= limit
                yield (
                    {"family": one.family, "share": one.share} | constants | {"MIN_Z": limit} | aucs
                    | {"odds_auc": odds_auc, "auc": odds_auc if found else aucs["boss_auc"], "found": float(found)}
                    | {"normals_at_p05": float(is_flagged(p_N[~one.anomalous_N]).mean())}
                )  # fmt: skip


def auc(score_N: np.ndarray, anomalous_N: np.ndarray) -> float:
    """ROC-AUC, or NaN without anomalies."""
    return roc_auc(score_N[~anomalous_N], score_N[anomalous_N]) if anomalous_N.any() else float("nan")


def main() -> None:
    """Measure, then write the means over the test sets of a family."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python benchmarks/transduction.py RUN [OUT]")
    out = Path(sys.argv[2] if len(sys.argv) == 3 else "docs/benchmarks/transduction").with_suffix(".csv")
    rows = pd.DataFrame(list(measure(TrainedRun.load(Path(sys.argv[1])))))
    means = rows.groupby(["family", "share", *VARIED, "MIN_Z"], sort=False).mean().reset_index()
    write_text(out, means.to_csv(index=False, float_format="%.4g"))
    print(means.to_string(index=False, float_format="%.3f"))


if __name__ == "__main__":
    main()

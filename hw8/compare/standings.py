"""Which method wins, by how much, and whether the difference is real: the runs of a comparison, one row per preset."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from hw8.compare.columns import PUBLISHED
from hw8.compare.leaderboard import run_path
from hw8.config.presets import PRESETS, load_preset
from hw8.data.labels import Labels
from hw8.evaluation.paired import differences_from
from hw8.runs.submission import read_submission

# Models trained to tell blends, pasted patches, local warps or (classifier_noise) noise from normal images: the common
# held-out anomalies are of these kinds, so that a held-out figure overrates these models.
TRAINED_ON_HELD_OUT_KINDS = ("classifier", "recogniser")
# Two rows always correlate with 1 or -1, which says nothing.
MIN_ROWS = 3


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per preset: means over its seeds, the spread of the macro AUC over two or more seeds; best first."""
    rows = succeeded(rows)
    if rows.empty:
        return pd.DataFrame({"preset": []})
    order = "macro_auc" if "macro_auc" in rows else "held_out_auc"
    by_preset = rows.drop(columns=["seed"]).groupby("preset", sort=False)
    table = by_preset.mean(numeric_only=True)
    table.insert(0, "seeds", by_preset.size())
    if (table["seeds"] > 1).any():
        spread = by_preset[order].agg(lambda values: np.ptp(values) if len(values) > 1 else np.nan)
        table.insert(list(table.columns).index(order) + 1, "spread", spread)
    table["published"] = [PUBLISHED.get(str(name), np.nan) for name in table.index]
    table["same"] = by_preset["same"].first()
    return table.sort_values(order, ascending=False).reset_index()


def with_differences(table: pd.DataFrame, rows: pd.DataFrame, folder: Path, labels: Labels | None) -> pd.DataFrame:
    """The rows of `summarise` with `difference`, `difference_low` and `difference_high`: macro AUC less the best row's.

    The intervals of all rows hold together with 95% (see `differences_from`). The best row is the first that scores
    images one by one; its difference is 0 without an interval, and transductive rows have none. Reads each run's
    scores.csv in `folder`. Raises InputError if one is damaged.
    """
    if labels is None or "macro_auc" not in table:
        return table
    rows = succeeded(rows)
    scores = {
        name: [
            read_submission(run_path(folder, (name, int(seed))) / "scores.csv", len(labels))
            for seed in rows.loc[rows["preset"] == name, "seed"]
        ]
        for name in table["preset"]
        if not is_transductive(name)
    }
    best = next(iter(scores), "")
    differences = {best: (0.0, np.nan, np.nan)} | (differences_from(best, scores, labels) if scores else {})
    values = np.array([differences.get(name, (np.nan,) * 3) for name in table["preset"]])
    names = ("difference", "difference_low", "difference_high")
    return table.assign(**dict(zip(names, values.T, strict=True)))


@dataclasses.dataclass(frozen=True)
class HeldOutRankCorrelation:
    """Spearman's correlation of held-out and labelled macro AUC over some rows, and over the better half of them.

    The better half are the rows with the larger held-out figures: those between which one would choose. `better` is
    None where that half has fewer than three rows.
    """

    every: float
    rows: int
    better: float | None
    better_rows: int


def held_out_rank_correlation(table: pd.DataFrame) -> HeldOutRankCorrelation | None:
    """How well held-out figures rank the rows of `summarise` as labels do. None for fewer than three.

    Rows of one configuration under two names count once, and presets that are trained on the held-out split's kinds
    of anomaly are omitted.
    """
    if "macro_auc" not in table:
        return None
    # Twice the same configuration would count its agreement twice.
    rows = table[~table["preset"].map(knows_held_out_kinds)].drop_duplicates("same")
    if len(rows) < MIN_ROWS:
        return None
    better = rows.nlargest(-(-len(rows) // 2), "held_out_auc")
    every, half = (float(some["held_out_auc"].corr(some["macro_auc"], method="spearman")) for some in (rows, better))
    return HeldOutRankCorrelation(every, len(rows), half if len(better) >= MIN_ROWS else None, len(better))


def knows_held_out_kinds(preset: str) -> bool:
    """Whether a preset's model is trained to tell some of the common held-out kinds from normal images."""
    return preset in PRESETS and load_preset(preset).model.name in TRAINED_ON_HELD_OUT_KINDS


def is_transductive(preset: str) -> bool:
    """Whether a preset's scores look at the unlabelled test images as a whole."""
    return preset in PRESETS and load_preset(preset).scoring.transductive


def marked(preset: str) -> str:
    """A preset's name as tables show it: (*) marks transductive ones, which are not to be compared with others."""
    return f"{preset} (*)" if is_transductive(preset) else preset


def succeeded(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the runs that came to a result."""
    return rows[rows["failure"].isna()] if "failure" in rows else rows


def _failed(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["failure"].notna()] if "failure" in rows else rows.iloc[:0].assign(preset="", failure="")


def failed_presets(rows: pd.DataFrame) -> dict[str, str]:
    """Presets without any result, and why."""
    failed = _failed(rows)
    failed = failed[~failed["preset"].isin(succeeded(rows)["preset"])]
    return dict(zip(failed["preset"], failed["failure"], strict=True))


def failures(rows: pd.DataFrame) -> list[str]:
    """One line for every run without a result."""
    return [f"{row['preset']}, seed {row['seed']}: {row['failure']}" for row in _failed(rows).to_dict("records")]

"""Which method wins, by how much, and whether the difference is real: the runs of a comparison, a row a preset."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from hw8.compare.leaderboard import run_name
from hw8.config.presets import PRESETS, load_preset
from hw8.data.labels import Labels
from hw8.evaluation.paired import differences_from
from hw8.runs.submission import read_submission

# Trained to tell blends, pasted patches, local warps or (classifier_noise) noise from normal images: what the common
# held-out kinds say of them is too good.
TRAINED_ON_HELD_OUT_KINDS = ("classifier", "recogniser")

# Public Kaggle ROC-AUC of the nearest method that a student published for the 2023 homework: not ours, on other data,
# and often with another crop or latent. Only scores that could be read at their source stand here.
PUBLISHED_SOURCE = 'README of a student\'s public repository, "ML HW8 - Anomaly Detection" (NYCU), section 6'
PUBLISHED = {
    "conv": 0.72877,
    "classifier_noise": 0.68294,
    "memae": 0.75269,
    "memae_sparse": 0.67298,
    "vae": 0.73048,
    "vqvae": 0.73734,
}


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a preset: means over its seeds, the spread of the macro AUC over them where there are two, best first."""
    done = rows[rows["failure"].isna()] if "failure" in rows else rows
    if done.empty:
        return pd.DataFrame({"preset": []})
    order = "macro_auc" if "macro_auc" in done else "held_out_auc"
    by_preset = done.drop(columns=["seed"]).groupby("preset", sort=False)
    table = by_preset.mean(numeric_only=True)
    table.insert(0, "seeds", by_preset.size())
    spread = by_preset[order].agg(lambda values: values.max() - values.min() if len(values) > 1 else np.nan)
    table.insert(list(table.columns).index(order) + 1, "spread", spread)
    table["published"] = [PUBLISHED.get(str(name), np.nan) for name in table.index]
    table["same"] = by_preset["same"].first()
    return table.sort_values(order, ascending=False).reset_index()


def with_differences(table: pd.DataFrame, rows: pd.DataFrame, folder: Path, labels: Labels | None) -> pd.DataFrame:
    """The rows of `summarise` with `difference`, `difference_low` and `difference_high`: macro AUC less the best row's.

    The intervals of all rows hold together with 95% (see `differences_from`). The best row is the first that scores
    images one by one; it and transductive rows have none. Reads each run's scores.csv in `folder`. Raises InputError if
    one is damaged.
    """
    names = ["difference", "difference_low", "difference_high"]
    if labels is None or "macro_auc" not in table:
        return table
    fair = [name for name in table["preset"] if not is_transductive(name)]
    done = rows[rows["failure"].isna()] if "failure" in rows else rows
    scores = {
        name: [
            read_submission(folder / run_name((name, int(seed))) / "scores.csv", len(labels))
            for seed in done.loc[done["preset"] == name, "seed"]
        ]
        for name in fair
    }
    found = differences_from(fair[0], scores, labels) if fair else {}
    values = [found.get(name, (np.nan,) * 3) for name in table["preset"]]
    return table.assign(**dict(zip(names, np.array(values).T, strict=True)))


@dataclasses.dataclass(frozen=True)
class RankCorrelation:
    """Spearman's correlation of held-out and labelled macro AUC over some rows, and over the better half of them.

    The better half are the rows with the larger held-out figures: those between which one would choose. Of fewer than
    three its correlation says nothing and is None.
    """

    every: float
    rows: int
    better: float | None
    better_rows: int


def rank_correlation(table: pd.DataFrame) -> RankCorrelation | None:
    """How well held-out figures rank the rows of `summarise` as labels do. None for fewer than three.

    Rows of one configuration under two names count once, and presets that are trained on the held-out split's kinds
    of anomaly not at all.
    """
    if "macro_auc" not in table:
        return None
    known = table[~table["preset"].map(knows_held_out_kinds)].drop_duplicates("same")
    if len(known) < 3:
        return None
    better = known.nlargest(-(-len(known) // 2), "held_out_auc")
    every, half = (float(rows["held_out_auc"].corr(rows["macro_auc"], method="spearman")) for rows in (known, better))
    return RankCorrelation(every, len(known), half if len(better) > 2 else None, len(better))


def knows_held_out_kinds(preset: str) -> bool:
    """Whether a row's model is trained to tell some of the common held-out kinds from normal images."""
    return preset in PRESETS and load_preset(preset).model.name in TRAINED_ON_HELD_OUT_KINDS


def is_transductive(preset: str) -> bool:
    """Whether a row's scores looked at the unlabelled test images as a whole."""
    return preset in PRESETS and load_preset(preset).scoring.transductive


def failed_presets(rows: pd.DataFrame) -> dict[str, str]:
    """Presets without any result, and why."""
    if "failure" not in rows:
        return {}
    good = set(rows.loc[rows["failure"].isna(), "preset"])
    failed = rows[rows["failure"].notna() & ~rows["preset"].isin(good)]
    return dict(zip(failed["preset"], failed["failure"], strict=True))


def failures(rows: pd.DataFrame) -> Iterable[str]:
    """One line for every entry without a result."""
    if "failure" in rows:
        for row in rows[rows["failure"].notna()].itertuples():
            yield f"{row.preset}, seed {row.seed}: {row.failure}"

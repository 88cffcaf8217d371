"""Which method wins, by how much, and whether the difference is real: the runs of a comparison, a row a preset."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from hw8.data.labels import Labels
from hw8.evaluation.leaderboard import run_name
from hw8.evaluation.paired import paired_difference
from hw8.presets import PRESETS, load_preset
from hw8.submission import read_submission

# Trained to tell blends, pasted patches and local warps: what the common held-out kinds say of them is too good.
TRAINED_ON_HELD_OUT_KINDS = ("classifier", "recogniser")

# Public Kaggle ROC-AUC of the nearest method that students and the course published for the 2023 homework: not ours, on
# other data, and often with another crop or latent.
PUBLISHED = {
    "course_fcn": 0.728,
    "course_cnn": 0.683,
    "course_vae": 0.535,
    "fcn_crop": 0.840,
    "conv": 0.729,
    "resnet_auxiliary": 0.792,
    "classifier_noise": 0.683,
    "memae": 0.753,
    "memae_sparse": 0.673,
    "vae": 0.730,
    "vqvae": 0.737,
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

    The intervals hold together with 95%, however many rows there are. The best row is the first that scores images
    one by one; it and transductive rows have none. Reads each run's scores.csv in `folder`. Raises InputError if one is
    damaged.
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
    found = {name: paired_difference(scores[name], scores[fair[0]], labels) for name in fair[1:]}
    values = [
        (found[name].value, *found[name].interval(len(found))) if name in found else (np.nan,) * 3
        for name in table["preset"]
    ]
    return table.assign(**dict(zip(names, np.array(values).T, strict=True)))


def rank_correlation(table: pd.DataFrame) -> tuple[float, int] | None:
    """Spearman's correlation of held-out and labelled macro AUC over the rows of `summarise`, and their number.

    Rows of one configuration under two names count once, and presets that are trained on the held-out split's kinds
    of anomaly not at all. None for fewer than three.
    """
    if "macro_auc" not in table:
        return None
    chosen = table[~table["preset"].map(knows_held_out_kinds)].drop_duplicates("same")
    if len(chosen) < 3:
        return None
    return float(chosen["held_out_auc"].corr(chosen["macro_auc"], method="spearman")), len(chosen)


def knows_held_out_kinds(preset: str) -> bool:
    """Whether a row's model is trained on some of the common held-out kinds."""
    if preset not in PRESETS or preset == "classifier_noise":
        return False
    return load_preset(preset).model.name in TRAINED_ON_HELD_OUT_KINDS


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

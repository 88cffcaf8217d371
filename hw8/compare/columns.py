"""The columns of a comparison, one record each: add one here, and the CSV file, the tables and the page have it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from hw8.evaluation.held_out import HeldOut
from hw8.evaluation.metrics import Evaluation

# When a column leaves the printed table because it is too wide: never, last, and so on; FILES_ONLY is never printed.
DROP_NEVER, DROP_LAST, DROP_SECOND, DROP_FIRST, FILES_ONLY = range(5)

# Public Kaggle ROC-AUC of the nearest method that a student published for the 2023 homework: not ours, on other data,
# and often with another crop or latent. Only scores that could be read at their source are listed.
PUBLISHED_SOURCE = 'README of a student\'s public repository, "ML HW8 - Anomaly Detection" (NYCU), section 6'
PUBLISHED = {
    "conv": 0.72877,
    "classifier_noise": 0.68294,
    "memae": 0.75269,
    "memae_sparse": 0.67298,
    "vae": 0.73048,
    "vqvae": 0.73734,
}


@dataclasses.dataclass(frozen=True)
class Measured:
    """What is measured of one run; `summary` is its summary.json, empty for a classical baseline."""

    held_out: HeldOut
    score_name: str
    minutes: float
    scoring_images_per_second: float
    summary: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    peak_private_mb: float | None = None


@dataclasses.dataclass(frozen=True)
class Column:
    """One column: `key` names it in the CSV file, `heading` in tables ("": not shown there).

    `form` writes the number, unless `text` writes a whole row of the summary. The figure comes from a run, from its
    evaluation by labels or, with neither, from the summary over runs (`standings`).
    """

    key: str
    heading: str
    form: str = "{:.3f}"
    drop_order: int = FILES_ONLY
    meaning: str = ""
    of_run: Callable[[Measured], float | str | None] | None = None
    of_labels: Callable[[Evaluation], float] | None = None
    text: Callable[[Mapping[Any, Any]], str] | None = None

    def cell(self, row: Mapping[Any, Any]) -> str:
        """The text of this column in a row of the summary; "" where it has no figure."""
        if pd.isna(row[self.key]):
            return ""
        return self.form.format(row[self.key]) if self.text is None else self.text(row)


def _difference(row: Mapping[Any, Any]) -> str:
    """The difference from the best row with its interval; the best row is the one that has no interval."""
    low, high = row["difference_low"], row["difference_high"]
    if pd.isna(low):
        return "best"
    tie = "tie " if low <= 0 <= high else ""
    return f"{tie}{row['difference']:+.3f} ({low:+.3f} to {high:+.3f})"


# Stands for one column for each kind of anomaly, with the kind's name after the prefix.
KIND = Column("auc_", "", drop_order=DROP_FIRST)
COLUMNS = (
    Column(
        "held_out_auc", "held-out", drop_order=DROP_NEVER, of_run=lambda run: run.held_out.common.macro.auc,
        meaning="macro ROC-AUC without labels, against synthetic anomalies",
    ),
    Column(
        "unseen_auc", "unseen", drop_order=DROP_SECOND, of_run=lambda run: run.held_out.unseen.macro.auc,
        meaning="that against a second set of synthetic anomalies, of kinds that no model is trained on",
    ),
    Column(
        "macro_auc", "macro", drop_order=DROP_NEVER, of_labels=lambda labelled: labelled.macro.auc,
        meaning="mean ROC-AUC over anomaly kinds on labelled test images, mean over seeds",
    ),
    Column("spread", "spread", drop_order=DROP_LAST, meaning="largest less smallest over seeds"),
    Column(
        "low", "95%", drop_order=DROP_NEVER, of_labels=lambda labelled: labelled.macro.low,
        meaning="interval over images",
        text=lambda row: f"{row['low']:.3f} to {row['high']:.3f}",
    ),
    Column("high", "", of_labels=lambda labelled: labelled.macro.high),
    Column(
        "difference", "to best", drop_order=DROP_NEVER, text=_difference,
        meaning="paired difference from the best row with a 95% interval over images, and over seeds where there are "
        "several, for all rows together; a tie where that holds zero",
    ),
    KIND,
    Column("average_precision", "AP", of_labels=lambda labelled: labelled.average_precision),
    Column("fpr95", "fpr95", of_labels=lambda labelled: labelled.fpr95),
    Column(
        "public", "public", "{:.5f}", drop_order=DROP_NEVER,
        meaning="Kaggle's ROC-AUC of those of the preset's runs that were submitted, their mean",
    ),
    Column("private", "private", "{:.5f}", drop_order=DROP_NEVER, meaning="that on the other part of the test set"),
    Column("seeds", "seeds", "{:,.0f}"),
    Column("epochs", "epochs", "{:,.0f}", of_run=lambda run: run.summary.get("epochs")),
    Column("parameters", "parameters", "{:,.0f}", of_run=lambda run: run.summary.get("parameters")),
    Column("minutes", "minutes", "{:.2f}", drop_order=DROP_NEVER, of_run=lambda run: run.minutes),
    Column("training_images_per_second", "train/s", "{:,.0f}", of_run=lambda run: run.summary.get("images_per_second")),
    Column("scoring_images_per_second", "score/s", "{:,.0f}", of_run=lambda run: run.scoring_images_per_second),
    Column("score", "", of_run=lambda run: run.score_name),
    Column(
        "peak_private_mb", "memory MB", "{:,.0f}", of_run=lambda run: run.peak_private_mb,
        meaning="largest private memory of the process, in which runs follow each other, while it trained and scored",
    ),
    Column(
        "published", "published",
        meaning="public Kaggle score of the nearest published method in the homework, not ours, on other data, often "
        f"with another crop; source: {PUBLISHED_SOURCE}",
    ),
)  # fmt: skip


def figures(run: Measured | None, evaluation: Evaluation | None) -> dict[str, Any]:
    """The figures of one run by key, in the order of COLUMNS: those of the run, and those of its labels if there are.

    A figure that is None is omitted, so that a comparison of classical baselines alone has no empty columns.
    """
    values: dict[str, Any] = {}
    for column in COLUMNS:
        if run is not None and column.of_run is not None:
            values[column.key] = column.of_run(run)
        if evaluation is not None and column.of_labels is not None:
            values[column.key] = column.of_labels(evaluation)
        if evaluation is not None and column is KIND:
            values |= {KIND.key + kind: interval.auc for kind, interval in evaluation.kinds.items()}
    return {key: value for key, value in values.items() if value is not None}


def without_label_figures(row: Mapping[str, Any]) -> dict[str, Any]:
    """A run's row without what was measured by labels."""
    labelled = {column.key for column in COLUMNS if column.of_labels is not None}
    return {key: value for key, value in row.items() if key not in labelled and not key.startswith(KIND.key)}


def shown_columns(table: pd.DataFrame) -> list[Column]:
    """The columns of a summary as tables show them, in the order of COLUMNS."""
    columns: list[Column] = []
    for column in COLUMNS:
        if column is KIND:
            columns += [_of_kind(str(key)) for key in table if str(key).startswith(KIND.key)]
        elif column.heading and column.key in table:
            columns.append(column)
    if "macro_auc" not in table:  # then the spread is that of the held-out figure, and stands beside it
        columns.sort(key=lambda column: column.key not in ("held_out_auc", "spread"))
    return columns


def by_importance(table: pd.DataFrame) -> list[str]:
    """The headings of a summary's columns, those first that a narrow table keeps; by labels before without."""
    columns = sorted(shown_columns(table), key=lambda column: (column.drop_order, column.key != "macro_auc"))
    return [column.heading for column in columns]


def _of_kind(key: str) -> Column:
    """The column of one kind of anomaly; a kind that is named like another column keeps the prefix."""
    kind = key.removeprefix(KIND.key)
    # Without a prefix, a kind called "macro" would take the place of the mean over kinds.
    reserved = {"preset", "failed", "", *(column.heading for column in COLUMNS)}
    return dataclasses.replace(KIND, key=key, heading=key if kind in reserved else kind)

"""The comparison as text, Markdown and CSV."""

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from hw8.base.environment import describe_environment
from hw8.base.errors import InputError
from hw8.base.files import write_text
from hw8.compare.leaderboard import run_name
from hw8.compare.standings import (
    PUBLISHED_SOURCE,
    failed_presets,
    failures,
    is_transductive,
    knows_held_out_kinds,
    rank_correlation,
    summarise,
    with_differences,
)
from hw8.data.labels import Labels
from hw8.kaggle import LEDGER, Ledger, scores_of_run

COLUMNS = 100
SHORT = {
    "held_out_auc": "held-out",
    "unseen_auc": "unseen",
    "macro_auc": "macro",
    "average_precision": "AP",
    "difference": "to best",
    "training_images_per_second": "train/s",
    "scoring_images_per_second": "score/s",
    "peak_private_mb": "memory MB",
}
MEANING = (
    "macro: mean ROC-AUC over anomaly kinds on labelled test images, mean over seeds; 95%: interval over images; "
    "spread: largest less smallest over seeds; to best: paired difference from the best row with a 95% interval over "
    "images, and over seeds where there are several, for all rows together; a tie where that holds zero; held-out, "
    "unseen: macro ROC-AUC without labels, against two sets of synthetic anomalies; memory: largest private memory of "
    "the process, in which the runs follow each other, while it trained and scored; published: public Kaggle score of "
    "the nearest published method in the homework, not ours, on other data, often with another crop; source: "
    f"{PUBLISHED_SOURCE}."
)
KAGGLE = ("public", "private")
LAST = ("seeds", "parameters", "minutes", "train/s", "score/s", "memory MB", "published")

log = logging.getLogger(__name__)


def write_leaderboard(
    rows: pd.DataFrame, out: Path, command: str, folder: Path | None = None, labels: Labels | None = None
) -> str:
    """Write OUT.csv (every run) and OUT.md (a row a preset); return the table to print, at most 100 columns wide.

    With the runs' `folder` and the test images' `labels`, rows have their difference from the best.
    """
    table = summarise(rows)
    if folder is not None:
        table = with_differences(table, rows, folder, labels)
    shown = readable(table, failed_presets(rows))
    lines = ["# Comparison", "", *(f"- {line}" for line in [*head(command, rows), MEANING, *notes(rows, table)])]
    write_text(out.with_suffix(".csv"), rows.to_csv(index=False))
    write_text(out.with_suffix(".md"), "\n".join([*lines, "", _markdown(shown)]) + "\n")
    return _printed(shown)


def with_kaggle_scores(rows: pd.DataFrame, folder: Path, ledger: Path = LEDGER) -> pd.DataFrame:
    """The runs with Kaggle's `public` and `private` score of those that were submitted; as they are if none was.

    A damaged ledger is said aloud and counts for nothing: it is no reason to lose a comparison.
    """
    try:
        entries = Ledger(ledger).entries()
    except InputError as error:
        log.warning("%s", error)
        return rows
    if not entries or rows.empty:
        return rows
    runs = zip(rows["preset"], rows["seed"], strict=True)
    found = [scores_of_run(entries, folder / run_name((name, int(seed)))) for name, seed in runs]
    scores = pd.DataFrame(found, columns=list(KAGGLE), index=rows.index, dtype=float).dropna(axis="columns", how="all")
    return rows if scores.empty else rows.join(scores)


def head(command: str, rows: pd.DataFrame) -> list[str]:
    """Command, date, versions, commit and hardware."""
    environment = describe_environment()
    versions = environment["versions"]
    return [
        f"Last command: `{command}`",
        f"{environment['finished'][:10]}; PyTorch {versions['torch']}, Python {versions['python']}",
        *(
            f"{name}: {', '.join(map(str, rows[name].dropna().unique()))}"
            for name in ("commit", "hardware")
            if name in rows
        ),
    ]


def notes(rows: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """The rank correlation of held-out and labelled AUC, what is marked, and what failed."""
    found = [f"Failed: {line}" for line in failures(rows)]
    if table["preset"].map(is_transductive).any():
        found.append(
            "(*) looks at the unlabelled test images as a whole when it scores them: not to be compared with others"
        )
    if set(KAGGLE) & set(table.columns):
        found.append("public, private: Kaggle's ROC-AUC of those of the preset's runs that were submitted, their mean")
    correlation = rank_correlation(table)
    if correlation is not None:
        better = ""
        if correlation.better is not None:
            better = f"; over the {correlation.better_rows} with the larger held-out figures: {correlation.better:.2f}"
        known = [name for name in table["preset"] if knows_held_out_kinds(name)]
        left_out = f" (without {', '.join(known)}, trained on like anomalies)" if known else ""
        found.append(
            f"Spearman rank correlation of held-out and labelled macro AUC over {correlation.rows} rows{left_out}: "
            f"{correlation.every:.2f}{better}"
        )
    return found


def readable(table: pd.DataFrame, failed: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Numbers as people read them, columns by their short names, figures of merit before costs.

    `failed` presets follow as rows, with their reason in a column of its own.
    """
    text = table.drop(columns="same", errors="ignore").astype(object)
    marked = text["preset"].map(is_transductive).astype(bool)
    text["preset"] = text["preset"].where(~marked, text["preset"] + " (*)")
    for name in text.columns[1:]:
        text[name] = ["" if pd.isna(value) else _form(name).format(value) for value in table[name]]
    if "low" in text:
        text["low"] = [f"{low} to {high}" if low else "" for low, high in zip(text["low"], text["high"], strict=True)]
        text = text.rename(columns={"low": "95%"}).drop(columns="high")
    if "difference" in text:
        text["difference"] = standing(table)
        text = text.drop(columns=["difference_low", "difference_high"])
        text.insert(list(text.columns).index("95%") + 1, "difference", text.pop("difference"))
    text = text.rename(columns=short_names([str(name) for name in text]))
    text = text[[name for name in text if name not in LAST] + [name for name in LAST if name in text]]
    if failed:
        rows = pd.DataFrame({"preset": list(failed), "failed": list(failed.values())})
        text = pd.concat([text, rows], ignore_index=True).fillna("")
    return text


def short_names(names: list[str]) -> dict[str, str]:
    """Short names of columns; a kind of anomaly that is named like another column keeps the prefix auc_."""
    found = {name: SHORT.get(name, name) for name in names}
    taken = {*found.values(), *LAST, "95%"}
    kinds = {name: name.removeprefix("auc_") for name in names if name.startswith("auc_")}
    return found | {name: kind for name, kind in kinds.items() if kind and kind not in taken}


def standing(table: pd.DataFrame) -> list[str]:
    """Each row's difference from the best row in words: best, tie, or by how much it is behind."""
    fair = [index for index, name in enumerate(table["preset"]) if not is_transductive(name)]
    words = []
    for index, row in enumerate(table.to_dict("records")):
        if fair and index == fair[0]:
            words.append("best")
        elif pd.isna(row["difference"]):
            words.append("")
        else:
            interval = f"({row['difference_low']:+.3f} to {row['difference_high']:+.3f})"
            tie = "tie " if row["difference_low"] <= 0 <= row["difference_high"] else ""
            words.append(f"{tie}{row['difference']:+.3f} {interval}")
    return words


def _form(name: str) -> str:
    whole = name in ("seeds", "parameters", "peak_private_mb") or name.endswith("per_second")
    digits = {"minutes": 2, "public": 5, "private": 5}.get(name, 3)
    return "{:,.0f}" if whole else f"{{:.{digits}f}}"


def _printed(shown: pd.DataFrame) -> str:
    """The table without what does not fit: costs but minutes first, then kinds from the last, which the files keep."""
    short = shown.rename(columns={"minutes": "min"})
    if "95%" in short:
        short["95%"] = short["95%"].str.replace("0.", ".").str.replace(" to ", "-")
    if "to best" in short:
        short["to best"] = (
            short["to best"]
            .str.replace(r" ?[-+]?[\d.]* ?\(.*", "", regex=True)
            .where(short["to best"].str.startswith("tie"), short["to best"].str.replace(r" \(.*", "", regex=True))
        )
    hidden = ["AP", "fpr95", "train/s", "score/s", "memory MB", "published", "parameters", "seeds"]
    short = short.drop(columns=[name for name in hidden if name in short])
    for name in short.columns[1:]:
        short[name] = short[name].str.replace(r"^([-+]?)0\.", r"\1.", regex=True)
    if "failed" in short:
        first = next(name for name in short.columns[1:])
        short[first] = short[first].where(short["failed"] == "", "failed")
        short = short.drop(columns="failed")
    kept = ("preset", "macro", "95%", "spread", "to best", "held-out", "unseen", "min", *KAGGLE)
    droppable = ["spread", "unseen", *(name for name in short if name not in kept)]
    while droppable and len(_lines(short)[0]) > COLUMNS:
        short = short.drop(columns=droppable.pop())
    return "\n".join(_lines(short))


def _lines(table: pd.DataFrame) -> list[str]:
    """The table as text, its first column to the left."""
    width = max(map(len, [str(table.columns[0]), *table.iloc[:, 0]]), default=0)
    return table.to_string(index=False, formatters={table.columns[0]: f"{{:<{width}}}".format}).splitlines()


def _markdown(shown: pd.DataFrame) -> str:
    rows = [list(shown.columns), *shown.to_numpy().tolist()]
    lines = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(shown.columns), *lines[1:]])

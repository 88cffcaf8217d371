"""The comparison as text, Markdown, CSV and a page."""

from pathlib import Path

import pandas as pd

from hw8.environment import describe_environment
from hw8.evaluation.leaderboard import (
    failures,
    is_transductive,
    knows_held_out_kinds,
    rank_correlation,
    summarise,
)
from hw8.files import write_text

SHORT = {
    "held_out_auc": "held-out",
    "macro_auc": "macro",
    "average_precision": "AP",
    "training_images_per_second": "train/s",
    "scoring_images_per_second": "score/s",
}
WIDE = ("low", "high", "AP", "fpr95", "train/s", "score/s", "published")


def write_leaderboard(rows: pd.DataFrame, out: Path, command: str) -> str:
    """Write OUT.csv (every run), OUT.md and OUT.html (a row a preset); return the table to print."""
    table = summarise(rows)
    head = _head(command, rows) + _notes(rows, table)
    shown = _readable(table)
    write_text(out.with_suffix(".csv"), rows.to_csv(index=False))
    write_text(out.with_suffix(".md"), "\n".join([*head, "", _markdown(shown)]) + "\n")
    write_text(out.with_suffix(".html"), _page(head, shown))
    return shown.drop(columns=[name for name in WIDE if name in shown]).to_string(index=False)


def _head(command: str, rows: pd.DataFrame) -> list[str]:
    """Command, date, versions, hardware and commit."""
    versions = describe_environment()["versions"]
    return [
        "# Comparison",
        "",
        f"- Last command: `{command}`",
        f"- {describe_environment()['finished'][:10]}; PyTorch {versions['torch']}, Python {versions['python']}",
        *(
            f"- {name}: {', '.join(map(str, rows[name].dropna().unique()))}"
            for name in ("commit", "hardware")
            if name in rows
        ),
        "- macro: mean ROC-AUC over anomaly kinds on labelled test images, mean over seeds; spread: largest less "
        "smallest over seeds; low, high: 95% interval over images; published: public Kaggle score of the nearest "
        "published method in the homework, not ours, on other data, often with another crop.",
    ]


def _notes(rows: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """The rank correlation of held-out and labelled AUC, and what failed."""
    notes = [f"- Failed: {line}" for line in failures(rows)]
    if table["preset"].map(is_transductive).any():
        notes.append(
            "- (*) looks at the unlabelled test images as a whole when it scores them: not to be compared with others"
        )
    found = rank_correlation(table)
    if found is not None:
        known = [name for name in table["preset"] if knows_held_out_kinds(name)]
        left_out = f" (without {', '.join(known)}, trained on like anomalies)" if known else ""
        over = f"over {found[1]} rows{left_out}"
        notes.append(f"- Spearman rank correlation of held-out and labelled macro AUC {over}: {found[0]:.2f}")
    return notes


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers as people read them, columns by their short names."""
    text = table.drop(columns="same", errors="ignore").astype(object)
    marked = text["preset"].map(is_transductive).astype(bool)
    text["preset"] = text["preset"].where(~marked, text["preset"] + " (*)")
    for name in text.columns[1:]:
        form = "{:,.0f}" if name in ("seeds", "parameters") or name.endswith("per_second") else "{:.3f}"
        form = "{:.2f}" if name == "minutes" else form
        text[name] = ["" if pd.isna(value) else form.format(value) for value in table[name]]
    return text.rename(columns=SHORT).rename(columns=lambda name: name.removeprefix("auc_"))


def _markdown(shown: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(shown.columns) + " |", "|" + "---|" * len(shown.columns)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in shown.to_numpy()])


def _page(head: list[str], shown: pd.DataFrame) -> str:
    import html

    lines = "".join(f"<li>{html.escape(line.removeprefix('- '))}</li>" for line in head[2:])
    style = (
        "body{font:15px/1.5 system-ui;margin:2em;color-scheme:light dark}table{border-collapse:collapse}"
        "td,th{padding:.3em .7em;text-align:right;border-bottom:1px solid #8884}td:first-child{text-align:left}"
    )
    table = shown.to_html(index=False, border=0)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>hw8 comparison</title><style>{style}</style><h1>Comparison</h1><ul>{lines}</ul>{table}</html>\n"
    )

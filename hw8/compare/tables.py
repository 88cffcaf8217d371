"""The comparison as text, Markdown and CSV."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from hw8.base.environment import describe_environment
from hw8.base.files import write_text
from hw8.base.text import aligned
from hw8.compare.columns import DROP_NEVER, FILES_ONLY, Column, shown_columns
from hw8.compare.standings import (
    failed_presets,
    failures,
    held_out_rank_correlation,
    is_transductive,
    knows_held_out_kinds,
    marked,
)

# Characters of the printed table: as many as a terminal of ordinary size shows; a wider line would be broken.
WIDTH = 100


def write_leaderboard(rows: pd.DataFrame, table: pd.DataFrame, out: Path, command: str) -> str:
    """Write OUT.csv (one row per run) and OUT.md (one row per preset); return the table to print, 100 columns at most.

    `table` is the summary of the rows (`summarise`), with or without differences from the best (`with_differences`).
    """
    failed = failed_presets(rows)
    lines = [*head(command, rows), meanings(shown_columns(table)), *notes(rows, table), correlation_note(table)]
    lines = [f"- {line}" for line in lines if line]
    write_text(out.with_name(out.name + ".csv"), rows.to_csv(index=False))
    write_text(
        out.with_name(out.name + ".md"), "\n".join(["# Comparison", "", *lines, "", _markdown(readable(table, failed))])
    )
    return printed(table, failed)


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
            if name in rows and rows[name].notna().any()
        ),
    ]


def meanings(columns: Sequence[Column]) -> str:
    """What columns of the summary mean, those of them that need words."""
    text = "; ".join(f"{column.heading}: {column.meaning}" for column in columns if column.meaning)
    return f"{text}." if text else ""


def notes(rows: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """What failed, and what is marked."""
    lines = [f"Failed: {line}" for line in failures(rows)]
    if table["preset"].map(is_transductive).any():
        lines.append(
            "(*) looks at the unlabelled test images as a whole when it scores them: not to be compared with others"
        )
    return lines


def correlation_note(table: pd.DataFrame) -> str:
    """The rank correlation of held-out and labelled AUC; "" where there are too few rows for it."""
    correlation = held_out_rank_correlation(table)
    if correlation is None:
        return ""
    better = ""
    if correlation.better is not None:
        better = f"; over the {correlation.better_rows} with the larger held-out figures: {correlation.better:.2f}"
    omitted = [name for name in table["preset"] if knows_held_out_kinds(name)]
    without = f" (without {', '.join(omitted)}, trained on like anomalies)" if omitted else ""
    return (
        f"Spearman rank correlation of held-out and labelled macro AUC over {correlation.rows} rows{without}: "
        f"{correlation.every:.2f}{better}"
    )


def readable(table: pd.DataFrame, failed: Mapping[str, str] | None = None) -> pd.DataFrame:
    """The summary as text, under the headings of its columns.

    `failed` presets follow as rows, with their reason in a column of its own.
    """
    columns, records = shown_columns(table), table.to_dict("records")
    text = pd.DataFrame({"preset": [marked(row["preset"]) for row in records]})
    text = text.assign(**{column.heading: [column.cell(row) for row in records] for column in columns})
    if failed:
        rows = pd.DataFrame({"preset": list(failed), "failed": list(failed.values())})
        text = pd.concat([text, rows], ignore_index=True).fillna("")
    return text


def printed(table: pd.DataFrame, failed: Mapping[str, str]) -> str:
    """The summary for a terminal, and what its columns mean: without those that do not fit, which the files keep."""
    columns = [column for column in shown_columns(table) if column.drop_order != FILES_ONLY]
    records = table.to_dict("records")
    while True:
        headings = [column.heading for column in columns]
        rows = [["preset", *headings]]
        rows += [[marked(row["preset"]), *(brief(column.cell(row)) for column in columns)] for row in records]
        # The reason of a failure is too long for the table; the command prints it below.
        rows += [[name, "failed", *[""] * (len(columns) - 1)][: len(columns) + 1] for name in failed]
        lines = aligned(rows, gap=" ")
        droppable = [column for column in columns if column.drop_order != DROP_NEVER]
        if max(map(len, lines)) <= WIDTH or not droppable:
            return "\n".join([*lines, *textwrap.wrap(meanings(columns), WIDTH)])
        # Of the columns that go first, the last one: kinds of anomaly from the right.
        columns.remove(max(reversed(droppable), key=lambda column: column.drop_order))


def brief(cell: str) -> str:
    """A cell for the terminal: no zero before a decimal point, no interval of a difference, of a tie just that."""
    cell = re.sub(r"^tie .*", "tie", cell.partition(" (")[0])
    return re.sub(r"(^| |^[-+])0\.", r"\1.", cell).replace(" to ", "-")


def _markdown(text: pd.DataFrame) -> str:
    rows = [list(text.columns), ["---"] * len(text.columns), *text.to_numpy().tolist()]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |\n" for row in rows)

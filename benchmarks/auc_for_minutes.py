"""Macro ROC-AUC against minutes of training: `python benchmarks/auc_for_minutes.py FACES [OUT]`.

Trains the main presets anew for several numbers of epochs each, since the learning rate falls to the end of every one,
and writes OUT.csv and OUT.svg (default: docs/benchmarks/auc_for_minutes). Finished runs are kept in
runs/auc-for-minutes-N; started again, it resumes.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from hw8.base.files import write_text
from hw8.compare.leaderboard import ComparisonPlan, compare
from hw8.config import RUNS
from hw8.report.plots import new_figure

GRID = {
    "boss_quick": (1, 2, 4, 15),
    "fcn_crop": (5, 20),
    "resnet": (5, 12),
    "conv": (5, 12),
}
COLUMNS = ["preset", "epochs", "minutes", "held_out_auc", "macro_auc", "low", "high", "commit", "hardware"]


def measure(data: str) -> pd.DataFrame:
    """One row per preset and number of epochs, seed 0."""
    tables = []
    for epochs in sorted({number for numbers in GRID.values() for number in numbers}):
        presets = tuple(name for name, numbers in GRID.items() if epochs in numbers)
        rows = compare(ComparisonPlan(presets, (0,), data, epochs, RUNS / f"auc-for-minutes-{epochs}"))
        tables.append(rows.assign(epochs=epochs))
    return pd.concat(tables).sort_values(["preset", "epochs"])[COLUMNS]


def draw(rows: pd.DataFrame, path: Path) -> None:
    """One line per preset, minutes on a logarithmic axis."""
    with mpl.rc_context({"svg.hashsalt": "hw8", "svg.fonttype": "none"}):
        figure = new_figure(6.4, 4)
        axes = figure.subplots()
        for name, part in rows.groupby("preset"):
            axes.plot(part["minutes"], part["macro_auc"], marker="o", label=name)
        axes.set(xscale="log", xlabel="minutes of training", ylabel="macro ROC-AUC")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.legend()
        figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    """Measure and write."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python benchmarks/auc_for_minutes.py FACES [OUT]")
    out = Path(sys.argv[2] if len(sys.argv) == 3 else "docs/benchmarks/auc_for_minutes")
    rows = measure(sys.argv[1])
    write_text(out.with_suffix(".csv"), rows.to_csv(index=False, float_format="%.4f"))
    draw(rows, out.with_suffix(".svg"))
    print(rows.to_string(index=False))


if __name__ == "__main__":
    main()

"""Plots that compare methods, or pieces of evidence, with one another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hw8.report.plots import COLOURS, as_svg, use_plain_numbers
from hw8.report.svg import INK, Drawn

MIN_RANGE = 0.02  # of an axis of ROC-AUC, chosen by hand: a tie is not to fill the plot from corner to corner


@as_svg(4, 4)
def correlation(axes: Any, matrix_MM: np.ndarray, names: Sequence[str]) -> Drawn:
    """Rank correlations of every two scores as coloured cells."""
    axes.figure.set_size_inches(*[min(9.5, 1.8 + 0.36 * len(names))] * 2)
    axes.imshow(matrix_MM, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    for row, column in np.ndindex(matrix_MM.shape):
        value = matrix_MM[row, column]
        text, colour = f"{value:.2f}".replace("0.", "."), "white" if abs(value) > 0.65 else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    cells = [*np.ndindex(matrix_MM.shape)]
    texts = [f"{names[row]}\n{names[column]}\n{matrix_MM[row, column]:.3f}" for row, column in cells]
    description = f"Rank correlation of every two of: {', '.join(names)}."
    return Drawn(description, np.array(cells)[:, ::-1], texts, [None] * len(texts))


@as_svg(5.6, 4)
def forest(axes: Any, table: pd.DataFrame, value: str, label: str) -> Drawn:
    """One row per preset: its figure with its interval; best on top."""
    axes.figure.set_size_inches(5.6, 0.9 + 0.2 * len(table))
    place = np.arange(len(table))[::-1]
    if "low" in table:
        axes.hlines(place, table["low"].to_numpy(float), table["high"].to_numpy(float), color=COLOURS[1], linewidth=2)
    axes.plot(table[value].to_numpy(float), place, "o", color=COLOURS[0], markersize=4.5)
    # The dotted line is chance.
    axes.axvline(0.5, color=INK, linestyle=":", linewidth=0.8)
    axes.set_yticks(place, table["preset"])
    axes.set(xlabel=label, ylim=(-0.7, len(table) - 0.3))
    return Drawn(f"{label} of {len(table)} rows, with 95% intervals where known.")


@as_svg(5.6, 4.2)
def trade(axes: Any, table: pd.DataFrame, x: str, y: str, labels: tuple[str, str], log: bool) -> Drawn:
    """One point per preset, with its name: one column against another."""
    axes.plot(table[x], table[y], "o", color=COLOURS[0], markersize=4)
    for row in table.to_dict("records"):
        axes.annotate(row["preset"], (row[x], row[y]), xytext=(4, 2), textcoords="offset points", fontsize=7.5)
    if log and table[x].max() > 10 * table[x].min() > 0:  # under a decade such an axis has no number
        axes.set_xscale("log", subs=[2, 5])
        use_plain_numbers(axes.xaxis)
        axes.xaxis.set_minor_formatter("{x:g}")
    low, high = axes.get_ylim()
    if high - low < MIN_RANGE:
        axes.set_ylim((low + high - MIN_RANGE) / 2, (low + high + MIN_RANGE) / 2)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    texts = [f"{row['preset']}\n{labels[1]} {row[y]:.3f}\n{labels[0]} {row[x]:.3g}" for row in table.to_dict("records")]
    description = f"{labels[1]} against {labels[0]} of {len(table)} rows."
    return Drawn(description, table[[x, y]].to_numpy(float), texts, [None] * len(texts))

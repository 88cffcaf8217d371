"""What a comparison's page draws of all methods together, and its first sentence."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hw8.compare.standings import is_transductive
from hw8.data.labels import Labels
from hw8.report import method_plots, plots
from hw8.report.pages import Figure
from hw8.report.run_plots import AGREEMENT
from hw8.runs.scores import Scores
from hw8.scoring.fusion import rank_correlation

# ROC and calibration curves in one plot, the best methods first; more could not be told apart.
CURVES = 8


def lead_of(table: pd.DataFrame) -> str:
    """Which method is best, by how much is known of it, and which tie with it."""
    fair, value, label = _fair(table)
    if fair.empty:
        return ""
    best = fair.iloc[0]
    interval = f" (95% interval {best['low']:.3f} to {best['high']:.3f})" if "low" in fair else ""
    line = f"Best: {best['preset']}, {label} {best[value]:.3f}{interval}"
    if len(fair) == 1 or "difference_low" not in fair:
        return f"{line}."
    ties = fair["preset"][(fair["difference_low"] <= 0) & (fair["difference_high"] >= 0)].tolist()
    if ties:
        return f"{line}; {', '.join(ties)} {'ties' if len(ties) == 1 else 'tie'} with it."
    return f"{line}; no other method ties with it."


def forest_of(table: pd.DataFrame) -> Figure | None:
    """The figure of each method that may be compared; None if there is none."""
    fair, value, label = _fair(table)
    if fair.empty:
        return None
    caption = (
        "Means over seeds, with 95% intervals over images."
        if value == "macro_auc"
        else "Without labels; means over seeds."
    )
    return Figure("Leaderboard", caption, {"": method_plots.forest(fair, value, label)})


def figures_of(
    table: pd.DataFrame, methods: list[Scores], labels: Labels | None, choosing: Sequence[str]
) -> list[Figure]:
    """Curves by label, the choice without labels, in the words of `choosing`, the cost, and how alike methods rank."""
    fair, value, label = _fair(table)
    if fair.empty:
        return []
    methods = [method for method in methods if not is_transductive(method.name)]
    figures = []
    if labels is not None:
        figures += _labelled_figures(methods[:CURVES], labels)
        if choosing or len(fair) > 2:
            plot = method_plots.trade(
                fair, "held_out_auc", "macro_auc", ("held-out macro ROC-AUC", "macro ROC-AUC"), log=False
            )
            caption = " ".join(["What the held-out figure says, and what labels say.", *choosing])
            figures.append(Figure("Choosing without labels", caption, {"": plot}))
    if len(fair) > 1:
        plot = method_plots.trade(fair, "minutes", value, ("minutes of training", label), log=True)
        caption = "The figure against minutes of training, a mean over seeds."
        figures.append(Figure("What it costs", caption, {"": plot}))
    if len(methods) > 1:
        matrix = rank_correlation([method.score_N for method in methods])
        plot = method_plots.correlation(matrix, [method.name for method in methods])
        figures.append(Figure("Agreement of the methods", AGREEMENT, {"": plot}, folded=True))
    return figures


def _labelled_figures(methods: list[Scores], labels: Labels) -> list[Figure]:
    """ROC curves, one per method, of the mean over kinds and of each kind alone; and how well p-values hold."""
    colours = dict(zip([method.name for method in methods], plots.COLOURS, strict=False))
    normal_N = labels.label_N == 0
    kinds = [str(kind) for kind in np.unique(labels.kind_N[~normal_N])]
    views = {}
    for name, group in {"all kinds": kinds, **({kind: [kind] for kind in kinds} if len(kinds) > 1 else {})}.items():
        curves = {
            method.name: plots.roc_curve(
                method.score_N[normal_N], [method.score_N[labels.kind_N == kind] for kind in group]
            )
            for method in methods
        }
        views[name] = plots.roc(curves, colours, log=False, of=name)
        views[f"{name}, low false alarms"] = plots.roc(curves, colours, log=True, of=name)
    caption = f"The best {len(methods)} methods, first seed of each; over all kinds the mean of the kinds' curves."
    figures = [Figure("ROC curves", caption, views)]
    calibrated = {method.name: method.p_value_N[normal_N] for method in methods if method.p_value_N is not None}
    if calibrated:
        plot = plots.calibration(calibrated, "observed false alarms", colours)
        caption = "False alarms promised and observed, on normal test images, first seed of each."
        figures.append(Figure("Calibration", caption, {"": plot}))
    return figures


def _fair(table: pd.DataFrame) -> tuple[pd.DataFrame, str, str]:
    """The rows that may be compared, the column they are ordered by, and its name."""
    fair = table[~table["preset"].map(is_transductive).astype(bool)]
    labelled = "macro_auc" in table
    return (fair, "macro_auc", "macro ROC-AUC") if labelled else (fair, "held_out_auc", "held-out macro ROC-AUC")

"""Plots for a page, as SVG that takes the page's colours, light or dark."""

import io
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from cycler import cycler
from markupsafe import Markup, escape

from hw8.base.text import counted
from hw8.data.labels import Labels
from hw8.report.figures import label_last_bin, new_figure, score_edges

INK = "#010203"  # stands for the page's text colour until the SVG is written
NORMAL_COLOUR = "#8394a5"
COLOURS = ("#e4572e", "#3a8fd0", "#9a67ea", "#2fa36b", "#d99a00", "#d6478f", "#17a2a8", "#a0703c", "#7a8a00", "#c04040")
DASHES = ("-", "--", "-.", ":")
LOWEST = 1e-3
STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # names of kinds are text, whatever they hold
    "svg.hashsalt": "hw8",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "legend.frameon": False,
}
Groups = Mapping[str, np.ndarray]


def groups_of(score_N: np.ndarray, labels: Labels | None) -> dict[str, np.ndarray]:
    """Scores by kind, normal images first; without labels all under one name."""
    if labels is None:
        return {"all images": score_N}
    kinds = dict.fromkeys([*labels.kind_N[labels.label_N == 0], *np.unique(labels.kind_N)])
    return {str(kind): score_N[labels.kind_N == kind] for kind in kinds}


def colours_of(kinds: Sequence[str], labels: Labels | None) -> dict[str, str]:
    """A colour for each kind; normal images are grey."""
    normal = set() if labels is None else set(labels.kind_N[labels.label_N == 0])
    others = [kind for kind in kinds if kind not in normal]
    found = {kind: COLOURS[place % len(COLOURS)] for place, kind in enumerate(others)}
    return {kind: found.get(kind, NORMAL_COLOUR) for kind in kinds}


def histogram(score_N: np.ndarray, labels: Labels | None, threshold: float | None, name: str) -> Markup:
    """Densities of the score, by kind; a dotted line at the score whose p-value is .05."""
    groups = groups_of(score_N, labels)
    colours = colours_of(list(groups), labels)
    with mpl.rc_context(STYLE):
        figure = new_figure(5.2, 3.2)
        axes = figure.subplots()
        edges, beyond = score_edges(score_N, 60)
        for kind, group in groups.items():
            shown, colour = group.clip(edges[0], edges[-1]), colours[kind]
            axes.hist(shown, edges, density=True, histtype="stepfilled", alpha=0.22, color=colour)
            axes.hist(shown, edges, density=True, histtype="step", linewidth=1.4, color=colour, label=_legend(kind))
        if threshold is not None and edges[0] < threshold < edges[-1]:
            axes.axvline(threshold, color=INK, linestyle=":", linewidth=1)
            axes.text(threshold, axes.get_ylim()[1], " p = .05", va="top")
        axes.set(xlabel=f"anomaly score ({name})", ylabel="density", yticks=[])
        axes.legend()
        label_last_bin(axes, edges, beyond)
        return svg(figure, f"Histogram of the anomaly score {name}, by kind: {', '.join(groups)}.{_said_of(beyond)}")


def _said_of(beyond: float) -> str:
    return f" The last bin holds all scores beyond it, {beyond:.1%} of the images." if beyond else ""


def roc(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]], colours: Mapping[str, str], log: bool, of: str = "each"
) -> Markup:
    """ROC curves by name, each false-positive and true-positive rates; on a logarithmic axis low rates can be seen.

    `of` says which anomalies, for who cannot see the plot.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(4.6, 4.2)
        axes = figure.subplots()
        chance = np.geomspace(LOWEST, 1, 60)
        axes.plot(chance if log else [0, 1], chance if log else [0, 1], color=INK, linewidth=0.8, linestyle=":")
        for place, (name, (fpr, tpr)) in enumerate(curves.items()):
            dashes = DASHES[place % len(DASHES)]
            axes.plot(fpr, tpr, linewidth=1.5, label=_legend(name), color=colours.get(name), linestyle=dashes)
        if log:
            axes.set_xscale("log")
            _plain(axes.xaxis)
        axes.set(xlabel="share of normal images flagged", ylabel="share of anomalies flagged")
        axes.set(xlim=(LOWEST if log else -0.01, 1.01), ylim=(-0.01, 1.01))
        axes.legend(loc="upper left" if log else "lower right")
        scale = "logarithmic" if log else "linear"
        return svg(figure, f"ROC curves of {of}, {scale} axis of false alarms: {', '.join(curves)}.")


def roc_curve(normal_M: np.ndarray, groups: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """False- and true-positive rates at 220 thresholds of the normal images; over several groups the mean."""
    count = len(normal_M)
    rates = np.unique(np.concatenate([[0.0], np.geomspace(1 / count, 1, 120), np.linspace(0, 1, 101)]))
    flagged = np.unique(np.rint(rates * count).astype(int))
    descending_M = np.sort(normal_M)[::-1]
    threshold = np.append(descending_M, -np.inf)[flagged]  # all above it are flagged, so `flagged` normals at most
    tpr = [(group[:, None] > threshold[None]).mean(0) for group in groups]
    fpr = (normal_M[:, None] > threshold[None]).mean(0)
    return fpr, np.mean(tpr, axis=0)


def calibration(curves: Mapping[str, np.ndarray], label: str, colours: Mapping[str, str] | None = None) -> Markup:
    """Share of normal test images with p <= alpha, against alpha, for each named set of p-values (N,)."""
    with mpl.rc_context(STYLE):
        figure = new_figure(4.2, 3.6)
        axes = figure.subplots()
        alpha = np.geomspace(LOWEST, 1, 80)
        axes.plot(alpha, alpha, color=INK, linewidth=0.9, linestyle=":", label="promised")
        for name, p_value_N in curves.items():
            observed = (p_value_N[:, None] <= alpha[None]).mean(0)
            shown = observed > 0
            colour = (colours or {}).get(name)
            axes.plot(alpha[shown], observed[shown], linewidth=1.5, label=_legend(name), color=colour)
        axes.set(xscale="log", yscale="log", xlabel="promised false alarms (alpha)", ylabel=label)
        _plain(axes.xaxis)
        _plain(axes.yaxis)
        axes.set(xlim=(LOWEST, 1), ylim=(LOWEST, 1.1))
        axes.legend(loc="upper left")
        return svg(figure, f"Calibration: {label} against the promised share: {', '.join(curves)}.")


def training(metrics: pd.DataFrame, name: str) -> Markup:
    """Training and held-out loss of a run over epochs."""
    with mpl.rc_context(STYLE):
        figure = new_figure(4.6, 3.2)
        axes = figure.subplots()
        for column, label in (("train_loss", "training"), ("held_out_loss", "held-out reconstruction")):
            axes.plot(metrics["epoch"], metrics[column], marker="o", markersize=2.5, linewidth=1.5, label=label)
        axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
        return svg(
            figure, f"Training curves of {name} over {counted(len(metrics), 'epoch')}: training and held-out loss."
        )


def scatter_map(point_N2: np.ndarray, labels: Labels | None, method: str, name: str) -> Markup:
    """Latents in two dimensions, coloured by kind."""
    groups = groups_of(np.arange(len(point_N2)), labels)
    colours = colours_of(list(groups), labels)
    with mpl.rc_context(STYLE):
        figure = new_figure(4.6, 4.2)
        axes = figure.subplots()
        for kind, rows in groups.items():
            style = {"s": 5, "alpha": 0.55, "linewidths": 0, "rasterized": True}
            axes.scatter(*point_N2[rows].T, color=colours[kind], label=_legend(kind), **style)
        axes.set(xticks=[], yticks=[], xlabel=f"{method} 1", ylabel=f"{method} 2")
        axes.legend(markerscale=2.5)
        return svg(figure, f"Map of {len(point_N2)} latents of {name} by {method}, by kind: {', '.join(groups)}.")


def correlation(matrix_MM: np.ndarray, names: Sequence[str]) -> Markup:
    """Rank correlations of every two scores as coloured cells."""
    with mpl.rc_context(STYLE):
        size = min(9.5, 1.8 + 0.3 * len(names))
        figure = new_figure(size, size)
        axes = figure.subplots()
        axes.imshow(matrix_MM, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        for row, column in np.ndindex(matrix_MM.shape):
            value = matrix_MM[row, column]
            text, colour = f"{value:.2f}".replace("0.", "."), "white" if abs(value) > 0.6 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=5.5, color=colour)
        return svg(figure, f"Rank correlation of every two of: {', '.join(names)}.")


def forest(table: pd.DataFrame, value: str, low: str, high: str, label: str) -> Markup:
    """A row a preset: its figure with its interval; best on top."""
    with mpl.rc_context(STYLE):
        figure = new_figure(5.6, 0.9 + 0.2 * len(table))
        axes = figure.subplots()
        place = np.arange(len(table))[::-1]
        middle = table[value].to_numpy(float)
        if low in table:
            axes.hlines(place, table[low].to_numpy(float), table[high].to_numpy(float), color=COLOURS[1], linewidth=2)
        axes.plot(middle, place, "o", color=COLOURS[0], markersize=4.5)
        axes.axvline(0.5, color=INK, linestyle=":", linewidth=0.8)
        axes.set_yticks(place, table["preset"])
        axes.set(xlabel=label, ylim=(-0.7, len(table) - 0.3))
        return svg(figure, f"{label} of {len(table)} rows, with 95% intervals where known.")


def trade(table: pd.DataFrame, x: str, y: str, labels: tuple[str, str], log: bool) -> Markup:
    """A point a preset, with its name: one column against another."""
    with mpl.rc_context(STYLE):
        figure = new_figure(5.6, 4.2)
        axes = figure.subplots()
        axes.plot(table[x], table[y], "o", color=COLOURS[0], markersize=4)
        for row in table.to_dict("records"):
            axes.annotate(row["preset"], (row[x], row[y]), xytext=(4, 2), textcoords="offset points", fontsize=6)
        if log:
            axes.set_xscale("log")
            _plain(axes.xaxis)
        axes.set(xlabel=labels[0], ylabel=labels[1])
        return svg(figure, f"{labels[1]} against {labels[0]} of {len(table)} rows.")


def _plain(axis: Any) -> None:
    """Powers of ten as plain numbers, since mathematical text is not set (see STYLE)."""
    from matplotlib.ticker import NullFormatter

    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _legend(name: str) -> str:
    """A name as matplotlib's legends show it: those that begin with _ they leave out."""
    return f"\u200b{name}" if name.startswith("_") else name


def svg(figure: Any, description: str) -> Markup:
    """A figure as SVG: the page's text colour, names of its own, and a description for who cannot see it."""
    box = io.StringIO()
    figure.savefig(box, format="svg", transparent=True, metadata={"Date": None, "Creator": None}, dpi=110)
    text = box.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1), count=1
    )
    # Several figures share a page: what one names must not be taken for another's.
    mark = format(zlib.crc32((description + text).encode()), "x")
    text = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>{mark}-", text)
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{escape(description)}" ', 1))  # noqa: S704

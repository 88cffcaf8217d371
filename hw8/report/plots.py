"""Plots for a page, as SVG that takes the page's colours, light or dark."""

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec

import matplotlib as mpl
import numpy as np
import pandas as pd
from cycler import cycler
from markupsafe import Markup

from hw8.base.text import counted, short
from hw8.data.labels import Labels
from hw8.report.svg import INK, Drawn, to_svg
from hw8.runs.scores import Scores
from hw8.scoring.tails import ALPHA

EDGES = 60  # of the bins of histograms, chosen by hand
NORMAL_COLOUR = "#8394a5"
# Chosen by hand to be told apart on a light and on a dark page; further kinds repeat them.
COLOURS = ("#e4572e", "#3a8fd0", "#9a67ea", "#2fa36b", "#d99a00", "#d6478f", "#17a2a8", "#a0703c", "#7a8a00", "#c04040")
DASHES = ("-", "--", "-.", ":")
# Where logarithmic axes of rates begin: of a few thousand normal images, lower rates rest on one or two.
MIN_RATE = 1e-3
EXACT = 102  # points of a ROC curve up to which each normal image is a threshold of `roc_curve`
POINTED = 2  # every second point of a ROC curve can be pointed at: they stay a few pixels apart, at half the bytes
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: smaller, and it can be searched
    "text.parse_math": False,  # names of kinds are text, whatever they hold
    "svg.hashsalt": "hw8",  # equal plots have equal bytes
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "legend.frameon": False,
}
# Fonts, where one is installed, for what matplotlib's own lacks: kinds of anomaly may have Chinese names.
FALLBACKS = frozenset({
    "Noto Sans CJK TC", "Noto Sans CJK JP", "Noto Sans TC", "WenQuanYi Zen Hei", "PingFang TC", "Hiragino Sans",
    "Microsoft JhengHei", "Microsoft YaHei", "Arial Unicode MS",
})  # fmt: skip
P = ParamSpec("P")


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Within the block, matplotlib draws in the page's style; a character that no font has is a box, without a word."""
    from matplotlib.font_manager import fontManager

    installed = FALLBACKS.intersection(font.name for font in fontManager.ttflist)
    families = {"font.family": ["sans-serif", *sorted(installed)]}
    with mpl.rc_context(STYLE | families), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def new_figure(width: float, height: float) -> Any:
    """A figure of that size in inches that needs no screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def as_svg(width: float, height: float) -> Callable[[Callable[Concatenate[Any, P], Drawn]], Callable[P, Markup]]:
    """Decorate a function that draws on axes and describes it: it then returns SVG of that size in inches."""

    def decorate(draw: Callable[Concatenate[Any, P], Drawn]) -> Callable[P, Markup]:
        @functools.wraps(draw)
        def drawn(*args: P.args, **kwargs: P.kwargs) -> Markup:
            with styled():
                figure = new_figure(width, height)
                axes = figure.subplots()
                return to_svg(figure, axes, draw(axes, *args, **kwargs))

        return drawn

    return decorate


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
    colours = {kind: COLOURS[place % len(COLOURS)] for place, kind in enumerate(others)}
    return {kind: colours.get(kind, NORMAL_COLOUR) for kind in kinds}


def score_edges(score_N: np.ndarray, threshold: float | None) -> tuple[np.ndarray, float]:
    """Edges of a histogram's bins up to the 99th percentile, and the share of the scores beyond the last one.

    A few scores far from all others would press the rest into one bin; they are shown in the last. A `threshold` lies
    within the edges.
    """
    low, high = np.quantile(score_N, (0.0, 0.99))
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    edges = np.linspace(low, high if high > low else low + 1, EDGES)
    return edges, float((score_N > edges[-1]).mean())


def draw_histogram(
    axes: Any, score_N: np.ndarray, labels: Labels | None, threshold: float | None = None, name: str = ""
) -> Drawn:
    """Draw densities of the named score, by kind, and a dotted line at the `threshold`, whose p-value is .05."""
    groups = groups_of(score_N, labels)
    colours = colours_of(list(groups), labels)
    edges, beyond = score_edges(score_N, threshold)
    count_KB, density_KB = [], []
    for kind, group in groups.items():
        style = {"edgecolor": colours[kind], "facecolor": (colours[kind], 0.22), "linewidth": 1.4}
        clipped = group.clip(None, edges[-1])
        density_B, _, _ = axes.hist(clipped, edges, density=True, histtype="stepfilled", label=_legend(kind), **style)
        density_KB.append(density_B)
        count_KB.append(np.histogram(clipped, edges)[0])
    if threshold is not None:
        axes.axvline(threshold, color=INK, linestyle=":", linewidth=1)
        axes.text(threshold, 1.01 * axes.get_ylim()[1], f"p = {ALPHA}", ha="center")
    xlabel = f"anomaly score ({name})" if name else "anomaly score"
    _legend_above(axes, len(groups))
    description = f"Histogram of the anomaly score {name}, by kind: {', '.join(groups)}."
    ranges = [*zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]
    if beyond:
        xlabel += f"; last bin: all beyond {short(edges[-1])}, {beyond:.1%} of the images"
        description += f" The last bin holds all scores beyond it, {beyond:.1%} of the images."
        ranges[-1] = (ranges[-1][0], float(score_N.max()))
    axes.set(xlabel=xlabel, ylabel="density", yticks=[])
    texts = []
    for (low, high), count_K in zip(ranges, np.transpose(count_KB), strict=True):
        counts = [f"{kind}: {count:,}" for kind, count in zip(groups, count_K, strict=True) if count]
        texts.append("\n".join([f"score {short(low)} to {short(high)}", *counts]))
    point_B2 = np.stack([(edges[:-1] + edges[1:]) / 2, np.max(density_KB, axis=0)], axis=1)
    return Drawn(description, point_B2, texts, ranges)


def roc_curve(normal_M: np.ndarray, groups: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """False- and true-positive rates at up to 222 thresholds of the normal images; over several groups the mean."""
    count = len(normal_M)
    # Even on a logarithmic and on a linear axis alike; a threshold for every image would make a page of megabytes.
    rates = np.unique(np.concatenate([[0.0], np.geomspace(1 / count, 1, 120), np.linspace(0, 1, 101)]))
    flagged = np.unique(np.rint(rates * count).astype(int))
    descending_M = np.sort(normal_M)[::-1]
    threshold = np.append(descending_M, -np.inf)[flagged]  # all above it are flagged, so `flagged` normals at most
    tpr = [(group[:, None] > threshold[None]).mean(0) for group in groups]
    fpr = (normal_M[:, None] > threshold[None]).mean(0)
    # From (0, 0), where nothing is flagged.
    return np.append(0.0, fpr), np.append(0.0, np.mean(tpr, axis=0))


def roc_curves(score_N: np.ndarray, labels: Labels) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The ROC curve of each kind of anomaly against the normal images."""
    normal_M = score_N[labels.label_N == 0]
    kinds = np.unique(labels.kind_N[labels.label_N == 1])
    return {str(kind): roc_curve(normal_M, [score_N[labels.kind_N == kind]]) for kind in kinds}


def draw_roc(
    axes: Any,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    colours: Mapping[str, str],
    log: bool,
    of: str = "each",
) -> Drawn:
    """Draw ROC curves by name, each false- and true-positive rates; on a logarithmic axis low rates can be seen.

    `of` says which anomalies, for readers who cannot see the plot.
    """
    lowest = MIN_RATE if log else 0.0
    chance = np.geomspace(MIN_RATE, 1, 60) if log else np.array([0, 1])
    axes.plot(chance, chance, color=INK, linewidth=0.8, linestyle=":")
    points, texts = [np.empty((0, 2))], []
    for place, (name, (fpr, tpr)) in enumerate(curves.items()):
        dashes = DASHES[place % len(DASHES)]  # to be told apart without colours, too
        steps = "steps-post" if len(fpr) <= EXACT else "default"  # a curve of few normals has visible steps
        axes.plot(
            fpr, tpr, linewidth=1.5, label=_legend(name), color=colours.get(name), linestyle=dashes, drawstyle=steps
        )
        point_P2 = np.stack([fpr, tpr], axis=1)[fpr >= lowest][::POINTED]
        points.append(point_P2)
        texts += [f"{name}\n{y:.1%} of the anomalies flagged\nat {x:.1%} of the normal images" for x, y in point_P2]
    if log:
        axes.set_xscale("log")
        use_plain_numbers(axes.xaxis)
    axes.set(xlabel="share of normal images flagged", ylabel="share of anomalies flagged")
    axes.set(xlim=(MIN_RATE if log else -0.01, 1.01), ylim=(-0.01, 1.01))
    _legend_above(axes, len(curves))
    description = f"ROC curves of {of}, {'logarithmic' if log else 'linear'} axis of false alarms: {', '.join(curves)}."
    return Drawn(description, np.concatenate(points), texts, [None] * len(texts))


histogram = as_svg(5.2, 3.2)(draw_histogram)
roc = as_svg(4.6, 4.2)(draw_roc)


@as_svg(4.2, 3.6)
def calibration(
    axes: Any, curves: Mapping[str, np.ndarray], label: str, colours: Mapping[str, str] | None = None
) -> Drawn:
    """Share of images with p <= alpha, against alpha, for each named set of p-values (N,)."""
    alpha = np.geomspace(MIN_RATE, 1, 80)
    axes.plot(alpha, alpha, color=INK, linewidth=0.9, linestyle=":", label="promised")
    for name, p_value_N in curves.items():
        observed = (p_value_N[:, None] <= alpha[None]).mean(0)
        positive = observed > 0
        axes.plot(
            alpha[positive], observed[positive], linewidth=1.5, label=_legend(name), color=(colours or {}).get(name)
        )
    axes.set(xscale="log", yscale="log", xlabel="promised false alarms (alpha)", ylabel=label)
    use_plain_numbers(axes.xaxis)
    use_plain_numbers(axes.yaxis)
    axes.set(xlim=(MIN_RATE, 1), ylim=(MIN_RATE, 1.1))
    _legend_above(axes, 1 + len(curves))
    return Drawn(f"Calibration: {label} against the promised share: {', '.join(curves)}.")


@as_svg(4.6, 3.2)
def training(axes: Any, metrics: pd.DataFrame, name: str) -> Drawn:
    """Training and held-out loss of a run over epochs."""
    for column, label in (("train_loss", "training, all terms"), ("held_out_loss", "held-out reconstruction")):
        axes.plot(metrics["epoch"], metrics[column], marker="o", markersize=2.5, linewidth=1.5, label=label)
    axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    _legend_above(axes, 2)
    return Drawn(f"Training curves of {name} over {counted(len(metrics), 'epoch')}: training and held-out loss.")


@as_svg(4.6, 4.2)
def scatter_map(
    axes: Any, point_N2: np.ndarray, rows: np.ndarray, scores: Scores, labels: Labels | None, shown_N: np.ndarray
) -> Drawn:
    """Latents of these rows of the test set by two principal components, by kind, with rings where `shown_N`."""
    mapped = None if labels is None else Labels(labels.label_N[rows], labels.kind_N[rows])
    groups = groups_of(np.arange(len(point_N2)), mapped)
    colours = colours_of(list(groups), mapped)
    # Thousands of points as shapes would make the page slow; rasterized, they are one picture.
    style = {"s": 5, "alpha": 0.8, "linewidths": 0, "rasterized": True}
    for kind, group in groups.items():
        axes.scatter(*point_N2[group].T, color=colours[kind], label=_legend(kind), **style)
    axes.scatter(*point_N2[shown_N].T, s=16, facecolors="none", edgecolors=INK, linewidths=0.5)
    axes.set(xticks=[], yticks=[], xlabel="principal component 1", ylabel="principal component 2")
    _legend_above(axes, len(groups), markerscale=2.5)
    description = (
        f"Map of {len(point_N2)} latents of {scores.name} by principal component, by kind: {', '.join(groups)}."
    )
    kinds = [""] * len(rows) if mapped is None else [f", {kind}" for kind in mapped.kind_N]
    texts = [f"image {row}{kind},\nscore {short(scores.score_N[row])}" for row, kind in zip(rows, kinds, strict=True)]
    return Drawn(description, point_N2, texts, rows.tolist())


def use_plain_numbers(axis: Any) -> None:
    """Write powers of ten as plain numbers, since mathematical text is switched off (see STYLE)."""
    from matplotlib.ticker import NullFormatter

    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _legend_above(axes: Any, count: int, **style: Any) -> None:
    """The legend above the axes, up to four names in a line, where it covers nothing."""
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=min(count, 4), borderaxespad=0, **style)


def _legend(name: str) -> str:
    """A name as matplotlib's legends show it: those that begin with _ they omit, so a zero-width space goes before."""
    return f"\u200b{name}" if name.startswith("_") else name

"""Pictures of a run: faces beside their reconstructions and error maps, score histograms, ROC curves."""

from pathlib import Path
from typing import Any

import numpy as np

from hw8.base.files import atomic_write
from hw8.data.arrays import Images, scaled
from hw8.data.corruptions import CORRUPTIONS
from hw8.data.labels import Labels
from hw8.data.synthetic import corrupt
from hw8.evaluation.held_out import SEED
from hw8.runs.trained_run import TrainedRun


def draw_reconstructions(path: Path, run: TrainedRun, images: Images, rows: np.ndarray, score: str) -> None:
    """Held-out normals and one synthetic anomaly of each kind, each above its reconstruction and error map.

    The error map is the squared error summed over channels, on one colour scale for all. Without a reconstruction
    the lower rows stay empty.
    """
    shown = np.resize(rows, 5 + len(CORRUPTIONS))  # a small split shows its images more than once
    normals = shown[:5]
    changed = [corrupt(kind, images, shown[n + 5 : n + 6], rows, SEED) for n, kind in enumerate(CORRUPTIONS)]
    batch_BHWC = np.concatenate([images.read(normals), *changed])
    recon_BHWC, table = run.scorer.reconstruct(batch_BHWC)
    score_B = run.calibration.scores(table)[score]
    if recon_BHWC is None:
        shown_BHWC, error_BHW = np.ones(batch_BHWC.shape), np.zeros(batch_BHWC.shape[:3])
    else:
        shown_BHWC, error_BHW = (recon_BHWC + 1) / 2, np.square(recon_BHWC - scaled(batch_BHWC)).sum(axis=3)
    names = ["normal"] * len(normals) + [kind.replace("_", "\n") for kind in CORRUPTIONS]
    pictures = _coloured(batch_BHWC) / 255, _coloured(shown_BHWC), _heat(error_BHW)
    side = batch_BHWC.shape[1]
    gap = max(1, side // 16)
    tiles = np.pad(np.stack(pictures), [(0, 0), (0, 0), (gap, gap), (gap, gap), (0, 0)], constant_values=1.0)
    figure = new_figure(1.05 * len(names), 3.9)
    axes = figure.subplots()
    # One picture of all tiles: an axis for each would take ten times as long.
    axes.imshow(np.vstack([np.hstack(row) for row in tiles]), vmin=0, vmax=1)
    middle = (side + 2 * gap) * (np.arange(len(names)) + 0.5) - 0.5
    axes.set_xticks(middle, [f"{value:.3g}" for value in score_B], fontsize=8)
    axes.secondary_xaxis("top").set_xticks(middle, names, fontsize=8)
    axes.set_yticks(middle[:3], ("image", "reconstruction", f"error, {score}"), fontsize=8, rotation=90, va="center")
    for frame in (axes, *axes.child_axes):
        frame.tick_params(length=0)
        frame.spines[:].set_visible(False)
    save_figure(figure, path)


def _heat(error_BHW: np.ndarray) -> np.ndarray:
    """Errors as colours, one scale for all: (B, H, W, 3) in [0, 1]."""
    from matplotlib import colormaps

    return colormaps["magma"](error_BHW / max(1e-6, float(np.quantile(error_BHW, 0.995))))[..., :3]


def show_image(axes: Any, image_HWC: np.ndarray, title: str) -> None:
    """An image of one or three channels, without ticks."""
    axes.imshow(_coloured(image_HWC))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=8)


def _coloured(image_HWC: np.ndarray) -> np.ndarray:
    """Three channels, whether the image, or each image of a batch, has one or three."""
    return image_HWC if image_HWC.shape[-1] == 3 else image_HWC.repeat(3, axis=-1)


def draw_scores(path: Path, score_N: np.ndarray, labels: Labels | None) -> None:
    """Histogram of the scores by kind and, where labels are known, each kind's ROC curve."""
    figure = new_figure(9 if labels else 5, 3.6)
    axes = figure.subplots(1, 2 if labels else 1, squeeze=False)[0]
    edges, beyond = score_edges(score_N, 50)
    groups = {"all": score_N}
    if labels is not None:
        kinds = dict.fromkeys([*labels.kind_N[labels.label_N == 0], *np.unique(labels.kind_N)])
        groups = {str(kind): score_N[labels.kind_N == kind] for kind in kinds}
    for kind, group in groups.items():
        axes[0].hist(group.clip(None, edges[-1]), edges, density=True, histtype="step", linewidth=1.5, label=kind)
    label_last_bin(axes[0], edges, beyond)
    axes[0].set(xlabel="anomaly score", ylabel="density")
    axes[0].legend(fontsize=8)
    if labels is not None:
        _draw_roc(axes[1], score_N, labels)
    save_figure(figure, path)


def score_edges(score_N: np.ndarray, bins: int) -> tuple[np.ndarray, float]:
    """Edges of a histogram's bins up to the 99th percentile, and the share of the scores beyond the last one.

    A few scores far from all others would press the rest into one bin; they are shown in the last.
    """
    low, high = np.quantile(score_N, (0.0, 0.99))
    edges = np.linspace(low, high if high > low else low + 1, bins)
    return edges, float((score_N > edges[-1]).mean())


def label_last_bin(axes: Any, edges: np.ndarray, beyond: float) -> None:
    """Say at the last bin that it holds everything beyond it, if there is anything."""
    if beyond:
        text = f"last bin: all beyond\n{edges[-1]:.3g}, {beyond:.1%} of the images"
        axes.text(1.0, 0.45, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=7)


def _draw_roc(axes: Any, score_N: np.ndarray, labels: Labels) -> None:
    from sklearn.metrics import roc_curve

    normal = labels.label_N == 0
    for kind in np.unique(labels.kind_N[~normal]):
        chosen = normal | (labels.kind_N == kind)
        fpr, tpr, _ = roc_curve(labels.label_N[chosen], score_N[chosen])
        axes.plot(fpr, tpr, label=kind)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="share of normal images flagged", ylabel="share of anomalies flagged", aspect="equal")
    axes.legend(fontsize=8)


def new_figure(width: float, height: float) -> Any:
    """A figure of that size in inches that needs no screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: Path) -> None:
    """Write the figure as PNG, whole or not at all."""
    with atomic_write(path) as aside:
        figure.savefig(aside, format="png", dpi=130)

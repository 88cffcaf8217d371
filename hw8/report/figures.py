"""PNG pictures of a run: faces beside their reconstructions and error maps, score histograms, ROC curves."""

from pathlib import Path
from typing import Any

import numpy as np

from hw8.base.files import atomic_write
from hw8.data.arrays import Images, scaled, unscaled
from hw8.data.corruptions import CORRUPTIONS
from hw8.data.labels import Labels
from hw8.data.synthetic import corrupt
from hw8.evaluation.held_out import SEED
from hw8.report.heatmaps import error_scale, heat, three_channels
from hw8.report.plots import colours_of, draw_histogram, draw_roc, new_figure, roc_curves, styled
from hw8.runs.trained_run import TrainedRun

NORMALS = 5  # images beside one synthetic anomaly of each kind: enough to see what a good reconstruction is
SHOWN, ACROSS = 60, 10  # images of a picture of images, and of each of its lines


def draw_reconstructions(path: Path, run: TrainedRun, images: Images, rows: np.ndarray) -> None:
    """Held-out normals and one synthetic anomaly of each kind, with scores, above their reconstructions and error maps.

    The error map is the squared error summed over channels, on one colour scale for all. Without a reconstruction
    the lower rows stay empty.
    """
    shown_rows = np.resize(rows, NORMALS + len(CORRUPTIONS))  # a small split shows its images more than once
    changed = [corrupt(kind, images, shown_rows[[n]], rows, SEED) for n, kind in enumerate(CORRUPTIONS, NORMALS)]
    batch_BHWC = np.concatenate([images.read(shown_rows[:NORMALS]), *changed])
    recon_BHWC, table = run.scorer.reconstruct(batch_BHWC)
    score_B = run.run_score(table)
    pictures = np.full((3, *batch_BHWC.shape[:3], 3), 255, np.uint8)
    pictures[0] = batch_BHWC
    if recon_BHWC is not None:
        pictures[1] = unscaled(recon_BHWC)
        error_BHW = np.square(recon_BHWC - scaled(batch_BHWC)).sum(axis=3)
        pictures[2] = heat(error_BHW / error_scale(error_BHW))
    names = ["normal"] * NORMALS + [kind.replace("_", "\n") for kind in CORRUPTIONS]
    side = batch_BHWC.shape[1]
    gap = max(1, side // 16)
    tiles = np.pad(pictures, [(0, 0), (0, 0), (gap, gap), (gap, gap), (0, 0)], constant_values=255)
    figure = new_figure(1.05 * len(names), 3.9)
    axes = figure.subplots()
    # One picture of all tiles: an axis for each would take ten times as long.
    axes.imshow(np.vstack([np.hstack(row) for row in tiles]))
    middle = (side + 2 * gap) * (np.arange(len(names)) + 0.5) - 0.5
    axes.set_xticks(middle, [f"{value:.3g}" for value in score_B], fontsize=8)
    axes.secondary_xaxis("top").set_xticks(middle, names, fontsize=8)
    lines = "image", "reconstruction", f"error, {run.score_name}"
    axes.set_yticks(middle[:3], lines, fontsize=8, rotation=90, va="center")
    for frame in (axes, *axes.child_axes):
        frame.tick_params(length=0)
        frame.spines[:].set_visible(False)
    save_figure(figure, path)


def draw_scores(path: Path, score_N: np.ndarray, labels: Labels | None) -> None:
    """Histogram of the scores by kind and, with labels, each kind's ROC curve."""
    with styled():
        figure = new_figure(5 if labels is None else 9, 3.6)
        axes = figure.subplots(1, 1 if labels is None else 2, squeeze=False)[0]
        draw_histogram(axes[0], score_N, labels)
        if labels is not None:
            curves = roc_curves(score_N, labels)
            draw_roc(axes[1], curves, colours_of(list(curves), labels), log=False)
        save_figure(figure, path)


def draw_images(path: Path, images: Images, rows: np.ndarray) -> None:
    """The first 60 of these images, ten in a line, each above its row in the file."""
    rows = rows[:SHOWN]
    lines = -(-len(rows) // ACROSS)
    figure = new_figure(ACROSS, 1.2 * lines)
    places = figure.subplots(lines, ACROSS, squeeze=False).flat[: len(rows)]
    for axes, row, image_HWC in zip(places, rows, images.read(rows), strict=True):
        axes.imshow(three_channels(image_HWC))
        axes.set_xlabel(f"{row}", fontsize=8)
    for axes in figure.axes:
        axes.set_xticks([], [])
        axes.set_yticks([], [])
        axes.spines[:].set_visible(False)
    save_figure(figure, path)


def save_figure(figure: Any, path: Path) -> None:
    """Write the figure as PNG, whole or not at all."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)

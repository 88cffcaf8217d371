"""What the pages draw of a run besides its scores: how it learned, and where its encoder puts images."""

import importlib.util

import numpy as np
import pandas as pd
from markupsafe import Markup

from hw8.data.labels import Labels
from hw8.data.splits import evenly_spaced
from hw8.report import plots
from hw8.runs.scores import Scores
from hw8.training.run_folder import RunFolder

# Latents drawn in a map: more would cover each other, take UMAP minutes, and their pictures megabytes.
MAPPED = 2000
LOSSES = (
    "Loss over epochs; held-out images are never trained on. A training loss of several terms is not to be compared "
    "with the held-out error."
)
LATENTS = f"Up to {MAPPED:,} test images; those with like latents lie near each other."
AGREEMENT = "Rank correlation of every two scores: 1 where they order the images alike, 0 where they do not agree."
SEED = 8  # of both projections, so that a page made twice is the same


def training_curves(folder: RunFolder, name: str) -> Markup | None:
    """Losses over epochs; None if metrics.csv does not hold them."""
    try:
        metrics = pd.read_csv(folder.metrics)
    except (OSError, ValueError):
        return None
    complete = {"epoch", "train_loss", "held_out_loss"} <= set(metrics) and len(metrics) > 0
    return plots.training(metrics, name) if complete else None


def mapped_rows(count: int) -> np.ndarray:
    """The rows of a test set that a map shows: 2,000 at most, evenly spaced."""
    return evenly_spaced(np.arange(count), MAPPED)


def latent_map(latent_RD: np.ndarray, rows: np.ndarray, scores: Scores, labels: Labels | None) -> Markup | None:
    """The latents of these rows (R,) in two dimensions: by UMAP if it is installed, else by principal components.

    None without latents, or where they do not vary.
    """
    # Two dimensions of two are no map, and fewer than three images no cloud.
    if np.ndim(latent_RD) != 2 or min(latent_RD.shape) < 3:
        return None
    mapped_RD = np.nan_to_num(np.asarray(latent_RD, np.float64))
    if mapped_RD.std(0).max() == 0:
        return None
    if importlib.util.find_spec("umap"):
        import umap

        return plots.scatter_map(umap.UMAP(random_state=SEED).fit_transform(mapped_RD), rows, scores, labels, "UMAP")
    from sklearn.decomposition import PCA

    point_R2 = PCA(2, random_state=SEED).fit_transform(mapped_RD)
    return plots.scatter_map(point_R2, rows, scores, labels, "principal component")

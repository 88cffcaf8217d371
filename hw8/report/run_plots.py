"""What the pages draw of a run besides its scores: how it learned, and where its encoder puts images."""

import numpy as np
import pandas as pd
from markupsafe import Markup

from hw8.data.labels import Labels
from hw8.data.splits import evenly_spaced
from hw8.report import plots
from hw8.runs.scores import Scores
from hw8.training.run_folder import RunFolder

# Latents drawn in a map: more would cover each other, and their pictures take megabytes.
MAPPED = 2000
LOSSES = (
    "Loss over epochs; held-out images are never trained on. A training loss of several terms is not to be compared "
    "with the held-out error."
)
LATENTS = (
    f"Up to {MAPPED:,} test images; those with like latents lie near each other. Point at one (or tap it) to see it; a "
    "ring marks those of the gallery, which a click opens."
)
AGREEMENT = "Rank correlation of every two scores: 1 where they order the images alike, 0 where they do not agree."
SEED = 8  # of the projection, so that a page made twice is the same


def training_curves(folder: RunFolder, name: str) -> Markup | None:
    """Losses over epochs; None if metrics.csv does not hold them."""
    try:
        metrics = pd.read_csv(folder.metrics_file)
    except (OSError, ValueError):
        return None
    complete = {"epoch", "train_loss", "held_out_loss"} <= set(metrics) and len(metrics) > 0
    return plots.training(metrics, name) if complete else None


def mapped_rows(count: int) -> np.ndarray:
    """The rows of a test set that a map shows: 2,000 at most, evenly spaced."""
    return evenly_spaced(np.arange(count), MAPPED)


def latent_map(
    latent_RD: np.ndarray, rows: np.ndarray, scores: Scores, labels: Labels | None, shown_rows: np.ndarray
) -> Markup | None:
    """The latents of these rows (R,) by their two principal components; None without latents that vary.

    Those among the `shown_rows`, which the page has a card of, are ringed and lead to it; of others the page's script
    shows the thumbnail (see `sprites.thumbnails`).
    """
    # Two dimensions of two are no map, and fewer than three images no cloud.
    if np.ndim(latent_RD) != 2 or min(latent_RD.shape) < 3:
        return None
    mapped_RD = np.nan_to_num(np.asarray(latent_RD, np.float64))
    if mapped_RD.std(0).max() == 0:
        return None
    from sklearn.decomposition import PCA

    point_R2 = PCA(2, random_state=SEED).fit_transform(mapped_RD)
    return plots.scatter_map(point_R2, rows, scores, labels, np.isin(rows, shown_rows))

"""What the pages draw of a run besides its scores: how it learned, and where its encoder puts images."""

import importlib.util

import numpy as np
import pandas as pd
from markupsafe import Markup

from hw8.data.labels import Labels
from hw8.data.splits import evenly_spaced
from hw8.report import plots
from hw8.training.run_folder import RunFolder

# Latents drawn in a map: more would cover each other, and take UMAP minutes.
MAPPED = 3000
SEED = 8  # of both projections, so that a page made twice is the same


def training_curves(folder: RunFolder, name: str) -> Markup | None:
    """Losses over epochs; None if metrics.csv does not hold them."""
    try:
        metrics = pd.read_csv(folder.metrics)
    except (OSError, ValueError):
        return None
    complete = {"epoch", "train_loss", "held_out_loss"} <= set(metrics) and len(metrics) > 0
    return plots.training(metrics, name) if complete else None


def latent_map(latent_ND: np.ndarray | None, labels: Labels | None, name: str) -> Markup | None:
    """Up to 3,000 latents in two dimensions: by UMAP if it is installed, else by principal components.

    None without latents, or where they do not vary.
    """
    # Two dimensions of two are no map, and fewer than three images no cloud.
    if latent_ND is None or np.ndim(latent_ND) != 2 or min(latent_ND.shape) < 3:
        return None
    rows = evenly_spaced(np.arange(len(latent_ND)), MAPPED)
    mapped_ND = np.nan_to_num(np.asarray(latent_ND, np.float64)[rows])
    if mapped_ND.std(0).max() == 0:
        return None
    mapped_labels = None if labels is None else Labels(labels.label_N[rows], labels.kind_N[rows])
    if importlib.util.find_spec("umap"):
        import umap

        return plots.scatter_map(umap.UMAP(random_state=SEED).fit_transform(mapped_ND), mapped_labels, "UMAP", name)
    from sklearn.decomposition import PCA

    point_N2 = PCA(2, random_state=SEED).fit_transform(mapped_ND)
    return plots.scatter_map(point_N2, mapped_labels, "principal component", name)

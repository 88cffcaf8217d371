"""What the pages draw of a run besides its scores: how it learned, and where its encoder puts images."""

import importlib.util

import numpy as np
import pandas as pd
from markupsafe import Markup

from hw8.base.files import open_regular
from hw8.data.labels import Labels
from hw8.data.splits import evenly_spaced
from hw8.report import plots
from hw8.training.run_folder import RunFolder

MAPPED = 3000


def training_curves(folder: RunFolder, name: str) -> Markup | None:
    """Losses over epochs; None if metrics.csv does not hold them."""
    try:
        with open_regular(folder.metrics) as file:
            found = pd.read_csv(file)
    except (OSError, ValueError):
        return None
    known = {"epoch", "train_loss", "held_out_loss"} <= set(found) and len(found) > 0
    return plots.training(found, name) if known else None


def latent_map(latent_ND: np.ndarray | None, labels: Labels | None, name: str) -> Markup | None:
    """Up to 3,000 latents in two dimensions: by UMAP if it is installed, else by principal components.

    None without latents, or where they do not vary.
    """
    if latent_ND is None or np.ndim(latent_ND) != 2 or min(latent_ND.shape) < 3:
        return None
    rows = evenly_spaced(np.arange(len(latent_ND)), MAPPED)
    chosen_ND = np.nan_to_num(np.asarray(latent_ND, np.float64)[rows])
    if chosen_ND.std(0).max() == 0:
        return None
    mapped = None if labels is None else Labels(labels.label_N[rows], labels.kind_N[rows])
    if importlib.util.find_spec("umap"):
        import umap

        return plots.scatter_map(umap.UMAP(random_state=8).fit_transform(chosen_ND), mapped, "UMAP", name)
    from sklearn.decomposition import PCA

    return plots.scatter_map(PCA(2, random_state=8).fit_transform(chosen_ND), mapped, "principal component", name)

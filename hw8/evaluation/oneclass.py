"""The literature's one-class protocol: each class of a labelled set is normal in turn, the others are anomalies."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hw8.config import RunConfig
from hw8.data.arrays import Images
from hw8.errors import InputError
from hw8.evaluation.metrics import roc_auc
from hw8.presets import changed
from hw8.training.session import train_run

SIDE = 32
LEAST_STEPS = 400
SMALL_BATCH = 64
HELD_OUT = 0.4  # of small sets, for calibration and development together, at the most


@dataclasses.dataclass(frozen=True)
class Labelled:
    """A labelled set, cut into images to train on and to test on: uint8 (N, side, side, C), and their classes (N,)."""

    name: str
    train_NHWC: np.ndarray
    train_class_N: np.ndarray
    test_NHWC: np.ndarray
    test_class_N: np.ndarray


def digits(seed: int = 0) -> Labelled:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels, enlarged to 32x32; a fifth of each class to test on."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = load_digits()
    small = np.rint(found.images * 255 / 16).astype(np.uint8)
    large = small.repeat(SIDE // 8, 1).repeat(SIDE // 8, 2)[..., None]
    parts = train_test_split(large, found.target, test_size=0.2, random_state=seed, stratify=found.target)
    return Labelled("digits", parts[0], parts[2], parts[1], parts[3])


def one_class(
    labelled: Labelled, preset: RunConfig, seed: int, advance: Callable[[str, float], object] = lambda *_: None
) -> dict[str, float]:
    """ROC-AUC with each class as the normal one, by class. `advance` gets each as it comes.

    Training sets are small: the preset's epochs are raised to at least 400 steps. Nothing is kept on the disk. Raises
    InputError for fewer than two classes.
    """
    classes = np.unique(labelled.train_class_N)
    if len(classes) < 2:
        raise InputError(f"{labelled.name}: has {len(classes)} class; the one-class protocol needs two or more")
    found = {}
    for normal in classes:
        with tempfile.TemporaryDirectory() as folder:
            found[str(normal)] = _one(labelled, normal, dataclasses.replace(preset, seed=seed), Path(folder))
        advance(str(normal), found[str(normal)])
    return found


def _one(labelled: Labelled, normal: object, config: RunConfig, folder: Path) -> float:
    train_NHWC = labelled.train_NHWC[labelled.train_class_N == normal]
    np.save(folder / "trainingset.npy", train_NHWC)
    batch = min(config.train.batch_size, SMALL_BATCH)
    per_epoch = max(1, int(len(train_NHWC) * (1 - HELD_OUT)) // batch)
    epochs = max(config.train.epochs, -(-LEAST_STEPS // per_epoch))
    config = changed(config, data={"source": str(folder)}, train={"epochs": epochs, "batch_size": batch})
    done = train_run(config, folder / "run")
    test = Images(labelled.test_NHWC, config.data.crop)
    score_N = done.scorer.score(test, np.arange(len(test)))[config.scoring.score]
    inside = labelled.test_class_N == normal
    return roc_auc(score_N[inside], score_N[~inside])

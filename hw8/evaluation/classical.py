"""Classical baselines, from scikit-learn: what every autoencoder has to beat.

Each is fitted on the training part alone, on at most 8,000 images of it, drawn by seed; fewer of over 128 pixels.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hw8.base.registry import register
from hw8.config import RunConfig
from hw8.data.arrays import Images, Readable, scaled
from hw8.data.loader import in_batches
from hw8.data.splits import split_rows
from hw8.evaluation.held_out import HeldOut, Measure, evaluate_held_out

FIT_IMAGES = 8000  # chosen by hand: a support vector machine's time grows with their square
FIT_VALUES = 400_000_000  # chosen by hand: 1.6 GB in float32, of which two copies are made
COMPONENTS = 50  # chosen by hand: distances in thousands of pixels are dominated by noise, in a handful by brightness
BATCH = 256  # images scored at once
NEIGHBOURS = 5  # as many as calibrations by nearest neighbours use

Score = Callable[[np.ndarray], np.ndarray]
CLASSICAL: dict[str, Callable[[np.ndarray, int], Score]] = {}
CROPS = {"pca_crop": 11 / 16}  # share of the side: 44 of 64 pixels, about the face without background


def classical(fit: Callable[[np.ndarray, int], Score]) -> Callable[[np.ndarray, int], Score]:
    """Register a baseline under the function's name. Raises ValueError if the name is taken."""
    return register(fit, CLASSICAL, "classical baseline")


def classical_crop(name: str, side: int) -> int | None:
    """The side in pixels of the centre crop that a baseline is fitted to; None for the whole image."""
    return round(CROPS[name] * side) if name in CROPS else None


def described() -> dict[str, str]:
    """The registered baselines by name, with a line on each."""
    return {name: (fit.__doc__ or "").split("\n")[0] for name, fit in CLASSICAL.items()}


def fit_classical(name: str, images: Images, rows: np.ndarray, seed: int) -> Measure:
    """Fit a registered baseline on these training rows; return what scores images as `TrainedRun.score` does.

    It gives one score, named `score`: float64 (N,).
    """
    count = min(FIT_IMAGES, FIT_VALUES // (images.side**2 * images.channels))
    fit_rows = np.sort(np.random.default_rng(seed).permutation(rows)[:count])
    detect = CLASSICAL[name](_flat(images.read(fit_rows)), seed)

    def score(images: Readable, rows: np.ndarray) -> dict[str, np.ndarray]:
        batches = (_flat(images.read(rows_B)) for rows_B in in_batches(rows, BATCH))
        return {"score": np.concatenate([detect(x_BP) for x_BP in batches])}

    return score


@dataclasses.dataclass(frozen=True)
class ClassicalResult:
    """Scores of test images (N,), what they are worth on the development split, and the times of fit and scoring."""

    score_N: np.ndarray
    held_out: HeldOut
    fit_seconds: float
    score_seconds: float


def score_classical(images: Images, test: Images, config: RunConfig) -> ClassicalResult:
    """Fit the baseline `config.preset` to training images, score test images, and measure it.

    The training images are cut as for presets: neither those that measure nor those that calibrate are fitted to.
    """
    splits = split_rows(len(images), config.data)
    started = time.perf_counter()
    score = fit_classical(config.preset, images, splits.train, config.seed)
    fitted = time.perf_counter()
    score_N = score(test, np.arange(len(test)))["score"]
    scored = time.perf_counter()
    held_out = evaluate_held_out(score, images, splits.development)["score"]
    return ClassicalResult(score_N, held_out, fitted - started, scored - fitted)


def _flat(batch_BHWC: np.ndarray) -> np.ndarray:
    """Images as rows of pixels in [-1, 1], float32 (B, H * W * C)."""
    return scaled(batch_BHWC).reshape(len(batch_BHWC), -1)


@classical
def mean_image(x_NP: np.ndarray, seed: int) -> Score:
    """Root of the summed squared distance from the mean training image."""
    del seed  # nothing is drawn
    mean_P = x_NP.mean(axis=0)
    return lambda x_BP: np.sqrt(np.square(x_BP - mean_P, dtype=np.float64).sum(axis=1))


@classical
def pca(x_NP: np.ndarray, seed: int) -> Score:
    """Root of the summed squared reconstruction error of the first 50 principal components."""
    model = _components(x_NP, seed)

    def detect(x_BP: np.ndarray) -> np.ndarray:
        error_BP = x_BP - model.inverse_transform(model.transform(x_BP))
        return np.sqrt(np.square(error_BP, dtype=np.float64).sum(axis=1))

    return detect


@classical
def pca_crop(x_NP: np.ndarray, seed: int) -> Score:
    """`pca` after a centre crop to 44 of 64 pixels, or as large a share of another side."""
    return pca(x_NP, seed)


@classical
def isolation_forest(x_NP: np.ndarray, seed: int) -> Score:
    """Isolation forest (Liu 2008) on 50 whitened principal components."""
    from sklearn.ensemble import IsolationForest

    model = _components(x_NP, seed, whiten=True)
    forest = IsolationForest(n_estimators=200, random_state=seed).fit(model.transform(x_NP))
    return lambda x_BP: -forest.score_samples(model.transform(x_BP))


@classical
def one_class_svm(x_NP: np.ndarray, seed: int) -> Score:
    """One-class support vector machine (Schölkopf 2001) on 50 whitened principal components."""
    from sklearn.svm import OneClassSVM

    model = _components(x_NP, seed, whiten=True)
    machine = OneClassSVM(nu=0.1, gamma="scale").fit(model.transform(x_NP))
    return lambda x_BP: -machine.decision_function(model.transform(x_BP)).astype(np.float64)


@classical
def nearest_neighbours(x_NP: np.ndarray, seed: int) -> Score:
    """Mean distance to the five nearest training images in 50 principal components."""
    from sklearn.neighbors import NearestNeighbors

    model = _components(x_NP, seed)
    index = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(x_NP))).fit(model.transform(x_NP))
    return lambda x_BP: index.kneighbors(model.transform(x_BP))[0].mean(axis=1).astype(np.float64)


def _components(x_NP: np.ndarray, seed: int, whiten: bool = False) -> Any:
    """Principal components of the training images."""
    from sklearn.decomposition import PCA

    count = min(COMPONENTS, len(x_NP) - 1, x_NP.shape[1])
    return PCA(count, whiten=whiten, svd_solver="randomized", random_state=seed).fit(x_NP)

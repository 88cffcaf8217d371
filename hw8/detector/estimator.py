"""The estimator: what X and the parameters may be, scikit-learn's methods, and what pickle keeps."""

import math
import os
import warnings
from collections.abc import Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from hw8.config import RunConfig
from hw8.config.presets import DEFAULT_PRESET
from hw8.data.arrays import SIDE_STEP, Images
from hw8.data.picture_folder import find_pictures, named_pictures, read_images
from hw8.data.rows import Layout, checked_shape
from hw8.data.splits import MIN_HELD_OUT, Splits
from hw8.detector import run
from hw8.detector.explanation import Explanation
from hw8.detector.inputs import check_finite, listed, names_pictures, stacked
from hw8.prepare.layout import check_all_normal
from hw8.report.explanation import words_of
from hw8.scoring.tails import ALPHA

if TYPE_CHECKING:
    import pandas as pd

VECTOR = "vector"


class AnomalyDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """One-class anomaly detector for images: fitted on normal images only, it scores, ranks and flags others.

    It trains a run as `hw8 train` does, but in memory. X is one of

    - images: (N, side, side, 1 or 3), or (N, side, side) if grey;
    - a folder of pictures, or a list of picture files, which `hw8.read_images` reads as colour images of 64x64 pixels;
    - flat rows of pixels: (N, D) with D = side * side * channels, as an array or a pandas DataFrame. They are taken for
      images if `image_shape` says so or, by default, if D is that of a square image whose side is a multiple of 16,
      grey or in colour, and the values look like pixels;
    - any other rows of finite numbers: (N, D).

    Pixels are uint8, or numbers in [0, 255], [0, 1] or [-1, 1]: the narrowest range that holds the training images.
    Images in another range are scaled by the range of all their pixels. All are converted to uint8.

    For rows that are not images other detectors are as good: each feature is rounded to 256 levels of its training
    range (values far beyond are cut), the features are laid out as a small grey image in the order of the columns, and
    a small fully connected autoencoder learns them, whatever the preset. On small tables scikit-learn's
    `LocalOutlierFactor` is about as good, and faster.

    Parameters
    ----------
    preset : str or RunConfig
        Name of a preset (see hw8/config/presets.py), or settings of your own, whose seed is ignored. The default takes
        images of any side that is a multiple of 16, and minutes for thousands of them; "fcn_crop" takes any side, is
        faster, and sees the inner 32 pixels; "fcn" sees all.
    epochs : int or None
        Passes over the training images. None: the preset's, or as many as make its `least_steps`.
    score_name : str or None
        Evidence that is the score, for instance "l1" (see docs/scoring.md). None: the preset's.
    contamination : float or "auto"
        Share of normal images that may be flagged, in (0, 0.5]; "auto" is 0.05.
    random_state : int, RandomState or None
        Seed of weights, order and augmentation; None for another one each time.
    device : "auto", "cpu", "cuda" or "mps"
        "auto" for the preset's, which is the fastest here. Unpickled where it is missing, a detector takes another,
        with a warning.
    precision : "auto", "fp32", "bf16" or "fp16"
        "auto" for the preset's, which is the fastest on the device.
    image_shape : tuple, "vector" or None
        (side, side) or (side, side, channels) of flat rows; "vector" if they are not images; None to guess.
    crop : "centre", "pad" or "stretch"
        How pictures that are read from files become square, in `fit` and whenever it scores; see `hw8.read_images`.
    verbose : bool
        Show progress on standard error.

    Attributes
    ----------
    offset_ : float
        `decision_function` is `score_samples` less this.
    decision_scores_ : array (N,)
        PyOD's: scores of the training images; larger is more anomalous.
    threshold_ : float
        PyOD's: the score above which an image is flagged.
    labels_ : array (N,)
        PyOD's: 1 for flagged training images, 0 for others.
    run_files_ : dict
        The run's config.yaml and model.safetensors, as bytes; all that pickle keeps of the model.
    layout_ : object
        How rows become images.
    n_features_in_ : int
        Numbers in a row.
    feature_names_in_ : array
        The columns of a DataFrame.

    Notes
    -----
    A part of the training images is held out, and the conformal p-value of a new image is the share of those at least
    as unlike (docs/scoring.md). An image is flagged if its p-value is at most `contamination`: about that share of new
    normal images, whatever the anomalies. So `contamination` is a false alarm rate; the flagged share of the training
    images is near it, but not exactly it. p-values are at least 1 / (held-out images + 1): with too few images a
    warning says so, and an image is flagged if it is more unlike than every held-out image. Under 20 images none is
    held out: scores are calibrated on the training images themselves, with a warning.

    The same random_state gives the same scores, bit for bit, on one machine and thread count, and an image's score does
    not depend on the other images of X. Fits in threads of one process run one after another, since they share
    PyTorch's random stream.

    `y` is ignored. To measure with labels (1 for normal, -1 or 0 for anomalous), let the training folds hold normal
    images only: cross_val_score(detector, X, y, scoring="roc_auc", cv=[(normal_rows, other_rows), ...]).
    """

    def __init__(
        self,
        preset: str | RunConfig = DEFAULT_PRESET,
        *,
        epochs: int | None = None,
        score_name: str | None = None,
        contamination: float | str = "auto",
        random_state: Any = 0,
        device: str = "auto",
        precision: str = "auto",
        image_shape: tuple[int, ...] | str | None = None,
        crop: str = "centre",
        verbose: bool = False,
    ) -> None:
        self.preset = preset
        self.epochs = epochs
        self.score_name = score_name
        self.contamination = contamination
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.image_shape = image_shape
        self.crop = crop
        self.verbose = verbose

    def fit(self, X: Any, y: object = None) -> "AnomalyDetector":
        """Learn what normal images look like; `y` is ignored, with a warning if its labels differ.

        Raises ValueError for a folder of pictures that are not all normal, for fewer than 4 images, for values that are
        not finite, for images that are not square or that the preset cannot take, and for bad parameters. Warns of sets
        too small for `contamination`.
        """
        if isinstance(y, Iterable) and len({str(label) for label in y}) > 1:
            warnings.warn("y is ignored: all images of X are taken as normal; give only the normal ones", stacklevel=2)
        level, seed, declared = self._level(), self._seed(), self._declared_shape()
        rows_ND, shape = self._rows(X, reset=True)
        layout = Layout.of(rows_ND, shape or declared, SIDE_STEP)
        array_NHWC = layout.images(rows_ND)
        config = run.settings(self.preset, layout, len(rows_ND), level, self._changes(seed))
        splits = run.split(len(rows_ND), config)
        self.run_files_ = run.train(config, Images(array_NHWC, config.data.crop, "X"), splits, bool(self.verbose))
        self.layout_, self._trained = layout, run.load(self.run_files_)
        self.offset_ = -run.threshold(self._trained.normal_C, level)
        self.decision_scores_ = self._scores(array_NHWC, splits)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """How normal each image is: float64 (N,), lower is more abnormal. Raises ValueError for X unlike fit's."""
        check_is_fitted(self)
        return -self._scores(self.layout_.images(self._rows(X, reset=False)[0]))

    def decision_function(self, X: Any) -> np.ndarray:
        """`score_samples` less `offset_`: float64 (N,), negative for images that are flagged. Raises ValueError."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """-1 for images that are flagged as anomalous, 1 for others: int (N,). Raises ValueError."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def score_frame(self, X: Any, ids: Iterable[Any] | None = None) -> "pd.DataFrame":
        """A table with one row per image: ID, score (larger is more anomalous), and p_value.

        IDs are `ids` or, without them, the index of X, if X is a DataFrame, the names of picture files, or the images'
        numbers. The table has the index of X. Raises ValueError, also if the number of `ids` is not that of the images.
        """
        import pandas as pd

        X = listed(X)
        score_N = -self.score_samples(X)
        index = X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(len(score_N))
        if ids is None:
            ids = named_pictures(X)[1] if names_pictures(X) else index
        names = list(ids)
        if len(names) != len(score_N):
            raise ValueError(f"ids: {len(names)} for {len(score_N)} images")
        p_value_N = self._trained.p_value(score_N)
        return pd.DataFrame({"ID": names, "score": score_N, "p_value": p_value_N}, index=index)

    def explain(self, X: Any) -> Explanation:
        """Which evidence each image has its score from, and where in it. Raises ValueError for X unlike fit's.

        It takes the time of scoring 120 times as many images.
        """
        check_is_fitted(self)
        trained, array_NHWC = self._trained, self.layout_.images(self._rows(X, reset=False)[0])
        images, rows = self._in_full_batches(array_NHWC)
        table, count = trained.scorer.table(images, rows), len(array_NHWC)
        scores = trained.calibration.scores(table)
        score_N = scores[trained.score_name]
        return Explanation(
            score_N[:count],
            trained.p_value(score_N)[:count],
            {name: p_N[:count] for name, p_N in trained.evidence_p_values(scores).items()},
            {name: share_N[:count] for name, share_N in trained.shares(table).items()},
            words_of(trained, table)[:count],
            None if self.layout_.vector else trained.score_maps(images.read(rows[:count])),
        )

    @property
    def threshold_(self) -> float:
        """The score above which an image is flagged."""
        return -self.offset_

    @property
    def labels_(self) -> np.ndarray:
        """1 for training images that are flagged, 0 for others: int (N,)."""
        return (self.decision_scores_ > self.threshold_).astype(int)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_trained"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({"crop": "centre"} | state)  # which earlier pickles lack
        if "run_files_" in state:
            self._trained = run.load(self.run_files_)

    def _rows(self, X: Any, reset: bool) -> tuple[np.ndarray, tuple[int, ...] | None]:
        """X as checked rows of numbers (N, D), and the shape of its images if X has one."""
        shape, X = None, listed(X)
        if names_pictures(X):
            if reset and isinstance(X, str | os.PathLike) and Path(X).is_dir():
                for warning in check_all_normal(find_pictures(Path(X))):
                    warnings.warn(f"X: {warning}", stacklevel=3)
            side, channels = (64, 3) if reset else (self.layout_.side, self.layout_.channels)
            X = read_images(X, side, channels, self.crop)  # type: ignore[arg-type]  # which checks the name
        if isinstance(X, list | tuple):
            if not X:
                raise ValueError("X: no images; give some")
            X = stacked(X)
        if getattr(X, "ndim", 2) > 2:
            array = np.asarray(X)
            shape = array.shape[1:]
            if reset:
                checked_shape(shape, math.prod(shape))
            else:
                self._check_like_fitted(array.shape)
            X = array.reshape(len(array), math.prod(shape))
        check_finite(X)
        least = MIN_HELD_OUT if reset else 1
        return validate_data(self, X, reset=reset, dtype="numeric", ensure_min_samples=least), shape

    def _check_like_fitted(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError, with a remedy if there is one, for an array of images of another shape than fit's."""
        layout, hint = self.layout_, ""
        fitted = f"images of {layout.side}x{layout.side}x{layout.channels}"
        if layout.vector:
            fitted = "rows that are not images"
        elif shape == (layout.side, layout.side, layout.channels):
            raise ValueError(f"X: one image, of shape {shape}, where a stack of images is expected; give X[None]")
        side, channels = checked_shape(shape[1:], math.prod(shape[1:]))
        if not layout.vector and side == layout.side:
            if channels == layout.channels:
                return
            hint = "; make them grey: X.mean(axis=3)"
            if channels == 1:
                hint = f"; make them colour images: np.repeat(X.reshape(-1, {side}, {side}, 1), 3, axis=3)"
        raise ValueError(f"X: images of {side}x{side}x{channels}, but the detector was fitted on {fitted}{hint}")

    def _declared_shape(self) -> tuple[int, ...] | str | None:
        shape = self.image_shape
        if shape is None or (isinstance(shape, str) and shape == VECTOR):
            return shape
        if isinstance(shape, tuple | list) and all(isinstance(size, Integral) for size in shape):
            return tuple(shape)
        raise ValueError(f"image_shape={shape!r}: must be (side, side), (side, side, channels), {VECTOR!r} or None")

    def _level(self) -> float:
        """The share of normal images that may be flagged. Raises ValueError."""
        level = self.contamination
        if isinstance(level, str) and level == "auto":
            return ALPHA
        if isinstance(level, Real) and 0 < level <= 0.5:
            return float(level)
        raise ValueError(f"contamination={level!r}: must be 'auto' or a number in (0, 0.5]")

    def _seed(self) -> int:
        """The random state as a whole number. Raises ValueError."""
        if not isinstance(self.random_state, Integral):
            return int(check_random_state(self.random_state).randint(2**31 - 1))
        seed = int(self.random_state)
        if not 0 <= seed < 2**32:
            raise ValueError(f"random_state={seed}: must lie in [0, 2**32)")
        return seed

    def _changes(self, seed: int) -> dict[str, Any]:
        """The settings that the parameters change in those of the preset."""
        changes: dict[str, Any] = {"seed": seed}
        changes |= {name: value for name in ("device", "precision") if (value := getattr(self, name)) != "auto"}
        if self.score_name:
            changes["scoring"] = {"score": self.score_name}
        if self.epochs is not None:
            # NumPy's whole numbers, which a grid search passes, are not YAML's.
            epochs = int(self.epochs) if isinstance(self.epochs, Integral) else self.epochs
            changes["train"] = {"epochs": epochs, "least_steps": 0}
        return changes

    def _scores(self, array_NHWC: np.ndarray, splits: Splits | None = None) -> np.ndarray:
        """Scores, larger is more anomalous: float64 (N,). With `splits` the images are those of the training.

        None of these is among its own nearest neighbours.
        """
        images, rows = self._in_full_batches(array_NHWC)
        in_reference_N = None if splits is None else self._trained.in_reference(rows, splits)
        return self._trained.run_score(self._trained.scorer.table(images, rows), in_reference_N)[: len(array_NHWC)]

    def _in_full_batches(self, array_NHWC: np.ndarray) -> tuple[Images, np.ndarray]:
        """The images, and their rows with more of the first, so that the last batch is full.

        Matrix products of another size round otherwise: an image's score would depend on how many come with it.
        """
        trained, count = self._trained, len(array_NHWC)
        rows = np.pad(np.arange(count), (0, -count % trained.scorer.batch_size))
        return Images(array_NHWC, trained.config.data.crop, "X"), rows

"""hw8 as a scikit-learn estimator: fit on normal images, then score, rank and flag others.

`AnomalyDetector` trains a run as `hw8 train` does, but in memory, and keeps what would be the run's files as bytes.
"""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from hw8.config import RunConfig
from hw8.config.presets import DEFAULT_PRESET
from hw8.data.arrays import Images
from hw8.data.rows import Layout, checked_shape
from hw8.data.splits import LEAST_CALIBRATION
from hw8.detector.run import cut, fitted, loaded, run_files, settings, threshold
from hw8.models.blocks import DOWNSAMPLING
from hw8.runs.predict import ALPHA
from hw8.scoring.evidence import select

if TYPE_CHECKING:
    import pandas as pd

VECTOR = "vector"


class AnomalyDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """One-class anomaly detector for images, learned from scratch, from normal images only.

    X is one of

    - images: (N, side, side, 1 or 3), or (N, side, side) if grey;
    - flat rows of pixels: (N, D) with D = side * side * channels, as an array or a pandas DataFrame. They are taken for
      images if `image_shape` says so or, by default, if D is that of a square image whose side is a multiple of 16,
      grey or in colour, and the values look like pixels;
    - any other rows of finite numbers: (N, D).

    Pixels are uint8, or numbers in [0, 255], [0, 1] or [-1, 1]; the narrowest range that holds the training images
    counts. Other images are scaled by the range of all their pixels. Everything becomes uint8 in the end.

    Rows that are no images are second best: each feature is rounded to 256 levels of its training range (values far
    beyond are cut), the features are laid out as a small grey image without regard to what belongs together, and a
    small fully connected autoencoder learns them, whatever the preset. On small tables scikit-learn's
    `LocalOutlierFactor` is about as good, and quicker.

    Parameters
    ----------
    preset : str or RunConfig
        Name of a preset (see hw8/config/presets.py), or settings of your own, whose seed is not looked at. The default
        one takes images of any side that is a multiple of 16, and minutes for thousands of them; "fcn_crop" takes any
        side, is quicker, and looks at the inner 32 pixels; "fcn" looks at all.
    epochs : int or None
        Passes over the training images. None: the preset's, or as many as make 400 steps.
    score_name : str or None
        Evidence that is the score, for instance "l1" (see docs/scoring.md). None: the preset's.
    contamination : float or "auto"
        Share of normal images that may be flagged, in (0, 0.5]; "auto" is 0.05.
    random_state : int, RandomState or None
        Seed of weights, order and augmentation; None for another one each time.
    device : "auto", "cpu", "cuda" or "mps"
        "auto" for the preset's, which is the quickest here. Unpickled where it is missing, a detector takes another,
        with a warning.
    precision : "auto", "fp32" or "bf16"
        "auto" for the preset's, which is what the device is quickest in.
    image_shape : tuple, "vector" or None
        (side, side) or (side, side, channels) of flat rows; "vector" if they are no images; None to guess.
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
    A part of the training images is held out, and a new image's conformal p-value is the share of those at least as
    unlike (docs/scoring.md). An image is flagged if its p-value is at most `contamination`: about that share of new
    normal images, whatever the anomalies. So `contamination` is a rate of false alarms; the share of the training
    images that is flagged is near it, but not exactly it. p-values are no smaller than 1 / (held-out images + 1): with
    too few images a warning says so, and what is more unlike than every held-out image is flagged. Under 20 images none
    is held out: scores are calibrated on the training images themselves, with a warning.

    The same random_state gives the same scores, bit for bit, on one machine and thread count, and an image's score does
    not depend on the images that it comes with. Fits in threads of one process go one at a time, since they share
    PyTorch's random stream.

    `y` is never looked at. To measure with labels (1 for normal, -1 or 0 for anomalous), let the training folds hold
    normal images only: cross_val_score(detector, X, y, scoring="roc_auc", cv=[(normal_rows, other_rows), ...]).
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
        self.verbose = verbose

    def fit(self, X: Any, y: object = None) -> "AnomalyDetector":  # noqa: ARG002 (scikit-learn passes it)
        """Learn what normal images look like; `y` is ignored.

        Raises ValueError for fewer than 4 images, for values that are not finite, for images that are not square or
        that the preset cannot take, and for bad parameters. Warns of sets too small for `contamination`.
        """
        level, seed, declared = self._level(), self._seed(), self._declared_shape()
        rows_ND, shape = self._rows(X, reset=True)
        layout = Layout.of(rows_ND, shape or declared, DOWNSAMPLING)
        array_NHWC = layout.images(rows_ND)
        config = settings(self, layout, len(rows_ND), level, seed)
        splits = cut(len(rows_ND), config)
        run = fitted(config, Images(array_NHWC, config.data.crop, "X"), splits, bool(self.verbose))
        self.run_files_, self.layout_ = run_files(run), layout
        trained = self._trained = loaded(self.run_files_)
        self.offset_ = -threshold(trained.calibration.values_C[trained.score_name], level)
        self.decision_scores_ = self._scores(array_NHWC)
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

    def fit_predict(self, X: Any, y: object = None) -> np.ndarray:
        """Fit, and predict the same images: int (N,). Raises ValueError."""
        return 1 - 2 * self.fit(X, y).labels_

    def score_frame(self, X: Any, ids: Iterable[Any] | None = None) -> "pd.DataFrame":
        """A table with a row an image: ID, score (larger is more anomalous), and p_value.

        IDs are `ids` or, without them, the index of X, if X is a DataFrame, or the images' numbers. The table has the
        index of X. Raises ValueError, also if `ids` are not as many as the images.
        """
        import pandas as pd

        score_N = -self.score_samples(X)
        index = X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(len(score_N))
        names = list(index if ids is None else ids)
        if len(names) != len(score_N):
            raise ValueError(f"ids: {len(names)} for {len(score_N)} images")
        p_value_N = self._trained.calibration.p_value(self._trained.score_name, score_N)
        return pd.DataFrame({"ID": names, "score": score_N, "p_value": p_value_N}, index=index)

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
        super().__setstate__(state)
        if "run_files_" in state:
            self._trained = loaded(self.run_files_)

    def _rows(self, X: Any, reset: bool) -> tuple[np.ndarray, tuple[int, ...] | None]:
        """X as checked rows of numbers (N, D), and the shape of an image if X says it."""
        shape = None
        X = _stacked(X) if isinstance(X, list | tuple) else X
        if getattr(X, "ndim", 2) > 2:
            array = np.asarray(X)
            shape = array.shape[1:]
            if reset:
                checked_shape(shape, math.prod(shape))
            else:
                self._check_like_fitted(array.shape)
            X = array.reshape(len(array), math.prod(shape))
        _check_finite(X)
        least = LEAST_CALIBRATION if reset else 1
        return validate_data(self, X, reset=reset, dtype="numeric", ensure_min_samples=least), shape

    def _check_like_fitted(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError for an array of images of another side, or with other channels, than fit's."""
        layout = self.layout_
        if not layout.vector and shape == (layout.side, layout.side, layout.channels):
            raise ValueError(f"X: one image, of shape {shape}, where a stack of images is expected; give X[None]")
        side, channels = checked_shape(shape[1:], math.prod(shape[1:]))
        if layout.vector or (side, channels) != (layout.side, layout.channels):
            known = f"images of {layout.side}x{layout.side}x{layout.channels}"
            known = "rows that are no images" if layout.vector else known
            hint = ""
            if not layout.vector and side == layout.side:
                colour = "np.repeat(X.reshape(-1, side, side, 1), 3, axis=3)".replace("side", str(side))
                hint = f"; make them colour images: {colour}" if channels == 1 else "; make them grey: X.mean(axis=3)"
            raise ValueError(f"X: images of {side}x{side}x{channels}, but the detector was fitted on {known}{hint}")

    def _declared_shape(self) -> tuple[int, ...] | str | None:
        shape = self.image_shape
        if shape is None or (isinstance(shape, str) and shape == VECTOR):
            return shape
        if isinstance(shape, tuple | list) and all(isinstance(size, Integral) for size in shape):
            return tuple(shape)
        raise ValueError(f"image_shape={shape!r}: must be (side, side), (side, side, channels), {VECTOR!r} or None")

    def _level(self) -> float:
        """The share of normal images that may be flagged. Raises ValueError."""
        given = self.contamination
        if isinstance(given, str) and given == "auto":
            return ALPHA
        if isinstance(given, Real) and 0 < given <= 0.5:
            return float(given)
        raise ValueError(f"contamination={given!r}: must be 'auto' or a number in (0, 0.5]")

    def _seed(self) -> int:
        """The random state as a whole number. Raises ValueError."""
        if not isinstance(self.random_state, Integral):
            return int(check_random_state(self.random_state).randint(2**31 - 1))
        seed = int(self.random_state)
        if not 0 <= seed < 2**32:
            raise ValueError(f"random_state={seed}: must lie in [0, 2**32)")
        return seed

    def _scores(self, array_NHWC: np.ndarray) -> np.ndarray:
        """Scores, larger is more anomalous: float64 (N,).

        The last batch is filled up: matrix products of another size round otherwise, and an image's score would depend
        on how many others come with it.
        """
        trained, count = self._trained, len(array_NHWC)
        rows = np.pad(np.arange(count), (0, -count % trained.scorer.batch_size))
        table = trained.scorer.table(Images(array_NHWC, trained.config.data.crop, "X"), rows)
        return select(trained.calibration.scores(table), trained.score_name)[:count]


def _stacked(X: list[Any] | tuple[Any, ...]) -> np.ndarray:
    """A list of images as one array. Raises ValueError if they are not of one shape."""
    try:
        return np.asarray(X)
    except ValueError:
        shapes = sorted({np.shape(item) for item in X if isinstance(item, np.ndarray)})
        found = f", of the shapes {', '.join(map(str, shapes[:3]))}" if len(shapes) > 1 else ""
        raise ValueError(f"X: its {len(X)} images differ in size{found}; resize them to one side first") from None


def _check_finite(X: Any) -> None:
    """Raise ValueError, with the number of images, for numbers that are not finite."""
    array = np.asarray(X)
    if array.dtype.kind != "f" or array.ndim < 1:
        return
    bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if bad.any():
        kind = "NaN" if np.isnan(array).any() else "infinity"
        raise ValueError(
            f"X: {bad.sum():,} of {len(array):,} images hold {kind}, the first is {int(bad.argmax())}; "
            "leave them out or fill them: np.nan_to_num(X)"
        )

"""hw8 as a scikit-learn estimator: fit on normal images, then score, rank and flag others.

`AnomalyDetector` trains a run in a temporary folder, as `scripts/train.py` does in a lasting one, and keeps the run's
files in memory.
"""

import contextlib
import dataclasses
import logging
import math
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from tqdm import tqdm

from hw8.config import RunConfig
from hw8.data.arrays import Images
from hw8.data.loader import batch_count
from hw8.data.rows import Layout, checked_shape
from hw8.data.splits import LEAST_CALIBRATION, SMALLEST, Splits, split_rows
from hw8.errors import InputError, Interrupted
from hw8.evaluation.oneclass import LEAST_STEPS, SMALL_BATCH
from hw8.member import Member
from hw8.models.blocks import DOWNSAMPLING
from hw8.prediction import ALPHA
from hw8.presets import DEFAULT_PRESET, changed, load_preset
from hw8.scoring.evidence import chosen
from hw8.training.loop import Trainer
from hw8.training.session import train_images

if TYPE_CHECKING:
    import pandas as pd

CONFIG, MODEL = "config.yaml", "model.safetensors"
VECTOR = "vector"
SCORED = 64  # images scored at once, always exactly: see `AnomalyDetector._scores`

_one_at_a_time = threading.Lock()


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
    preset : name of a preset (see hw8/presets.py), or a RunConfig with settings of your own. The default one takes
        images of any side that is a multiple of 16, and minutes for thousands of them; "fcn_crop" takes any side, is
        quicker, and looks at the inner 32 pixels; "fcn" looks at all.
    epochs : passes over the training images. None: the preset's, or as many as make 400 steps.
    score_name : evidence that is the score, for instance "l1" (see docs/scoring.md). None: the preset's.
    contamination : share of normal images that may be flagged, in (0, 0.5]; "auto" is 0.05.
    random_state : seed of weights, order and augmentation.
    device : "auto", "cpu", "cuda" or "mps".
    precision : "auto", "fp32" or "bf16".
    image_shape : (side, side) or (side, side, channels) of flat rows; "vector" if they are no images; None to guess.
    verbose : show progress on standard error.

    Attributes
    ----------
    offset_ : decision_function is score_samples - offset_.
    decision_scores_, threshold_, labels_ : PyOD's: scores of the training images (N,), larger is more anomalous; the
        score above which an image is flagged; 1 for flagged training images, 0 for others.
    run_files_ : the run's config.yaml and model.safetensors, as bytes; all that pickle keeps of the model.
    layout_ : how rows become images.
    n_features_in_, feature_names_in_ : numbers in a row, and the columns of a DataFrame.

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
        level = self._level()
        rows_ND, shape = self._rows(X, reset=True)
        layout = Layout.of(rows_ND, shape or self._declared_shape())
        array_NHWC = layout.images(rows_ND)
        config = self._settings(layout, len(rows_ND), level)
        splits = _splits(len(rows_ND), config)
        config = self._paced(config, len(splits.train))
        files = self._train(config, Images(array_NHWC, config.data.crop, "X"), splits)
        member = _load(files, self.device)
        self.run_files_, self.layout_, self._member = files, layout, member
        self.offset_ = -_threshold(member.calibration.values_C[member.score_name], level)
        self.decision_scores_ = self._scores(array_NHWC)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """How normal each image is: float64 (N,), lower is more abnormal. Raises ValueError for X unlike fit's."""
        check_is_fitted(self)
        return -self._scores(self.layout_.images(self._rows(X, reset=False)[0]))

    def decision_function(self, X: Any) -> np.ndarray:
        """score_samples less offset_: float64 (N,), negative for images that are flagged. Raises ValueError."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """-1 for images that are flagged as anomalous, 1 for others: int (N,). Raises ValueError."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def fit_predict(self, X: Any, y: object = None) -> np.ndarray:
        """Fit, and predict the same images: int (N,). Raises ValueError."""
        return 1 - 2 * self.fit(X, y).labels_

    def score_frame(self, X: Any, ids: Sequence[Any] | None = None) -> "pd.DataFrame":
        """A table with a row an image: ID (or its number), score (larger is more anomalous), and p_value.

        It has the index of X, if X is a DataFrame. Raises ValueError, also if `ids` are not as many as the images.
        """
        import pandas as pd

        score_N = -self.score_samples(X)
        if ids is not None and len(ids) != len(score_N):
            raise ValueError(f"ids: {len(ids)} for {len(score_N)} images")
        p_value_N = self._member.calibration.p_value(self._member.score_name, score_N)
        columns = {"ID": np.arange(len(score_N)) if ids is None else list(ids), "score": score_N, "p_value": p_value_N}
        return pd.DataFrame(columns, index=X.index if isinstance(X, pd.DataFrame) else None)

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
        return {name: value for name, value in state.items() if name != "_member"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "run_files_" in state:
            self._member = _load(self.run_files_, self.device)

    def _rows(self, X: Any, reset: bool) -> tuple[np.ndarray, tuple[int, ...] | None]:
        """X as checked rows of numbers (N, D), and the shape of an image if X says it."""
        shape = None
        X = np.asarray(X) if isinstance(X, list | tuple) else X
        if getattr(X, "ndim", 2) in (3, 4):
            array = np.asarray(X)
            shape = array.shape[1:]
            side, channels = checked_shape(shape, math.prod(shape))
            if not reset and (self.layout_.vector or (side, channels) != (self.layout_.side, self.layout_.channels)):
                known = f"{self.layout_.side}x{self.layout_.side}x{self.layout_.channels}"
                known = "rows that are no images" if self.layout_.vector else f"images of {known}"
                raise ValueError(f"X: images of {side}x{side}x{channels}, but the detector was fitted on {known}")
            X = array.reshape(len(array), math.prod(shape))
        least = LEAST_CALIBRATION if reset else 1
        return validate_data(self, X, reset=reset, dtype="numeric", ensure_min_samples=least), shape

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

    def _settings(self, layout: Layout, count: int, level: float) -> RunConfig:
        """The run's settings: the preset's, made to fit the images and their number. Raises ValueError."""
        given = self.preset if isinstance(self.preset, RunConfig) else load_preset(self.preset)
        if given.scoring.transductive:
            raise ValueError(f"preset={self.preset!r} looks at a whole test set, which an estimator never has")
        config = _for_vectors() if layout.vector else given
        crop = config.data.crop
        # Enough held-out images for a p-value as small as the level, if there are.
        share = max(config.data.calibration_share, min(0.4, (math.ceil(1 / level) - 1) / count))
        config = changed(
            config,
            data={"source": None, "crop": crop if crop and crop <= layout.side else None, "calibration_share": share},
            scoring={"score": self.score_name or config.scoring.score, "score_batch_size": SCORED},
        )
        own = {name: value for name in ("device", "precision") if (value := getattr(self, name)) != "auto"}
        return dataclasses.replace(config, seed=self._seed(), **own)

    def _paced(self, config: RunConfig, rows: int) -> RunConfig:
        """The same with the epochs asked for, or enough of them for so many rows; few rows come in small batches."""
        batch, epochs = config.train.batch_size, config.train.epochs
        if epochs * batch_count(rows, batch) < LEAST_STEPS:
            batch = min(batch, SMALL_BATCH)
        epochs = max(epochs, -(-LEAST_STEPS // batch_count(rows, batch)))
        if self.epochs is not None:
            epochs = int(self.epochs) if isinstance(self.epochs, Integral) else self.epochs
        return changed(config, train={"batch_size": batch, "epochs": epochs})

    def _seed(self) -> int:
        """The random state as a whole number."""
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _train(self, config: RunConfig, images: Images, splits: Splits) -> dict[str, bytes]:
        """Train in a folder that is removed at the end; what it held, by name."""
        with _one_at_a_time, _as_it_was(), _talking(self.verbose), tempfile.TemporaryDirectory(prefix="hw8-") as where:
            try:
                run = train_images(config, images, Path(where) / "run", splits, Trainer if self.verbose else _Quiet)
            except Interrupted:
                raise KeyboardInterrupt from None  # there is nothing to go on with
            except InputError as error:
                if images.side % DOWNSAMPLING == 0:
                    raise
                raise InputError(f"images of {images.side} pixels: {error}; preset='fcn' takes any side") from None
            return {CONFIG: run.config.read_bytes(), MODEL: run.model.read_bytes()}

    def _scores(self, array_NHWC: np.ndarray) -> np.ndarray:
        """Scores, larger is more anomalous: float64 (N,).

        The last batch is filled up: matrix products of another size round otherwise, and an image's score would depend
        on how many others come with it.
        """
        member, count = self._member, len(array_NHWC)
        rows = np.pad(np.arange(count), (0, -count % member.scorer.batch_size))
        table = member.scorer.table(Images(array_NHWC, member.config.data.crop, "X"), rows)
        return chosen(member.calibration.scores(table), member.score_name)[:count]


class _Quiet(Trainer):
    """A training without a progress bar."""

    def _bar(self) -> "tqdm[Any]":
        return tqdm(disable=True)


def _for_vectors() -> RunConfig:
    """The settings for rows that are no images: they are few numbers, so that all of them can be compared."""
    config = changed(
        load_preset("fcn"),
        model={"options": {"widths": [64], "latent": 8}},
        scoring={"score": "joint", "parts": ("latent", "l1"), "distance": "neighbours", "fit_on": "training"},
    )
    return dataclasses.replace(config, precision="fp32")


def _splits(count: int, config: RunConfig) -> Splits:
    """The cut of the training set; under 20 rows, all of them in every part."""
    if count >= SMALLEST:
        return split_rows(count, config.data)
    warnings.warn(
        f"{count} images are too few to hold any out (that takes {SMALLEST}): scores are calibrated on the training "
        "images themselves, and too many new images will be flagged",
        stacklevel=3,
    )
    rows = np.arange(count)
    return Splits(rows, rows, rows)


def _threshold(score_C: np.ndarray, level: float) -> float:
    """The score above which a conformal p-value is at most `level`, or the least that there is, with a warning."""
    ranks_C = np.arange(1, len(score_C) + 1)
    allowed = int((ranks_C / (len(score_C) + 1) <= level).sum())
    if not allowed:
        warnings.warn(
            f"{len(score_C)} calibration images give no p-value under {1 / (len(score_C) + 1):.2g}: what is more "
            f"unlike than all of them is flagged, which may be more than contamination={level:g}; fit on more images",
            stacklevel=3,
        )
    return float(np.sort(score_C)[-max(allowed, 1)])


def _load(files: dict[str, bytes], device: Any) -> Member:
    """A run from its files' bytes. Raises InputError if they are damaged."""
    with _one_at_a_time, _as_it_was(), tempfile.TemporaryDirectory(prefix="hw8-") as where:
        for name in (CONFIG, MODEL):
            (Path(where) / name).write_bytes(files[name])
        return Member.load(Path(where), device)


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    """Leave PyTorch's random streams and its switch for deterministic algorithms as they were."""
    switch = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.use_deterministic_algorithms(switch, warn_only=warn_only)


@contextlib.contextmanager
def _talking(aloud: bool) -> Iterator[None]:
    """Let hw8's log reach standard error within the block, or keep all but errors from it."""
    logger = logging.getLogger("hw8")
    level, handler = logger.level, logging.StreamHandler(sys.stderr)
    own = aloud and not logger.hasHandlers()
    logger.setLevel(logging.INFO if aloud else logging.ERROR)
    if own:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(level)
        if own:
            logger.removeHandler(handler)

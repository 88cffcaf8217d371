"""The run behind the estimator: settings, training in memory, the run as bytes, threshold."""

import contextlib
import dataclasses
import logging
import math
import sys
import threading
import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import Any, Protocol

import numpy as np
import torch
from tqdm import tqdm

from hw8.base.device import choose_device
from hw8.base.errors import InputError, Interrupted
from hw8.config import RunConfig, from_yaml, to_yaml
from hw8.config.presets import changed, load_preset
from hw8.data.arrays import Images
from hw8.data.rows import Layout
from hw8.data.splits import SMALLEST, Splits, split_rows
from hw8.runs.train import train_images
from hw8.runs.trained_run import TrainedRun
from hw8.scoring import tails
from hw8.training.loop import Trainer

CONFIG, MODEL = "config.yaml", "model.safetensors"
SCORED = 64  # images scored at once, always exactly: see `AnomalyDetector._scores`

_one_at_a_time = threading.Lock()


class Parameters(Protocol):
    """What an estimator says of the run that it wants."""

    preset: Any
    epochs: Any
    score_name: Any
    device: Any
    precision: Any


def settings(given: Parameters, layout: Layout, count: int, level: float, seed: int) -> RunConfig:
    """The preset's settings, made to fit an estimator's parameters and its images. Raises ValueError."""
    config = given.preset if isinstance(given.preset, RunConfig) else load_preset(given.preset)
    if config.scoring.transductive:
        raise InputError(f"preset={given.preset!r} looks at a whole test set, which an estimator never has")
    config = _for_vectors() if layout.vector else config
    crop = config.data.crop
    # Enough held-out images for a p-value as small as the level, if there are.
    share = max(config.data.calibration_share, min(0.4, (math.ceil(1 / level) - 1) / count))
    config = changed(
        config,
        data={"source": None, "crop": crop if crop and crop <= layout.side else None, "calibration_share": share},
        scoring={"score": given.score_name or config.scoring.score, "score_batch_size": SCORED},
    )
    if given.epochs is not None:
        epochs = int(given.epochs) if isinstance(given.epochs, Integral) else given.epochs
        config = changed(config, train={"epochs": epochs, "least_steps": 0})
    own = {name: value for name in ("device", "precision") if (value := getattr(given, name)) != "auto"}
    return dataclasses.replace(config, seed=seed, **own)


def cut(count: int, config: RunConfig) -> Splits:
    """The cut of the training set; under 20 rows, all of them in every part, with a warning at the caller's caller."""
    if count >= SMALLEST:
        return split_rows(count, config.data)
    warnings.warn(
        f"{count} images are too few to hold any out (that takes {SMALLEST}): scores are calibrated on the training "
        "images themselves, and too many new images will be flagged",
        stacklevel=3,
    )
    rows = np.arange(count)
    return Splits(rows, rows, rows)


def fitted(config: RunConfig, images: Images, splits: Splits, verbose: bool) -> TrainedRun:
    """Train and calibrate in memory. Raises ValueError, and KeyboardInterrupt after Ctrl-C."""
    with _one_at_a_time, _as_it_was(), _talking(verbose):
        try:
            return train_images(config, images, splits, Trainer if verbose else _Quiet)
        except Interrupted:
            raise KeyboardInterrupt from None  # there is nothing to resume
        except InputError as error:
            if "multiple of" not in str(error):
                raise
            raise InputError(f"images of {images.side} pixels: {error}; preset='fcn' takes any side") from None


def run_files(run: TrainedRun) -> dict[str, bytes]:
    """A run as bytes, by the names that its files have in a folder."""
    return {CONFIG: to_yaml(run.config).encode(), MODEL: run.to_bytes()}


def loaded(files: dict[str, bytes]) -> TrainedRun:
    """A run from its files' bytes, on the device of its settings; on another, with a warning, if that is not here.

    Raises InputError if they are damaged.
    """
    with _one_at_a_time, _as_it_was():
        config = from_yaml(files[CONFIG].decode(errors="replace"), CONFIG)
        try:
            choose_device(config.device)
        except InputError:
            warnings.warn(f"device={config.device!r} is not on this machine; another one scores", stacklevel=3)
            config = dataclasses.replace(config, device="auto")
        return TrainedRun.from_bytes(config, files[MODEL])


def threshold(score_C: np.ndarray, level: float) -> float:
    """The score above which a conformal p-value is at most `level`, or the least that there is, with a warning."""
    allowed = tails.threshold(score_C, level)
    if allowed is not None:
        return allowed
    warnings.warn(
        f"{len(score_C)} calibration images give no p-value under {1 / (len(score_C) + 1):.2g}: what is more "
        f"unlike than all of them is flagged, which may be more than contamination={level:g}; fit on more images",
        stacklevel=3,
    )
    return float(score_C.max())


class _Quiet(Trainer):
    """A training without a progress bar."""

    def label(self, name: str) -> str | None:  # noqa: ARG002
        return None

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

"""The run behind the estimator: its settings, its training in memory, its files as bytes, and its threshold."""

import contextlib
import dataclasses
import logging
import math
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from hw8.base.device import choose_device
from hw8.base.errors import InputError, Interrupted
from hw8.config import RunConfig, from_yaml, to_yaml
from hw8.config.presets import changed, load_preset
from hw8.data.arrays import Images
from hw8.data.rows import Layout
from hw8.data.splits import MIN_IMAGES, Splits, split_rows
from hw8.runs.train import train_images
from hw8.runs.trained_run import TrainedRun
from hw8.scoring import tails

CONFIG, MODEL = "config.yaml", "model.safetensors"
# Images per batch of scoring, always filled up (see `AnomalyDetector._in_full_batches`). Chosen by hand: one image
# alone takes the time of a full batch, and small batches take longer for many images.
BATCH_SIZE = 64
# Largest share of the images that is held out for the sake of a small `contamination`. Chosen by hand: a larger one
# leaves too few to train on.
MAX_CALIBRATION_SHARE = 0.4

_process_state = threading.Lock()


def settings(preset: str | RunConfig, layout: Layout, count: int, level: float, changes: dict[str, Any]) -> RunConfig:
    """The settings of the preset with these changes, fitted to `count` images and a `contamination` of `level`.

    Raises ValueError.
    """
    config = preset if isinstance(preset, RunConfig) else load_preset(preset)
    if config.scoring.transductive:
        raise InputError(f"preset={preset!r} looks at a whole test set, which an estimator never has")
    if layout.vector:  # an image of few numbers: all of them can be compared
        config = changed(
            load_preset("fcn"),
            precision="fp32",
            model={"options": {"widths": [64], "latent": 8}},
            scoring={"score": "joint", "parts": ("latent", "l1"), "distance": "neighbours", "fit_on": "training"},
        )
    crop = config.data.crop
    # Enough held-out images, if there are, for a p-value as small as the level.
    share = min(MAX_CALIBRATION_SHARE, (math.ceil(1 / level) - 1) / count)
    config = changed(
        config,
        data={
            "source": None,
            "crop": crop if crop and crop <= layout.side else None,
            "calibration_share": max(config.data.calibration_share, share),
        },
        scoring={"score_batch_size": BATCH_SIZE},
    )
    return changed(config, **changes)


def split(count: int, config: RunConfig) -> Splits:
    """The split of the training set; under 20 rows every part has all rows, with a warning at `fit`'s caller."""
    if count >= MIN_IMAGES:
        return split_rows(count, config.data)
    warnings.warn(
        f"{count} images are too few to hold any out (that takes {MIN_IMAGES}): scores are calibrated on the training "
        "images themselves, and too many new images will be flagged",
        stacklevel=3,
    )
    rows = np.arange(count)
    return Splits(rows, rows, rows)


def train(config: RunConfig, images: Images, splits: Splits, verbose: bool) -> dict[str, bytes]:
    """Train and calibrate in memory; the run's files by name. Raises ValueError, and KeyboardInterrupt after Ctrl-C."""
    with _same_process_state(), _log_to_stderr(verbose):
        try:
            run = train_images(config, images, splits, verbose)
        except Interrupted:
            raise KeyboardInterrupt from None  # there is nothing to resume
    return {CONFIG: to_yaml(run.config).encode(), MODEL: run.to_bytes()}


def load(files: dict[str, bytes]) -> TrainedRun:
    """A run from its files' bytes, on the device of its settings or, with a warning if that is missing, on another.

    Raises InputError if they are damaged.
    """
    with _same_process_state():
        config = from_yaml(files[CONFIG].decode(errors="replace"), CONFIG)
        try:
            choose_device(config.device)
        except InputError:
            warnings.warn(f"device={config.device!r} is not on this machine; another one scores", stacklevel=3)
            config = dataclasses.replace(config, device="auto")
        return TrainedRun.from_bytes(config, files[MODEL])


def threshold(score_C: np.ndarray, level: float) -> float:
    """The score above which a conformal p-value is at most `level`, or the least that there is, with a warning."""
    if (value := tails.threshold(score_C, level)) is not None:
        return value
    warnings.warn(
        f"{len(score_C)} calibration images give no p-value under {1 / (len(score_C) + 1):.2g}: what is more "
        f"unlike than all of them is flagged, which may be more than contamination={level:g}; fit on more images",
        stacklevel=3,
    )
    return float(score_C.max())


@contextlib.contextmanager
def _same_process_state() -> Iterator[None]:
    """Restore PyTorch's random streams and its switch for deterministic algorithms; one thread at a time."""
    # All devices by name: PyTorch warns of several GPUs where they are not named.
    with _process_state, torch.random.fork_rng(range(torch.cuda.device_count())):
        mode = torch.get_deterministic_debug_mode()
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(mode)


@contextlib.contextmanager
def _log_to_stderr(verbose: bool) -> Iterator[None]:
    """Within the block, print hw8's log on standard error unless the user's handlers do, or only its errors."""
    logger = logging.getLogger("hw8")
    level, handler = logger.level, logging.StreamHandler(sys.stderr)
    add_handler = verbose and not logger.hasHandlers()
    logger.setLevel(logging.INFO if verbose else logging.ERROR)
    if add_handler:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)

"""A training that fits a given time: its steps follow from rates measured at the start, and are settings from then on.

Only the measurement depends on the clock. What follows from it stands in config.yaml, so that the run is resumed, or
repeated with those settings, as any other.
"""

import dataclasses
import logging
import math
import time
from collections.abc import Callable

import numpy as np
import torch

from hw8.base import cuda_graph
from hw8.base.errors import InputError
from hw8.base.processes import processes
from hw8.base.threads import MAX_AT_ONCE
from hw8.config import RunConfig
from hw8.config.presets import changed
from hw8.data.arrays import Images
from hw8.data.corruptions import CORRUPTIONS
from hw8.data.splits import evenly_spaced, reference_rows
from hw8.data.synthetic import corrupt
from hw8.data.unseen import UNSEEN
from hw8.evaluation.held_out import PER_KIND, SEED
from hw8.scoring.inference import MICROBATCH, Scorer
from hw8.training.history import MetricsWriter
from hw8.training.loop import Trainer

KINDS = (*CORRUPTIONS, *UNSEEN)
# Steps before those that are timed: the first allocate memory, choose kernels and, on a GPU, are captured.
WARM_UP = 2 * cuda_graph.WARM_UP
MEASURED = 3.0  # seconds of steps that are timed, or SHARE of a short time
SHARE = 0.02
SPARED = 0.05  # of the time, for what is not measured (start, fits, pictures, saving) and for rates that vary

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Pace:
    """Seconds that the parts of a run take, the steps of an epoch, its end, and all that follows the last epoch."""

    steps: float
    end: float
    after: float

    @classmethod
    def measure(cls, trainer: Trainer, seconds: float) -> "Pace":
        """Train for about so many seconds, and score some images; the trainer is of no use afterwards."""
        count = len(trainer.splits.train)
        _train(trainer, WARM_UP)
        step = _seconds(lambda: _train(trainer, 1))
        # Every process makes as many steps, since they exchange gradients.
        steps = processes().broadcast(max(2, math.ceil(seconds / step)))
        per_image = _seconds(lambda: _train(trainer, steps)) / (steps * count / trainer.per_epoch)
        end = _seconds(lambda: trainer.finish_epoch(MetricsWriter(None, 0)))
        return cls(per_image * count, end, _seconds_after(trainer))


def fit_into(minutes: float, trainer: Trainer, started: float) -> RunConfig:
    """Return the trainer's settings with as many steps as fit into the minutes since `started` (time.monotonic()).

    The time includes scoring after the training. The batches stay as they are; the trainer is of no use afterwards.
    Raises InputError if the time is too short for one epoch.
    """
    if not 0 < minutes < math.inf:
        raise InputError(f"`minutes` {minutes:g}: must be more than 0")
    config, count = trainer.config, f"{len(trainer.splits.train):,}"
    pace = Pace.measure(trainer, min(MEASURED, SHARE * 60 * minutes))
    # Every process has a clock of its own, and all must make as many steps.
    pace, spent = processes().broadcast((pace, time.monotonic() - started))
    epoch, left = pace.steps + pace.end, (1 - SPARED) * 60 * minutes - spent - pace.after
    if left < epoch:
        needed = math.ceil((spent + epoch + pace.after) / (1 - SPARED) / 6) / 10
        raise InputError(
            f"`minutes` {minutes:g}: too short for one epoch of {count} images, which takes {_length(epoch)}, and "
            f"{_length(pace.after)} of scoring after it; give {needed:g} or more, or a faster `preset`"
        )
    # Whole epochs, and of one more as many steps as leave time for its end.
    whole, rest = divmod(left, epoch)
    steps = int(whole) * trainer.per_epoch + max(0, int((rest - pace.end) / pace.steps * trainer.per_epoch))
    passes, epochs = steps / trainer.per_epoch, math.ceil(steps / trainer.per_epoch)
    log.info(
        "takes %s: %s steps, %.1f times %s images at %.0f images/s, and %s of scoring after them",
        _length(passes * pace.steps + epochs * pace.end + pace.after), f"{steps:,}", passes, count,
        len(trainer.splits.train) / pace.steps, _length(pace.after),
    )  # fmt: skip
    return changed(config, train={"epochs": epochs, "least_steps": 0, "most_steps": steps})


def _train(trainer: Trainer, steps: int) -> None:
    """Make so many steps of the first epoch, again from its start where it ends."""
    while steps:
        for _ in trainer.steps():
            steps -= 1
            if not steps:
                return
        trainer.state.progress.step = 0


def _seconds_after(trainer: Trainer) -> float:
    """Seconds to score the calibration split, all images for suspects, and development images with their changes."""
    images, splits, scoring = trainer.images, trainer.splits, trainer.config.scoring
    scorer = Scorer(trainer.state.average, trainer.device, trainer.precision, scoring.score_batch_size)
    quick = scorer.with_evidence(scoring.evidence_names)
    # As many images as all threads of a CPU, or a GPU, score at once.
    at_once = max(scoring.score_batch_size, MICROBATCH * min(torch.get_num_threads(), MAX_AT_ONCE))
    for_suspects, for_kinds = (evenly_spaced(rows, at_once) for rows in (splits.train, splits.development))
    corrupted = _OfEveryKind(images, splits.development)
    if trainer.device.type == "cuda":  # until its graph is captured, a scorer is several times as slow
        first = evenly_spaced(splits.train, (cuda_graph.WARM_UP + 1) * scoring.score_batch_size)
        for uncaptured in (scorer, quick):
            uncaptured.table(images, first)
    per_suspect = _seconds(lambda: quick.table(images, for_suspects)) / len(for_suspects)
    per_image = _seconds(lambda: scorer.table(corrupted, for_kinds)) / len(for_kinds)
    count = len(splits.calibration) + len(splits.development) + len(KINDS) * min(len(splits.development), PER_KIND)
    if scoring.fit_on == "training":
        count += len(reference_rows(splits))
    return per_suspect * len(images) + per_image * count


@dataclasses.dataclass(frozen=True)
class _OfEveryKind:
    """The images of `pool`, of each batch a part changed by each kind of either set."""

    images: Images
    pool: np.ndarray

    def read(self, rows_B: np.ndarray) -> np.ndarray:
        """Return the changed images of these rows: uint8 (B, side, side, C)."""
        parts = zip(KINDS, np.array_split(rows_B, len(KINDS)), strict=True)
        return np.concatenate([corrupt(kind, self.images, part, self.pool, SEED) for kind, part in parts if len(part)])


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()  # what was started on a GPU belongs to it
    return time.monotonic() - started


def _length(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} minutes"

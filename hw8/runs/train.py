"""A whole training: data to run folder, then calibration and the held-out measurement."""

import contextlib
import copy
import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hw8.base.device import channels_last, choose_device, choose_precision, keep_memory
from hw8.base.environment import describe_environment
from hw8.base.errors import InputError, command
from hw8.base.interrupts import stopping_as_interrupted
from hw8.base.lock import owned
from hw8.base.processes import processes
from hw8.config import RunConfig
from hw8.data.arrays import Images
from hw8.data.sources import open_source
from hw8.data.splits import Splits, evenly_spaced, reference_rows, split_rows
from hw8.evaluation.held_out import HeldOut, evaluate_held_out
from hw8.models import Model, create_model
from hw8.runs.health import warnings
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.appearance import Appearance
from hw8.scoring.calibration import Calibration, needed_evidence
from hw8.scoring.evidence import select
from hw8.scoring.inference import Scorer
from hw8.scoring.tails import check_scores
from hw8.scoring.transductive import check_can_transduce
from hw8.training.checkpoint import TrainingState
from hw8.training.loop import Trainer, check_trainable
from hw8.training.run_folder import RunFolder
from hw8.training.schedule import paced
from hw8.training.tracker import Tracker, tracked

LOOKED_AT = 256

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class FinishedTraining(TrainedRun):
    """A run as its training left it: what it is worth on the development split, its images and how they were cut."""

    folder: RunFolder
    held_out: HeldOut
    summary: dict[str, Any]
    images: Images
    splits: Splits


def train_run(config: RunConfig, out: Path | None = None, command: str = "") -> FinishedTraining:
    """Train from the start into a new run folder. Raises InputError, or Interrupted with the work saved."""
    source = open_source(config.data.source)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, source=source.name))
    trainer = _build(config, source.training(config.data.crop))
    trainer.state.progress.command = command
    folder = trainer.folder = RunFolder.choose(config, out)
    try:
        with owned(folder.path), _tracked(config, folder) as tracker:
            folder.begin(config)
            return _finish(trainer, folder, tracker)
    finally:
        if out is None:
            folder.remove_empty()


def resume_run(path: Path, given: RunConfig | None = None) -> FinishedTraining:
    """Resume an interrupted run; it ends in the weights that it would have had.

    `given` are the settings on the command line, which must be the run's own but for the tracker, so that a run can
    be resumed without a service that is gone. Raises InputError or Interrupted.
    """
    folder, config = RunFolder.open(path)
    if given is not None:
        config = dataclasses.replace(config, tracker=given.tracker)
        _check_unchanged(given, config, path)
    images = open_source(config.data.source).training(config.data.crop)
    try:
        trainer = _build(config, images)
    except InputError as error:
        raise InputError(f"{folder.config}: {error}") from None
    trainer.folder = folder
    with owned(folder.path), _tracked(config, folder) as tracker:
        if processes().broadcast(folder.resume.exists()):
            trainer.state.load(folder.resume)
        return _finish(trainer, folder, tracker)


def train_images(config: RunConfig, images: Images, splits: Splits, kind: type[Trainer] = Trainer) -> TrainedRun:
    """Train on images in memory and calibrate; nothing is written or measured.

    `splits` stand in for the cut that the settings ask for, and may share rows. Raises InputError or Interrupted.
    """
    trainer = _build(config, images, splits, kind)
    trainer.fit()
    return _calibrated(trainer)


def _finish(trainer: Trainer, folder: RunFolder, tracker: Tracker) -> FinishedTraining:
    """Train what is left, calibrate, save, measure and summarise."""
    trainer.tracker = tracker
    tracker.remember()
    hint = f"stopped with the work saved; go on with: {command('train', '--resume', folder.path)}"
    with stopping_as_interrupted(hint):
        _fit(trainer, folder)
        run = _calibrated(trainer)
        folder.save_model(run.to_bytes())
        by_score = evaluate_held_out(run, trainer.images, trainer.splits.development, label="measuring")
        summary = _summarise(trainer, run, by_score)
        folder.write_summary(summary)
        held_out = by_score[run.score_name]
        tracker.finish(_tracked_figures(held_out), trainer.state.progress.step)
    return FinishedTraining(
        folder, run.config, run.scorer, run.calibration, run.appearance, run.side, run.channels,
        held_out, summary, trainer.images, trainer.splits,
    )  # fmt: skip


def _build(config: RunConfig, images: Images, splits: Splits | None = None, kind: type[Trainer] = Trainer) -> Trainer:
    """A training that only lacks its folder, checked before anything is written."""
    splits = splits or split_rows(len(images), config.data)
    config = dataclasses.replace(config, train=paced(config.train, len(splits.train)))
    _check_varied(images)
    device = choose_device(config.device)
    keep_memory()
    precision = choose_precision(config.precision, device)
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    torch.manual_seed(config.seed)
    model = create_model(config.model.name, images.side, images.channels, config.model.options)
    model = channels_last(model.to(device))
    check_trainable(config, len(splits.train), device)
    _check_alike(images, precision, device)
    processes().broadcast_tensors([*model.state_dict().values()])
    state = TrainingState(model, config.train, images.fingerprint())
    evidence = Scorer(state.average, device, precision, 2).table(images, splits.train[:2])
    if config.scoring.transductive:
        check_can_transduce(model)
    for name in needed_evidence(config.scoring.score, config.scoring.parts):
        select(evidence, name)
    return kind(config, None, images, splits, state, precision)


def _check_varied(images: Images) -> None:
    """Raise InputError if the images are all the same, as far as up to 256 of them show."""
    some_BHWC = images.read(evenly_spaced(np.arange(len(images)), LOOKED_AT))
    if (some_BHWC == some_BHWC[0]).all():
        all_of = f"all {len(some_BHWC)} images" + (" looked at" if len(images) > LOOKED_AT else "")
        raise InputError(f"{images.name}: {all_of} are the same, so that nothing can be learned; give others")


def _check_alike(images: Images, precision: str, device: torch.device) -> None:
    """Raise InputError unless all processes have the same images and arithmetic."""
    seen = processes().all_gather((images.fingerprint(), precision, device.type))
    if len(set(seen)) > 1:
        kinds = ", ".join(sorted({f"{name} on {kind}" for _, name, kind in seen}))
        raise InputError(
            f"the processes differ in their images or arithmetic ({kinds}); give all the same, and `precision`"
        )


def _tracked(config: RunConfig, folder: RunFolder) -> contextlib.AbstractContextManager[Tracker]:
    return tracked(config, folder.path, dict(_flat(config)))


def _fit(trainer: Trainer, folder: RunFolder) -> None:
    """Train what is left. Raises InputError, which the summary of the run then tells, or Interrupted."""
    config, images, splits = trainer.config, trainer.images, trainer.splits
    log.info(
        "%s: %s on %s images of %s, %s pixels; %s held out to calibrate, %s to measure; %s, %s",
        folder.path, config.model.name, f"{len(splits.train):,}", images.name, f"{images.side}x{images.side}",
        f"{len(splits.calibration):,}", f"{len(splits.development):,}", trainer.device, trainer.precision,
    )  # fmt: skip
    try:
        trainer.fit()
    except InputError as error:
        folder.write_summary(_described(trainer) | {"failed": str(error)})
        raise


def _calibrated(trainer: Trainer) -> TrainedRun:
    """The run: the best weights, and what normal images score that no weight has seen."""
    config, images, splits = trainer.config, trainer.images, trainer.splits
    scorer = Scorer(_best(trainer), trainer.device, trainer.precision, config.scoring.score_batch_size)
    calibration = _calibrate(scorer, trainer)
    appearance = Appearance.of(images, splits)
    folder, config = trainer.folder, trainer.config
    return TrainedRun(folder, config, scorer, calibration, appearance, images.side, images.channels)


def _best(trainer: Trainer) -> Model:
    """The averaged weights of the best epoch, as the first process saved or kept them."""
    job = processes()
    if trainer.folder is None:
        assert trainer.best is not None  # noqa: S101 (every training has an epoch)
        return trainer.best
    best = trainer.folder.load_model(trainer.config).model if job.main else copy.deepcopy(trainer.state.average)
    best.load_state_dict(job.broadcast(best.state_dict()))
    return best


def _calibrate(scorer: Scorer, trainer: Trainer) -> Calibration:
    """Learn what evidence normal images give, from images that no weight has seen."""
    table = scorer.table(trainer.images, trainer.splits.calibration, label=trainer.label("calibrating"))
    scoring = trainer.config.scoring
    reference = None
    if scoring.fit_on == "training":
        reference = scorer.table(trainer.images, reference_rows(trainer.splits))
    calibration = Calibration.fit(table, scoring.parts, scoring.distance == "neighbours", reference, (scoring.score,))
    check_scores(select(calibration.scores(table), scoring.score), trainer.name)
    return calibration


def _summarise(trainer: Trainer, run: TrainedRun, by_score: dict[str, HeldOut]) -> dict[str, Any]:
    """What summary.json holds."""
    progress, config = trainer.state.progress, trainer.config
    held_out = by_score[config.scoring.score]
    images, rows = trainer.images, trainer.splits.development
    return {
        **_described(trainer),
        "epochs": len(progress.history),
        "batch_size": config.train.batch_size,
        "best_epoch": progress.best_epoch,
        "best_held_out_loss": progress.best_loss,
        "stopped_early": progress.stopped_early,
        "train_minutes": progress.seconds / 60,
        "images_per_second": float(np.median([row["images_per_second"] for row in progress.history])),
        "score": config.scoring.score,
        "held_out": held_out.common.as_json(),
        "held_out_unseen": held_out.unseen.as_json(),
        "diagnosis": run.scorer.diagnose(images, rows),
        "held_out_macro_auc_by_score": {name: item.common.macro.auc for name, item in by_score.items()},
        "unseen_macro_auc_by_score": {name: item.unseen.macro.auc for name, item in by_score.items()},
        "warnings": warnings(config, progress.history, run.scorer, images, rows, held_out.common),
    }


def _tracked_figures(held_out: HeldOut) -> dict[str, float]:
    """What a tracker hears of the held-out measurement."""
    found = {}
    for part, table in (("held_out", held_out.common), ("unseen", held_out.unseen)):
        found[f"{part}/macro_auc"] = table.macro.auc
        found |= {f"{part}/{name}": kind.auc for name, kind in table.kinds.items()}
    return found


def _described(trainer: Trainer) -> dict[str, Any]:
    """What was trained, on what, where and by which command."""
    config = trainer.config
    return {
        "preset": config.preset,
        "model": config.model.name,
        "parameters": sum(p.numel() for p in trainer.state.model.parameters()),
        "seed": config.seed,
        "data": {
            "source": config.data.source,
            "images": len(trainer.images),
            "side": trainer.images.side,
            "fingerprint": trainer.state.fingerprint,
            "split_seed": config.data.split_seed,
            "train": len(trainer.splits.train),
            "calibration": len(trainer.splits.calibration),
            "development": len(trainer.splits.development),
        },
        "device": str(trainer.device),
        "precision": trainer.precision,
        "processes": processes().count,
        "command": trainer.state.progress.command,
        **describe_environment(),
    }


def _check_unchanged(given: RunConfig, saved: RunConfig, path: Path) -> None:
    """Refuse settings given beside --resume that differ from the run's own. Raises InputError naming the first."""
    pairs = zip(_flat(given), _flat(saved), strict=True)
    for (name, new), (_, old) in pairs:
        if new != old:
            raise InputError(
                f"`resume` {path} goes on with the run's own settings, but {name} = {new!r} is given "
                f"(the run has {old!r}); leave it away, or train a new run"
            )


def _flat(config: RunConfig) -> list[tuple[str, object]]:
    return [
        (f"{section}.{name}" if isinstance(value, dict) else section, item)
        for section, value in dataclasses.asdict(config).items()
        for name, item in (value.items() if isinstance(value, dict) else [("", value)])
    ]

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
from hw8.evaluation.health import warnings
from hw8.evaluation.held_out import HeldOut, evaluate_held_out
from hw8.models import Model, create_model
from hw8.scoring.appearance import Appearance
from hw8.scoring.calibration import Calibration, needed_evidence
from hw8.scoring.evidence import chosen
from hw8.scoring.inference import CalibratedScorer, Scorer
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
class Trained:
    """A finished run and what it is worth on the held-out development split."""

    folder: RunFolder
    config: RunConfig
    held_out: HeldOut
    summary: dict[str, Any]
    scorer: CalibratedScorer
    images: Images
    splits: Splits


def train_run(config: RunConfig, out: Path | None = None, command: str = "") -> Trained:
    """Train from the start into a new run folder. Raises InputError, or Interrupted with the work saved."""
    source = open_source(config.data.source)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, source=source.name))
    images = source.training(config.data.crop)
    trainer = _prepare(config, images)
    trainer.state.progress.command = command
    folder = trainer.folder = RunFolder.choose(config, out)
    try:
        with owned(folder.path), _tracked(config, folder) as tracker:
            folder.begin(config)
            return _run(trainer, tracker)
    finally:
        if out is None:
            folder.remove_empty()


def train_images(
    config: RunConfig, images: Images, out: Path, splits: Splits | None = None, kind: type[Trainer] = Trainer
) -> RunFolder:
    """Train on images in memory into a new run folder and calibrate; nothing is measured.

    `splits` stand in for the cut that the settings ask for, and may share rows. Raises InputError or Interrupted.
    """
    trainer = _prepare(config, images, splits, kind)
    folder = trainer.folder = RunFolder.choose(config, out)
    with owned(folder.path):
        folder.begin(config)
        _train_and_calibrate(trainer)
    return folder


def resume_run(path: Path, given: RunConfig | None = None) -> Trained:
    """Go on with an interrupted run; it ends in the weights that it would have had.

    `given` are the settings on the command line, which must be the run's own but for the tracker, so that a run can go
    on without a service that is gone. Raises InputError or Interrupted.
    """
    folder, config = RunFolder.open(path)
    if given is not None:
        config = dataclasses.replace(config, tracker=given.tracker)
        _check_unchanged(given, config, path)
    images = open_source(config.data.source).training(config.data.crop)
    try:
        trainer = _prepare(config, images)
    except InputError as error:
        raise InputError(f"{folder.config}: {error}") from None
    trainer.folder = folder
    with owned(folder.path), _tracked(config, folder) as tracker:
        if processes().from_first(folder.resume.exists()):
            trainer.state.load(folder.resume)
        return _run(trainer, tracker)


def _prepare(config: RunConfig, images: Images, splits: Splits | None = None, kind: type[Trainer] = Trainer) -> Trainer:
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
    processes().copy_first([*model.state_dict().values()])
    state = TrainingState(model, config.train, images.fingerprint())
    found = Scorer(state.average, device, precision, 2).table(images, splits.train[:2])
    if config.scoring.transductive:
        check_can_transduce(model)
    for name in needed_evidence(config.scoring.score, config.scoring.parts):
        chosen(found, name)
    return kind(config, RunFolder(Path()), images, splits, state, precision)


def _check_varied(images: Images) -> None:
    """Raise InputError if the images are all the same, as far as up to 256 of them show."""
    some_BHWC = images.read(evenly_spaced(np.arange(len(images)), LOOKED_AT))
    if (some_BHWC == some_BHWC[0]).all():
        all_of = f"all {len(some_BHWC)} images" + (" looked at" if len(images) > LOOKED_AT else "")
        raise InputError(f"{images.name}: {all_of} are the same, so that nothing can be learned; give others")


def _check_alike(images: Images, precision: str, device: torch.device) -> None:
    """Raise InputError unless all processes have the same images and arithmetic."""
    seen = processes().gather((images.fingerprint(), precision, device.type))
    if len(set(seen)) > 1:
        kinds = ", ".join(sorted({f"{name} on {kind}" for _, name, kind in seen}))
        raise InputError(
            f"the processes differ in their images or arithmetic ({kinds}); give all the same, and `precision`"
        )


def _tracked(config: RunConfig, folder: RunFolder) -> contextlib.AbstractContextManager[Tracker]:
    return tracked(config, folder.path, dict(_flat(config)))


def _run(trainer: Trainer, tracker: Tracker) -> Trained:
    """Train what is left, then calibrate, measure and summarise."""
    folder, trainer.tracker = trainer.folder, tracker
    tracker.remember()
    hint = f"stopped with the work saved; go on with: {command('train', '--resume', folder.path)}"
    with stopping_as_interrupted(hint):
        return _train_and_measure(trainer)


def _train_and_measure(trainer: Trainer) -> Trained:
    config, folder, images, splits = trainer.config, trainer.folder, trainer.images, trainer.splits
    calibrated = _train_and_calibrate(trainer)
    scorer = calibrated.scorer
    by_score = evaluate_held_out(calibrated, images, splits.development, label="measuring")
    held_out = chosen(by_score, config.scoring.score)
    diagnosis = scorer.diagnose(images, splits.development)
    history = trainer.state.progress.history
    ill = warnings(config, history, scorer, images, splits.development, held_out.common)
    summary = _summarise(trainer, by_score, diagnosis) | {"warnings": ill}
    folder.write_summary(summary)
    trainer.tracker.finish(_told(held_out), trainer.state.progress.step)
    return Trained(folder, config, held_out, summary, calibrated, images, splits)


def _train_and_calibrate(trainer: Trainer) -> CalibratedScorer:
    """Train what is left, learn what normal images score, and save both."""
    config, folder, images, splits = trainer.config, trainer.folder, trainer.images, trainer.splits
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
    best = _best(trainer)
    scorer = Scorer(best, trainer.device, trainer.precision, config.scoring.score_batch_size)
    calibrated = CalibratedScorer(scorer, _calibrate(scorer, trainer))
    appearance = Appearance.of(images, splits).tensors()
    folder.save_weights(best, images, calibrated.calibration.tensors(), appearance)
    return calibrated


def _best(trainer: Trainer) -> Model:
    """The averaged weights of the best epoch, as the first process saved them."""
    folder, config, job = trainer.folder, trainer.config, processes()
    if job.main:
        best, _ = folder.load(config)
    else:
        best = copy.deepcopy(trainer.state.average)
    best.load_state_dict(job.from_first(best.state_dict()))
    return best


def _calibrate(scorer: Scorer, trainer: Trainer) -> Calibration:
    """Learn what evidence normal images give, from images that no weight has seen."""
    table = scorer.table(trainer.images, trainer.splits.calibration, label=trainer.label("calibrating"))
    scoring = trainer.config.scoring
    reference = None
    if scoring.fit_on == "training":
        reference = scorer.table(trainer.images, reference_rows(trainer.splits))
    calibration = Calibration.fit(table, scoring.parts, scoring.distance == "neighbours", reference, (scoring.score,))
    check_scores(chosen(calibration.scores(table), scoring.score), str(trainer.folder.path))
    return calibration


def _summarise(trainer: Trainer, by_score: dict[str, HeldOut], diagnosis: dict[str, float]) -> dict[str, Any]:
    """What summary.json holds."""
    progress, config = trainer.state.progress, trainer.config
    held_out = by_score[config.scoring.score]
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
        "diagnosis": diagnosis,
        "held_out_macro_auc_by_score": {name: item.common.macro.auc for name, item in by_score.items()},
        "unseen_macro_auc_by_score": {name: item.unseen.macro.auc for name, item in by_score.items()},
    }


def _told(held_out: HeldOut) -> dict[str, float]:
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

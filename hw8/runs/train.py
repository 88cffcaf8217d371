"""Training a run: from images to a folder that scores others."""

import contextlib
import copy
import dataclasses
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hw8.base.device import channels_last, choose_device, choose_precision
from hw8.base.errors import InputError, TrainingFailed, command
from hw8.base.interrupts import stopping_as_interrupted
from hw8.base.lock import locked
from hw8.base.processes import processes
from hw8.base.text import counted
from hw8.base.threads import Threads, computing_threads
from hw8.config import RunConfig
from hw8.config.presets import changed
from hw8.data.arrays import DARK, Images
from hw8.data.loader import batch_count
from hw8.data.sources import TRAINING_FILES, Source, open_source
from hw8.data.splits import Splits, evenly_spaced, reference_rows, split_rows
from hw8.evaluation.held_out import HeldOut, evaluate_held_out
from hw8.models import Model, create_model
from hw8.runs.minutes import fit_into
from hw8.runs.summary import described, summarise, tracked_figures
from hw8.runs.suspects import Suspects, find_suspects
from hw8.runs.trained_run import TrainedRun, open_own_source
from hw8.runs.unaligned import adapt_to_alignment
from hw8.scoring.appearance import TRAINING_SHARE, Appearance
from hw8.scoring.calibration import Calibration, check_names
from hw8.scoring.inference import Scorer
from hw8.scoring.tails import check_scores
from hw8.scoring.transductive import check_can_transduce
from hw8.training.checkpoint import TrainingState
from hw8.training.loop import Trainer
from hw8.training.run_folder import RunFolder
from hw8.training.schedule import with_enough_steps
from hw8.training.tracker import tracked

LOOKED_AT = 256  # images, spread over the set, that are checked for being all the same: one batch

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class FinishedTraining(TrainedRun):
    """A run as its training left it: what it is worth on the development split, its images and how they were cut."""

    folder: RunFolder
    held_out: HeldOut
    suspects: Suspects
    summary: dict[str, Any]
    images: Images
    splits: Splits


def train_run(
    config: RunConfig, out: Path | None = None, command_line: str = "", minutes: float | None = None
) -> FinishedTraining:
    """Train into a new run folder, `out` or runs/PRESET; with `minutes`, for as many steps as fit into that time.

    Raises InputError, or Interrupted with the work saved.
    """
    source = open_source(config.data.source)
    config = changed(config, data={"source": source.name})
    with computing_threads(config.threads) as threads:
        return _train(config, source, threads, None, out, command_line, minutes)


def resume_run(path: Path, settings: RunConfig | None = None) -> FinishedTraining:
    """Resume an interrupted run; it ends in the weights that it would have had.

    `settings` are those on the command line, which must be the run's own except for the tracker, so that a run can be
    resumed without a service that is gone, the number of threads, and where its images are. Raises InputError, also for
    other images than a saved state was trained on, or Interrupted.
    """
    folder, config = RunFolder.open(path)
    own_source = config.data.source
    if settings is not None:
        config = changed(
            config, tracker=settings.tracker, threads=settings.threads, data={"source": settings.data.source}
        )
        _check_unchanged(settings, config, path)
    is_own = config.data.source == own_source
    source = open_own_source(config, str(path)) if is_own else open_source(config.data.source)
    with computing_threads(config.threads) as threads:
        return _train(config, source, threads, folder)


def train_or_resume(config: RunConfig, out: Path, command_line: str = "") -> FinishedTraining:
    """Train into the folder `out`, or resume the run that was begun there. Raises InputError or Interrupted."""
    return resume_run(out) if (out / "config.yaml").exists() else train_run(config, out, command_line)


def _train(
    config: RunConfig, source: Source, threads: Threads, saved: RunFolder | None, out: Path | None = None,
    command_line: str = "", minutes: float | None = None,
) -> FinishedTraining:  # fmt: skip
    """The whole story of a run, in a new folder or in a `saved` one."""
    started = time.monotonic()
    images = source.training(config.data.crop)
    source.check_tables(images)
    _check_varied(images)
    splits = split_rows(len(images), config.data)
    config = changed(adapt_to_alignment(config, images, splits), threads=torch.get_num_threads())
    if minutes is not None:
        config = fit_into(minutes, build(config, images, splits), started)
    trainer = build(config, images, splits)
    trainer.threads = threads
    with _in_folder(trainer, config, saved, out, command_line) as folder:
        try:
            fit(trainer)
            run = calibrate(trainer)
        except TrainingFailed as error:  # a loss that is not finite or does not move, or scores that rank nothing
            folder.write_summary(described(trainer) | {"failed": str(error)})
            raise
        folder.save_model(run.to_bytes())  # before the measurement: a run that is stopped there can score
        suspects = find_suspects(run, images, splits)
        suspects.write(folder, source.file_names(TRAINING_FILES, len(images)))
        held_out_by_score = evaluate_held_out(
            run.with_all_evidence().score, images, splits.development, label="measuring"
        )
        summary = summarise(trainer, run, held_out_by_score) | {"suspects": suspects.as_json()}
        summary["data"]["picture_crop"] = source.picture_crop()
        folder.write_summary(summary)
        held_out = held_out_by_score[run.score_name]
        trainer.tracker.finish(tracked_figures(held_out), trainer.state.progress.step)
    return FinishedTraining(
        **vars(run), held_out=held_out, suspects=suspects, summary=summary, images=images, splits=splits
    )


def train_images(config: RunConfig, images: Images, splits: Splits, verbose: bool = True) -> TrainedRun:
    """Train on images in memory and calibrate; nothing is written or measured.

    `splits` replace the cut that the settings ask for, and may share rows. Raises InputError or Interrupted.
    """
    _check_varied(images)
    with computing_threads(config.threads) as threads:
        trainer = build(adapt_to_alignment(config, images, splits), images, splits, verbose)
        trainer.threads = threads
        trainer.fit()
        return calibrate(trainer)


@contextlib.contextmanager
def _in_folder(
    trainer: Trainer, config: RunConfig, saved: RunFolder | None, out: Path | None, command_line: str
) -> Iterator[RunFolder]:
    """Lock the run's folder and connect the tracker; then write a new run's settings, or load a saved one's state.

    A new folder is removed if it is still empty at the end. An interruption says how to resume.
    """
    folder = saved or RunFolder.choose(config, out)
    try:
        with locked(folder.path), tracked(config, folder.path, dict(_flat(config))) as tracker:
            if saved is None:
                trainer.state.progress.command = command_line
                folder.begin(config)
            elif processes().broadcast(folder.resume_file.exists()):
                trainer.state.load(folder.resume_file)
            elif folder.is_finished():
                raise InputError(f"{folder.path}: is finished, and its resume.pt is gone; train a new run")
            if saved is not None:
                folder.record(torch.get_num_threads(), config.data.source)
            tracker.remember()
            trainer.folder, trainer.tracker = folder, tracker
            resume = command("train", "--resume", folder.path)
            with stopping_as_interrupted(f"stopped with the work saved; resume with: {resume}"):
                yield folder
    finally:
        if out is None:
            folder.remove_empty()


def build(config: RunConfig, images: Images, splits: Splits, verbose: bool = True) -> Trainer:
    """A training that only lacks its folder, checked before anything is written. Raises InputError."""
    config = dataclasses.replace(config, train=with_enough_steps(config.train, len(splits.train)))
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    # Some operations have no deterministic form on a GPU.
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "warn")
    if config.train.compile:  # the same for the compiler, which takes seconds to import
        torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    torch.manual_seed(config.seed)
    model = create_model(config.model.name, images.side, images.channels, config.model.options)
    model = channels_last(model.to(device))
    _check_trainable(config, len(splits.train), device)
    _check_alike(images, precision, device)
    # One seed gives other weights where PyTorch or the processor differs.
    processes().broadcast_tensors([*model.state_dict().values()])
    state = TrainingState(model, config.train, images.fingerprint(), precision)
    # Two images show now, not after hours of training, whether the model gives the evidence that its score needs.
    evidence = Scorer(state.average, device, precision, 2).table(images, splits.train[:2])
    if config.scoring.transductive:
        check_can_transduce(model)
    check_names(evidence, config.scoring)
    return Trainer(config, images, splits, state, precision, verbose)


def _check_varied(images: Images) -> None:
    """Raise InputError if the images are all the same, as far as up to 256 of them show; log if these are all dark."""
    some_BHWC = images.read(evenly_spaced(np.arange(len(images)), LOOKED_AT))
    if (some_BHWC == some_BHWC[0]).all():
        all_of = f"all {len(some_BHWC)} images" + (" looked at" if len(images) > LOOKED_AT else "")
        raise InputError(f"{images.name}: {all_of} are the same, so that nothing can be learned; give others")
    if (brightest := some_BHWC.max()) < DARK:
        log.warning(
            "Warning:  %s: no pixel looked at is above level %s of 255; scale the images to the full range",
            images.name, brightest,
        )  # fmt: skip


def _check_alike(images: Images, precision: str, device: torch.device) -> None:
    """Raise InputError unless all processes have the same images and arithmetic."""
    by_rank = processes().all_gather((images.fingerprint(), precision, device.type))
    if len(set(by_rank)) > 1:
        kinds = ", ".join(sorted({f"{name} on {device_type}" for _, name, device_type in by_rank}))
        raise InputError(
            f"the processes differ in their images or arithmetic ({kinds}); give all the same, and `precision`"
        )


def _check_trainable(config: RunConfig, rows: int, device: torch.device) -> None:
    """Raise InputError if a process had no image of a batch, or if `compile` lacks its compiler."""
    batches, count = batch_count(rows, config.train.batch_size), processes().world_size
    if config.train.compile and device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "cl"))):
        raise InputError("`compile` needs a C++ compiler (g++ or clang++) on a CPU; install one, or omit it")
    if rows // batches < count:
        raise InputError(
            f"{rows // batches} images in a batch cannot be shared by {count} processes; raise `batch_size`, or "
            "start fewer"
        )


def fit(trainer: Trainer) -> None:
    """Train what is left. Raises InputError or Interrupted."""
    config, images, splits = trainer.config, trainer.images, trainer.splits
    log.info(
        "%s: %s on %s images of %s, %s pixels; %s held out to calibrate, %s to measure; %s, %s, %s",
        trainer.name, config.model.name, f"{len(splits.train):,}", images.name, f"{images.side}x{images.side}",
        f"{len(splits.calibration):,}", f"{len(splits.development):,}", trainer.device, trainer.precision,
        counted(torch.get_num_threads(), "thread"),
    )  # fmt: skip
    if trainer.finished:
        log.info("%s: its training is complete; only what follows it is done again", trainer.name)
    trainer.fit()


def calibrate(trainer: Trainer) -> TrainedRun:
    """The run: its best weights, calibrated on normal images that no weight has seen. Raises InputError.

    All evidence is calibrated; the run gives that which its score needs.
    """
    images, splits, scoring = trainer.images, trainer.splits, trainer.config.scoring
    scorer = Scorer(_best_model(trainer), trainer.device, trainer.precision, scoring.score_batch_size)
    label = "calibrating" if trainer.verbose else None
    table = scorer.table(images, splits.calibration, label=label)
    reference, in_reference_C = None, None
    if scoring.fit_on == "training":
        reference = scorer.table(images, reference_rows(splits), label=label)
        in_reference_C = np.isin(splits.calibration, reference_rows(splits))
    try:
        calibration = Calibration.fit(table, scoring, reference, in_reference_C)
        fit = calibration.fits.get(scoring.score)
        # Where each image has copies among those that it is compared with, all distances are 0, and rightly so.
        if fit is None or not len(fit.reference_RD) or (fit.reference_RD == fit.reference_RD[0]).all():
            check_scores(calibration.scores(table)[scoring.score], trainer.name, "calibration")
    except InputError as error:
        raise TrainingFailed(str(error)) from None
    appearance = Appearance.of(images, splits)
    held_out = np.setdiff1d(splits.development, splits.train)  # an estimator of few images trains on these too
    copies = appearance.share_of_training(images, held_out) if len(held_out) else 0
    if copies > TRAINING_SHARE:
        log.warning(
            "Warning:  about %.0f%% of the images held out from training equal a training image, to the last pixel: "
            "held-out figures and p-values are too good; remove the copies and train again", 100 * copies,
        )  # fmt: skip
    needed = scorer.with_evidence(scoring.evidence_names)
    return TrainedRun(trainer.folder, trainer.config, needed, calibration, appearance, images.side, images.channels)


def _best_model(trainer: Trainer) -> Model:
    """The averaged weights of the best epoch, as the first process saved or kept them.

    Raises InputError if their file is gone or damaged.
    """
    if trainer.folder is None:
        assert trainer.best is not None  # noqa: S101 (every training has an epoch)
        return trainer.best
    folder, best = trainer.folder, copy.deepcopy(trainer.state.average)

    def load() -> dict[str, Any]:
        if not folder.model_file.exists():
            raise InputError(f"{folder.model_file}: is gone, and with it the best weights; train a new run")
        return folder.load_model(trainer.config).model.state_dict()

    best.load_state_dict(processes().on_rank_0(load))
    return best


def _check_unchanged(settings: RunConfig, saved: RunConfig, path: Path) -> None:
    """Raise InputError, naming the first, for settings beside --resume that differ from the run's own."""
    for (name, new), (_, old) in zip(_flat(settings), _flat(saved), strict=True):
        if new != old:
            raise InputError(
                f"`resume` {path} keeps the run's own settings, but {name} = {new!r} is given "
                f"(the run has {old!r}); omit it, or train a new run"
            )


def _flat(config: RunConfig) -> list[tuple[str, object]]:
    """Every setting with its value, those of a section as SECTION.NAME."""
    return [
        (f"{section}.{name}" if isinstance(value, dict) else section, item)
        for section, value in dataclasses.asdict(config).items()
        for name, item in (value.items() if isinstance(value, dict) else [("", value)])
    ]

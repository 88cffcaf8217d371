"""The only training loop: read a batch, reconstruct it, step; evaluate and save after every epoch."""

import copy
import itertools
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from hw8.base.device import autocast
from hw8.base.errors import InputError, Interrupted, TrainingFailed, command
from hw8.base.interrupts import stop_signals
from hw8.base.processes import processes
from hw8.base.progress import progress_bar
from hw8.base.threads import Threads
from hw8.config import RunConfig
from hw8.data.arrays import Images, to_pixels
from hw8.data.loader import batch_count, epoch_batches, in_batches
from hw8.data.splits import Splits
from hw8.models.losses import selection_loss
from hw8.models.output import Model
from hw8.training.checkpoint import TrainingState
from hw8.training.distributed import synchronise_norms
from hw8.training.history import MetricsWriter, Row, write_metrics
from hw8.training.run_folder import RunFolder, SavedModel, run_name
from hw8.training.schedule import learning_rate
from hw8.training.step import Stepper
from hw8.training.tracker import Tracker

LOG_EVERY = 20  # steps; fetching the loss from a GPU after every step would make it wait
# Seconds between the savings of the state after two epochs, chosen by hand, so that epochs of a second are not spent on
# the disk.
MIN_SAVE_SECONDS = 15.0
STILL = 1e-7  # relative change of a loss that counts as none: the precision of float32
SHOWN = 8  # development images whose reconstructions are logged


class Trainer:
    """One training: `fit` runs it from where its state stands to the end, with a progress bar if it is `verbose`."""

    def __init__(
        self,
        config: RunConfig,
        images: Images,
        splits: Splits,
        state: TrainingState,
        precision: str,
        verbose: bool = True,
    ) -> None:
        self.config, self.images, self.splits, self.state = config, images, splits, state
        self.folder: RunFolder | None = None  # where the training is saved, if anywhere
        self.precision, self.verbose = precision, verbose
        self.device = next(state.model.parameters()).device
        self.per_epoch = batch_count(len(splits.train), config.train.batch_size)
        whole = self.per_epoch * config.train.epochs
        self.total_steps = min(whole, config.train.most_steps or whole)
        self.epochs = math.ceil(self.total_steps / self.per_epoch)
        self.pending: list[torch.Tensor] = []
        self.images_since_adapt = 0  # images, since the threads were last compared with the load
        self.best: Model | None = None  # weights better than those on the disk, until they are saved
        self.tracker, self.threads = Tracker(), Threads()
        self.job = processes()
        if self.job.world_size > 1:
            synchronise_norms(state.model)
        self.stepper = Stepper(config, images, state, precision)
        self.clock = self.saved_at = time.monotonic()

    @property
    def name(self) -> str:
        """The run's name in messages."""
        return run_name(self.folder)

    @property
    def finished(self) -> bool:
        """Whether the last epoch is finished, or early stopping ended the training."""
        return len(self.state.progress.history) >= self.epochs or self.state.progress.stopped_early

    def fit(self) -> None:
        """Train to the end.

        Raises Interrupted, with the state saved, when a stop is requested, and InputError when the loss is
        not a finite number or never moves.
        """
        progress = self.state.progress
        position = self._position()[1]
        if progress.step > self.total_steps or not (self.finished or 0 <= position <= self.per_epoch):
            steps = f"its {progress.step:,} steps in resume.pt are not those of this run"
            raise InputError(f"{self.name}: {steps}; train again")
        if self.finished:
            return
        path = self.folder.path if self.folder is not None and self.job.is_main else None
        writer = MetricsWriter(path, progress.step, self.tracker)
        self.clock = self.saved_at = time.monotonic()
        try:
            with stop_signals() as self.stepper.stop_requested, self._bar() as bar:
                while not self.finished:
                    bar.set_description(f"epoch {len(progress.history) + 1}/{self.epochs}")
                    for count, loss in self.steps():
                        bar.update(count)
                        if loss is not None:
                            bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
                            writer.log_step(progress.step, loss, self._lr(progress.step - 1))
                        if time.monotonic() - self.saved_at > 60 * self.config.train.save_minutes:
                            self.save()
                        if progress.step < self.total_steps:
                            self._stop_if_requested()
                    self.finish_epoch(writer)
                    if not self.finished:
                        self._stop_if_requested()
            self.stepper.release()
        finally:
            writer.close()

    def steps(self) -> Iterator[tuple[int, float | None]]:
        """Make the remaining steps of the epoch; after each, yield its number of images and a mean loss or None.

        The loss is that of the steps since the last one that was given, every 20 steps.

        Raises InputError when a loss is not a finite number.
        """
        epoch, position = self._position()
        batches = self._batches(epoch)[position:]
        try:
            for rows_B, next_rows_B in itertools.zip_longest(batches, batches[1:]):
                self.step(rows_B, next_rows_B)
                yield len(rows_B), self.fetch_losses() if self.state.progress.step % LOG_EVERY == 0 else None
        finally:
            self.stepper.wait()

    def step(self, rows_B: np.ndarray, next_rows_B: np.ndarray | None = None) -> None:
        """Make one optimisation step on these rows, before that on the next ones if they are known.

        Its loss and gradient norm wait in `pending`.
        """
        progress = self.state.progress
        self.state.set_rates(self._lr(progress.step))
        self.pending.append(self.stepper(rows_B, next_rows_B))
        self.images_since_adapt += len(rows_B)
        progress.step += 1

    def fetch_losses(self) -> float:
        """Fetch the pending losses from the device and sum them; return their mean, NaN if there are none.

        Raises TrainingFailed for a loss or gradient that is not finite.
        """
        if not self.pending:
            return math.nan
        losses, norms = torch.stack(self.pending).cpu().double().T
        self.pending = []
        if self.state.scaler.is_enabled():  # a gradient beyond float16 is a step that the scaler skipped
            self.state.progress.skipped_steps += int((~norms.isfinite()).sum())
            norms = norms.where(norms.isfinite(), 0.0)
        if not bool(torch.isfinite(losses).all() and torch.isfinite(norms).all()):
            raise TrainingFailed(
                f"{self.name}: the loss is no longer a finite number at step "
                f"{self.state.progress.step:,}; the steps since the last saving are lost; "
                f"train again with a lower `lr` (now {self.config.train.lr:g}) or with `precision` fp32"
            )
        sums = self.state.progress.epoch_sums
        for name, value in (("loss", losses.sum()), ("norm", norms.sum()), ("steps", len(losses))):
            sums[name] = sums.get(name, 0.0) + float(value)
        sums["lowest"] = min(sums.get("lowest", math.inf), float(losses.min()))
        sums["highest"] = max(sums.get("highest", -math.inf), float(losses.max()))
        return float(losses.mean())

    def finish_epoch(self, writer: MetricsWriter) -> None:
        """Measure the held-out loss, keep the best weights, and save."""
        self.fetch_losses()
        progress, train = self.state.progress, self.config.train
        self._add_elapsed_time()
        row = self._measure()
        progress.history.append(row)
        self._check_it_learns(row)
        if row["held_out_loss"] < progress.best_loss:
            progress.best_loss, progress.best_epoch = row["held_out_loss"], len(progress.history)
            self.best = copy.deepcopy(self.state.average)
        waited = len(progress.history) - progress.best_epoch
        progress.stopped_early = train.patience is not None and waited >= train.patience
        self._add_elapsed_time()
        progress.epoch_sums, progress.epoch_seconds = {}, 0.0  # what ends an epoch is not part of the next one
        if self.folder is not None:
            write_metrics(self.folder.metrics_file, progress.history)
        first_or_last = self.finished or len(progress.history) == 1
        if first_or_last or time.monotonic() - self.saved_at >= MIN_SAVE_SECONDS:
            self.save()
        writer.log_epoch(row, self._pictures)
        self._add_elapsed_time()
        progress.epoch_seconds = 0.0
        if self.threads.adapt(self.images_since_adapt) and self.folder is not None:
            self.folder.record(torch.get_num_threads(), self.config.data.source)
        self.images_since_adapt = 0

    def save(self) -> None:
        """Write the best weights, and the state to resume from; a state with a bad loss is refused first.

        Weights first: after a kill between the two, the resumed run comes to the same weights again.
        """
        self.fetch_losses()
        self._add_elapsed_time()
        self.saved_at = time.monotonic()
        if self.folder is None:
            return  # the best weights stay in memory
        if self.best is not None and self.job.is_main:
            self.folder.save_model(SavedModel(self.best, self.images.side, self.images.channels).to_bytes())
        if self.job.is_main:
            self.state.save(self.folder.resume_file)
        self.best = None

    def _stop_if_requested(self) -> None:
        """Save and raise Interrupted if this process, or of several all, should stop."""
        if self.stepper.should_stop():
            self.save()
            stopped = f"stopped at step {self.state.progress.step:,} of {self.total_steps:,}"
            if self.folder is None:
                raise Interrupted(f"{stopped}; nothing was saved")
            resume = command("train", "--resume", self.folder.path)
            raise Interrupted(f"{stopped} with the work saved; resume with: {resume}")

    def _bar(self) -> "tqdm[Any]":
        """Progress over all epochs in images, with their rate and the time left, on standard error."""
        count = len(self.splits.train)
        epoch, position = self._position()
        trained = count * epoch + sum(map(len, self._batches(epoch)[:position]))
        total = count * (self.epochs - 1) + sum(map(len, self._batches(self.epochs - 1)))
        hidden = not (self.verbose and self.job.is_main)
        return progress_bar(total, None, "img", hidden, initial=trained, smoothing=0.05)

    def _position(self) -> tuple[int, int]:
        """Finished epochs, and finished steps of the next one."""
        epoch = len(self.state.progress.history)
        return epoch, self.state.progress.step - epoch * self.per_epoch

    def _batches(self, epoch: int) -> list[np.ndarray]:
        """The rows of each batch of an epoch, of which the last one may end early."""
        batches = epoch_batches(self.splits.train, self.config.train.batch_size, self.config.seed, epoch)
        return batches[: self.total_steps - epoch * self.per_epoch]

    def _lr(self, step: int) -> float:
        return learning_rate(step, self.total_steps, self.config.train)

    def _measure(self) -> Row:
        progress, sums, count = self.state.progress, self.state.progress.epoch_sums, len(self.splits.train)
        return {
            "epoch": len(progress.history) + 1,
            "step": progress.step,
            "lr": self._lr(progress.step - 1),
            "train_loss": sums["loss"] / sums["steps"],
            "held_out_loss": self._held_out_loss(),
            "gradient_norm": sums["norm"] / sums["steps"],
            "images_per_second": sums["steps"] / self.per_epoch * count / max(progress.epoch_seconds, 1e-9),
            "seconds": progress.seconds,
            "threads": torch.get_num_threads(),
        }

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        """Mean reconstruction loss of the averaged weights on the development images."""
        rows = self.splits.development
        device = self.device if self.device.type == "cuda" else "cpu"  # Apple's GPU has no float64
        total = torch.zeros((), dtype=torch.float64, device=device)
        for rows_B in self.job.shard(list(in_batches(rows, self.config.scoring.score_batch_size))):
            x_NCHW = to_pixels(torch.from_numpy(self.images.read(rows_B)), self.device, self.stepper.channels_last)
            with autocast(self.precision, self.device):
                output = self.state.average(x_NCHW)
            total += selection_loss(self.config.train.loss, output, x_NCHW).sum().to(device)
        return float(self.job.all_reduce(total)) / len(rows)

    def _check_it_learns(self, row: Row) -> None:
        """Stop a training that cannot succeed. Raises TrainingFailed."""
        progress, lr = self.state.progress, self.config.train.lr
        if not math.isfinite(row["held_out_loss"]):
            problem = f"the held-out loss is not finite after epoch {row['epoch']}"
            raise TrainingFailed(f"{self.name}: {problem}; train again with a lower `lr`")
        first, sums, still = progress.history[0]["held_out_loss"], progress.epoch_sums, ""
        if sums["steps"] > 1 and sums["highest"] - sums["lowest"] <= STILL * abs(sums["highest"]):
            still = f"the training loss is {sums['highest']:.6g} in every step of epoch {row['epoch']}"
        elif len(progress.history) > 1 and abs(row["held_out_loss"] - first) <= STILL * abs(first):
            still = f"the held-out loss has not moved from {first:.6g} in {len(progress.history)} epochs"
        if still:
            advice = f"try another `lr` (now {lr:g}), `loss` or `model`"
            raise TrainingFailed(f"{self.name}: {still}; the model does not learn: {advice}")

    @torch.no_grad()
    def _pictures(self) -> torch.Tensor:
        """Some development images in a row, and below each its reconstruction: (N, C, 2 * side, side) in [-1, 1]."""
        x_NCHW = to_pixels(torch.from_numpy(self.images.read(self.splits.development[:SHOWN])), self.device)
        with autocast(self.precision, self.device):
            recon_NCHW = self.state.average(x_NCHW).recon_NCHW
        return x_NCHW.cpu() if recon_NCHW is None else torch.cat([x_NCHW, recon_NCHW], dim=2).cpu()

    def _add_elapsed_time(self) -> None:
        """Add the time since the last tick to the run's and the epoch's."""
        now = time.monotonic()
        self.state.progress.seconds += now - self.clock
        self.state.progress.epoch_seconds += now - self.clock
        self.clock = now

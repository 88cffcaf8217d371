"""The only training loop: read a batch, reconstruct it, step; evaluate and save after every epoch."""

import copy
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from hw8.base.device import autocast, convolves
from hw8.base.errors import InputError, Interrupted, command
from hw8.base.interrupts import stop_signals
from hw8.base.processes import processes
from hw8.config import RunConfig
from hw8.data.arrays import Images, to_pixels
from hw8.data.loader import batch_count, epoch_batches, in_batches, mirrored_rows, training_batch
from hw8.data.splits import Splits
from hw8.models.losses import objective, reconstruction_loss
from hw8.models.output import Model
from hw8.training.checkpoint import TrainingState
from hw8.training.distributed import exchange, synchronise_norms
from hw8.training.history import Board, Row, write_metrics
from hw8.training.run_folder import RunFolder, SavedModel
from hw8.training.schedule import learning_rate
from hw8.training.tracker import Tracker

LOG_EVERY = 20
MICROBATCH = {True: 128, False: 400}  # images at once, with convolutions and without: measured on two cores
SHORT = 15.0  # seconds between two savings of the state, unless somebody waits for it
STILL = 1e-7  # relative change of a loss that counts as none at all


class Trainer:
    """One training: `fit` runs it from where its state stands to the end."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder | None,
        images: Images,
        splits: Splits,
        state: TrainingState,
        precision: str,
    ) -> None:
        self.config, self.folder, self.images, self.splits, self.state = config, folder, images, splits, state
        self.precision = precision
        self.device = next(state.model.parameters()).device
        self.per_epoch = batch_count(len(splits.train), config.train.batch_size)
        self.total_steps = self.per_epoch * config.train.epochs
        self.pending: list[torch.Tensor] = []
        self.best: Model | None = None  # weights better than those on the disk, until the next saving
        self.model = _compiled(state.model) if config.train.compile else state.model
        self.channels_last = convolves(state.model)
        self.tracker = Tracker()
        self.asked: Callable[[], bool] = lambda: False
        self.agreed = False
        self.job = processes()
        if self.job.count > 1:
            synchronise_norms(state.model)
        self.clock = self.saved_at = time.monotonic()

    @property
    def name(self) -> str:
        """The run's name in messages."""
        return "the run" if self.folder is None else str(self.folder.path)

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done, or early stopping ended the training."""
        return len(self.state.progress.history) >= self.config.train.epochs or self.state.progress.stopped_early

    def fit(self) -> None:
        """Train to the end.

        Raises Interrupted, with the state saved, when asked to stop, and InputError when the loss is
        not a finite number or never moves.
        """
        progress = self.state.progress
        if not 0 <= self._position()[1] <= self.per_epoch or progress.step > self.total_steps:
            raise InputError(
                f"{self.name}: its {progress.step:,} steps in resume.pt are not those of this run; train again"
            )
        if self.finished:
            return
        board = Board(
            self.folder.path if self.folder is not None and self.job.main else None, progress.step, self.tracker
        )
        self.clock = self.saved_at = time.monotonic()
        try:
            with stop_signals() as self.asked, self._bar() as bar:
                while not self.finished:
                    bar.set_description(f"epoch {len(progress.history) + 1}/{self.config.train.epochs}")
                    for count, loss in self.steps():
                        bar.update(count)
                        if loss is not None:
                            bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
                            board.log_step(progress.step, loss, self._lr(progress.step - 1))
                        if time.monotonic() - self.saved_at > 60 * self.config.train.save_minutes:
                            self.save()
                        if self._stopping() and progress.step < self.total_steps:
                            raise self._interrupted()
                    self.finish_epoch(board)
                    if self._stopping() and not self.finished:
                        raise self._interrupted()
        finally:
            board.close()

    def steps(self) -> Iterator[tuple[int, float | None]]:
        """Make the steps that the epoch still lacks; after each, its images and, every 20 steps, their mean loss.

        Raises InputError when a loss is not a finite number.
        """
        epoch, position = self._position()
        for rows_B in self._batches(epoch)[position:]:
            self.step(rows_B)
            yield len(rows_B), self.settle() if self.state.progress.step % LOG_EVERY == 0 else None

    def _interrupted(self) -> Interrupted:
        """Save, and say how to go on."""
        self.save()
        return Interrupted(
            f"stopped at step {self.state.progress.step:,} of {self.total_steps:,} with the work saved; "
            f"go on with: {command('train', '--resume', self.name)}"
        )

    def label(self, name: str) -> str | None:
        """What a progress bar of this name is called; None hides it."""
        return name

    def _bar(self) -> "tqdm[Any]":
        """Progress over all epochs in images, with their rate and the time left, on standard error."""
        count = len(self.splits.train)
        epoch, position = self._position()
        done = count * epoch + sum(map(len, self._batches(epoch)[:position]))
        quiet = 0.1 if sys.stderr.isatty() else 15.0
        total, hidden = count * self.config.train.epochs, self.label("training") is None or not self.job.main
        return tqdm(total=total, initial=done, unit="img", mininterval=quiet, smoothing=0.05, disable=hidden)

    def _position(self) -> tuple[int, int]:
        """Epochs finished, and steps done in the next one."""
        epoch = len(self.state.progress.history)
        return epoch, self.state.progress.step - epoch * self.per_epoch

    def _batches(self, epoch: int) -> list[np.ndarray]:
        return epoch_batches(self.splits.train, self.config.train.batch_size, self.config.seed, epoch)

    def _lr(self, step: int) -> float:
        return learning_rate(step, self.total_steps, self.config.train)

    def _stopping(self) -> bool:
        """Whether to stop after this step: this process was asked to or, of several, all have heard that one was."""
        return self.asked() if self.job.count == 1 else self.agreed

    def step(self, rows_B: np.ndarray) -> None:
        """One optimisation step on these rows, each process taking its share; loss and norm wait in `pending`."""
        state, train = self.state, self.config.train
        step = state.progress.step
        _seed_layers(self.config.seed, step, self.job.rank, self.device)
        state.model.train()
        loss = torch.zeros((), device=self.device)
        for rows_M, mirrored_M in self._microbatches(rows_B):
            x_NCHW = training_batch(self.images, rows_M, self.device, mirrored_M, self.channels_last)
            with autocast(self.precision, self.device):
                output = self.model(x_NCHW)
            share = objective(train.loss, output, x_NCHW).sum() / len(rows_B)
            share.backward()
            loss += share.detach()
        loss, self.agreed = exchange(state.model, loss, self.asked())
        norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), train.clip_norm)
        for group in state.optimizer.param_groups:
            group["lr"] = self._lr(step)
        state.optimizer.step()
        state.optimizer.zero_grad()
        state.update_average()
        state.progress.step += 1
        self.pending.append(torch.stack([loss, norm]))

    def _microbatches(self, rows_B: np.ndarray) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """This process's rows of a batch and which of them are mirrored, in microbatches that fit a CPU's cache."""
        flip = self.config.data.flip
        mirrored_B = mirrored_rows(len(rows_B), self.config.seed, self.state.progress.step) if flip else None
        mine = np.array_split(np.arange(len(rows_B)), self.job.count)[self.job.rank]
        count = 1
        if self.device.type == "cpu" and self.state.model.splits():
            count = -(-len(mine) // (self.config.train.part_size or MICROBATCH[self.channels_last]))
        return [
            (rows_B[some], None if mirrored_B is None else mirrored_B[some]) for some in np.array_split(mine, count)
        ]

    def settle(self) -> float:
        """Fetch the pending losses from the device, check and add them up; return their mean."""
        if not self.pending:
            return math.nan
        losses, norms = torch.stack(self.pending).cpu().double().T
        self.pending = []
        if not bool(torch.isfinite(losses).all() and torch.isfinite(norms).all()):
            raise InputError(
                f"{self.name}: the loss is no longer a finite number at step "
                f"{self.state.progress.step:,}; nothing of it was saved; "
                f"train again with a lower `lr` (now {self.config.train.lr:g}) or with `precision` fp32"
            )
        sums = self.state.progress.epoch_sums
        for name, value in (("loss", losses.sum()), ("norm", norms.sum()), ("steps", len(losses))):
            sums[name] = sums.get(name, 0.0) + float(value)
        sums["lowest"] = min(sums.get("lowest", math.inf), float(losses.min()))
        sums["highest"] = max(sums.get("highest", -math.inf), float(losses.max()))
        return float(losses.mean())

    def finish_epoch(self, board: Board) -> None:
        """Measure the held-out loss, keep the best weights, and save."""
        self.settle()
        progress, train = self.state.progress, self.config.train
        self._tick()
        row = self._measure(progress.epoch_sums, progress.epoch_seconds)
        progress.history.append(row)
        self._check_it_learns(row)
        if row["held_out_loss"] < progress.best_loss:
            progress.best_loss, progress.best_epoch = row["held_out_loss"], len(progress.history)
            self.best = copy.deepcopy(self.state.average)
        waited = len(progress.history) - progress.best_epoch
        progress.stopped_early = train.patience is not None and waited >= train.patience
        progress.epoch_sums, progress.epoch_seconds = {}, 0.0
        if self.folder is not None:
            write_metrics(self.folder.metrics, progress.history)
        first_or_last = self.finished or len(progress.history) == 1
        if first_or_last or time.monotonic() - self.saved_at >= SHORT:
            self.save()
        board.log_epoch(row, self._pictures())

    def _measure(self, sums: dict[str, float], seconds: float) -> Row:
        return {
            "epoch": len(self.state.progress.history) + 1,
            "step": self.state.progress.step,
            "lr": self._lr(self.state.progress.step - 1),
            "train_loss": sums["loss"] / sums["steps"],
            "held_out_loss": self._held_out_loss(),
            "gradient_norm": sums["norm"] / sums["steps"],
            "images_per_second": len(self.splits.train) / max(seconds, 1e-9),
            "seconds": self.state.progress.seconds,
        }

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        """Mean reconstruction loss of the averaged weights on the development images."""
        rows = self.splits.development
        where = self.device if self.device.type == "cuda" else "cpu"
        total = torch.zeros((), dtype=torch.float64, device=where)
        for rows_B in self.job.shard(list(in_batches(rows, self.config.scoring.score_batch_size))):
            x_NCHW = to_pixels(torch.from_numpy(self.images.read(rows_B)), self.device, self.channels_last)
            with autocast(self.precision, self.device):
                output = self.state.average(x_NCHW)
            total += reconstruction_loss(self.config.train.loss, output, x_NCHW).sum().to(where)
        return float(self.job.all_reduce(total)) / len(rows)

    def _check_it_learns(self, row: Row) -> None:
        """Stop a training that cannot succeed. Raises InputError."""
        progress = self.state.progress
        if not math.isfinite(row["held_out_loss"]):
            raise InputError(
                f"{self.name}: the held-out loss is not finite after epoch {row['epoch']}; "
                "train again with a lower `lr`"
            )
        first = progress.history[0]["held_out_loss"]
        still = len(progress.history) > 1 and abs(row["held_out_loss"] - first) <= STILL * abs(first)
        sums = progress.epoch_sums
        flat = sums["steps"] > 1 and sums["highest"] - sums["lowest"] <= STILL * abs(sums["highest"])
        if still or flat:
            raise InputError(
                f"{self.name}: the loss has not moved from {first:.6g} in {len(progress.history)} epochs; "
                f"the model does not learn: try another `lr` (now {self.config.train.lr:g}), `loss` or `model`"
            )

    @torch.no_grad()
    def _pictures(self) -> torch.Tensor:
        """A few development images beside their reconstructions, stacked one above the other."""
        x_NCHW = to_pixels(torch.from_numpy(self.images.read(self.splits.development[:8])), self.device)
        with autocast(self.precision, self.device):
            recon_NCHW = self.state.average(x_NCHW).recon_NCHW
        return x_NCHW.cpu() if recon_NCHW is None else torch.cat([x_NCHW, recon_NCHW], dim=2).cpu()

    def _tick(self) -> None:
        """Add the time since the last tick to the run's and the epoch's."""
        now = time.monotonic()
        self.state.progress.seconds += now - self.clock
        self.state.progress.epoch_seconds += now - self.clock
        self.clock = now

    def save(self) -> None:
        """Write the best weights and the state for --resume; a state with a bad loss is refused first.

        Weights first: a kill between the two leaves a state that comes to the same weights again.
        """
        self.settle()
        self._tick()
        self.saved_at = time.monotonic()
        if self.folder is None:
            return  # the best weights stay in memory
        if self.best is not None and self.job.main:
            self.folder.save_model(SavedModel(self.best, self.images.side, self.images.channels).to_bytes())
        if self.job.main:
            self.state.save(self.folder.resume)
        self.best = None


def _compiled(model: Model) -> Model:
    """The model, compiled when it is first called."""
    compiled: Model = torch.compile(model)  # type: ignore[assignment]
    return compiled


def _seed_layers(seed: int, step: int, rank: int, device: torch.device) -> None:
    """Random layers draw from a generator seeded by step and process, so that resuming has no stream to lose."""
    own = (seed << 32) + step
    if rank:
        own = int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])
    if device.type == "cpu":
        torch.default_generator.manual_seed(own)  # torch.manual_seed writes down the stack, for GPUs that may come
    else:
        torch.manual_seed(own)


def check_trainable(config: RunConfig, rows: int, device: torch.device) -> None:
    """Raise InputError unless every process has an image of every batch, and a compiler is there if one is needed."""
    batches, count = batch_count(rows, config.train.batch_size), processes().count
    compilers = ("g++", "clang++", "cl")
    if config.train.compile and device.type == "cpu" and not any(map(shutil.which, compilers)):
        raise InputError("`compile` needs a C++ compiler (g++ or clang++) on a CPU; install one, or leave it away")
    if rows // batches < count:
        raise InputError(
            f"{rows // batches} images in a batch cannot be shared by {count} processes; raise `batch_size`, or "
            "start fewer"
        )

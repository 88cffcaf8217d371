"""One optimisation step: the images of a batch, its loss and gradient, the new weights."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from hw8.base.cuda_graph import CudaGraph
from hw8.base.device import autocast, convolves
from hw8.base.processes import processes
from hw8.base.threads import has_spare_cores
from hw8.config import RunConfig
from hw8.data.arrays import Images, to_pixels
from hw8.data.loader import mirror_mask, resident_images, training_batch
from hw8.models.losses import objective
from hw8.models.output import Model
from hw8.training.checkpoint import TrainingState
from hw8.training.distributed import all_reduce_gradients
from hw8.training.optimizers import clip_gradients

Inputs = tuple[Any, ...]  # of the model: a batch (N, C, side, side) and, of a model that augments it, what it drew
# Images at once on a CPU, with convolutions and without: measured on two cores. With more, their values no longer fit
# into the caches; with fewer, the cores wait for each other more often.
CONV_MICROBATCH, DENSE_MICROBATCH = 128, 400


class Stepper:
    """Makes the steps of a training: microbatch by microbatch on a CPU, by replaying a captured step on a GPU."""

    def __init__(self, config: RunConfig, images: Images, state: TrainingState, precision: str) -> None:
        self.config, self.images, self.state, self.precision = config, images, state, precision
        self.device = next(state.model.parameters()).device
        self.model: Any = torch.compile(state.model) if config.train.compile else state.model
        self.channels_last = convolves(state.model)
        self.stop_requested: Callable[[], bool] = lambda: False
        self.stop_agreed = False  # of several processes: whether all know that one of them was asked to stop
        self.job = processes()
        self.graph: CudaGraph | None = None
        self.resident_NHWC: torch.Tensor | None = None
        self.executor = ThreadPoolExecutor(1)
        self.ahead: tuple[np.ndarray, Future[list[Inputs]]] | None = None  # the next step's rows and inputs
        if self.device.type == "cuda" and self.job.world_size == 1 and not config.train.compile:
            self.graph = CudaGraph(self._captured_step, self.device)
            self.resident_NHWC = resident_images(images, self.device)

    def __call__(self, rows_B: np.ndarray, next_rows_B: np.ndarray | None = None) -> torch.Tensor:
        """Make one step on these rows, each process with its shard; return its loss and gradient norm (2,).

        If cores are left, the batch of the next step, where it is known, is augmented meanwhile, as it would be then.
        """
        state, step = self.state, self.state.progress.step
        if not state.model.training:
            state.model.train()
        if self.graph is None:
            inputs = self._take_ahead(rows_B) or self._inputs(rows_B, step)
            if next_rows_B is not None and self._augments_ahead():
                inputs = list(inputs)  # drawn before the other thread draws
                threads = torch.get_num_threads()
                future = self.executor.submit(self._make_ahead, next_rows_B, step + 1, threads)
                self.ahead = next_rows_B, future
            return self._optimise(inputs, len(rows_B))
        _seed_layers(self.config.seed, step, self.job.rank, self.device)
        [(_, mirrored_B)] = self._microbatches(rows_B, step)
        row_or_image_B = rows_B if self.resident_NHWC is not None else self.images.read(rows_B)
        graph_inputs = (row_or_image_B,) if mirrored_B is None else (row_or_image_B, mirrored_B)
        return self.graph(*graph_inputs)["loss_and_norm"]

    def should_stop(self) -> bool:
        """Whether a stop was requested: of this process or, of several, of any one, as all agreed in the last step."""
        return self.stop_agreed if self.job.world_size > 1 else self.stop_requested()

    def wait(self) -> None:
        """Wait for a batch that is augmented ahead and forget it, so that nothing draws random numbers any more."""
        if self.ahead is not None:
            self.ahead[1].exception()
        self.ahead = None

    def release(self) -> None:
        """Free the memory of a GPU that captured steps and resident images take."""
        self.graph = self.resident_NHWC = None

    def _captured_step(self, given_B: torch.Tensor, mirrored_B: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """The step on a GPU, given the batch's images, uint8 (B, side, side, C), or their rows if all images lie there.

        `mirrored_B` says which of them are mirrored left to right.
        """
        batch_BHWC = given_B if self.resident_NHWC is None else self.resident_NHWC[given_B]
        if mirrored_B is not None:
            batch_BHWC = torch.where(mirrored_B.view(-1, 1, 1, 1), batch_BHWC.flip(2), batch_BHWC)
        x_NCHW = to_pixels(batch_BHWC, self.device, self.channels_last)
        return {"loss_and_norm": self._optimise([self._with_augmented(x_NCHW)], len(x_NCHW))}

    def _inputs(self, rows_B: np.ndarray, step: int) -> Iterator[Inputs]:
        """The model's inputs in a step, microbatch by microbatch; what it draws itself follows the same seed."""
        _seed_layers(self.config.seed, step, self.job.rank, self.device)
        for rows_M, mirrored_M in self._microbatches(rows_B, step):
            x_NCHW = training_batch(self.images, rows_M, self.device, mirrored_M, self.channels_last)
            yield self._with_augmented(x_NCHW)

    def _with_augmented(self, x_NCHW: torch.Tensor) -> Inputs:
        augmented = self.state.model.augment(x_NCHW)
        return (x_NCHW,) if augmented is None else (x_NCHW, augmented)

    def _augments_ahead(self) -> bool:
        """Whether the next batch is augmented in a thread of its own.

        With a thread on every core already, one more would hold up the others. torch.compile, while it compiles, sets
        the state of the random numbers back to an earlier one.
        """
        is_alone = self.device.type == "cpu" and self.job.world_size == 1 and not self.config.train.compile
        return is_alone and type(self.state.model).augment is not Model.augment and has_spare_cores()

    def _make_ahead(self, rows_B: np.ndarray, step: int, threads: int) -> list[Inputs]:
        torch.set_num_threads(threads)  # in this thread too, so that sums are the same to the last digit
        return list(self._inputs(rows_B, step))

    def _take_ahead(self, rows_B: np.ndarray) -> list[Inputs] | None:
        """The inputs that were made ahead, if for these rows (each has one step in an epoch); waits for the thread."""
        if self.ahead is None:
            return None
        ahead_rows_B, future = self.ahead
        inputs = future.result()
        self.ahead = None
        return inputs if np.array_equal(ahead_rows_B, rows_B) else None

    def _optimise(self, batches: Iterable[Inputs], count: int) -> torch.Tensor:
        """Step along the gradient of these microbatches of a batch of `count`; return its loss and gradient norm (2,).

        On a GPU nothing here may wait for it, since the step is captured (see CudaGraph).
        """
        state, train = self.state, self.config.train
        loss = torch.zeros((), device=self.device)
        for x_NCHW, *augmented in batches:
            with autocast(self.precision, self.device):
                output = self.model(x_NCHW, *augmented)
            share = objective(train.loss, output, x_NCHW).sum() / count
            state.scaler.scale(share).backward()
            loss += share.detach()
        loss, self.stop_agreed = all_reduce_gradients(state.model, loss, self.stop_requested())
        state.scaler.unscale_(state.optimizer)
        norm = clip_gradients(state.model, train.clip_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad()
        state.update_average()
        return torch.stack([loss, norm])

    def _microbatches(self, rows_B: np.ndarray, step: int) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """This process's rows of a batch, and which of them are mirrored, in microbatches that fit a CPU's cache."""
        flip = self.config.data.flip
        mirrored_B = mirror_mask(len(rows_B), self.config.seed, step) if flip else None
        rank_places = np.array_split(np.arange(len(rows_B)), self.job.world_size)[self.job.rank]
        count = 1
        if self.device.type == "cpu" and self.state.model.allows_microbatches():
            usual = CONV_MICROBATCH if self.channels_last else DENSE_MICROBATCH
            count = -(-len(rank_places) // (self.config.train.part_size or usual))
        places = np.array_split(rank_places, count)
        return [(rows_B[place_M], None if mirrored_B is None else mirrored_B[place_M]) for place_M in places]


def _seed_layers(seed: int, step: int, rank: int, device: torch.device) -> None:
    """Seed the random layers by step and process, so that there is no stream to restore when resuming."""
    # A CPU's generator uses only the low 32 bits of a number, so the seed must be mixed into those.
    layer_seed = step
    if seed or rank:
        layer_seed = int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])
    # torch.manual_seed would do all, but it records the call stack, which is slow.
    torch.default_generator.manual_seed(layer_seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(layer_seed)
    elif device.type == "mps":
        torch.mps.manual_seed(layer_seed)

"""Scoring images in batches: what stays in memory of each is its evidence, not its pixels."""

import contextlib
import itertools
from collections.abc import Collection, Generator, Sequence

import numpy as np
import torch

from hw8.base.cuda_graph import CudaGraph
from hw8.base.device import autocast, convolves, to_device
from hw8.base.processes import processes
from hw8.base.progress import progress_bar
from hw8.base.threads import in_threads
from hw8.data.arrays import Images, Readable, to_pixels
from hw8.data.loader import in_batches
from hw8.data.splits import evenly_spaced
from hw8.models.output import Model
from hw8.scoring.evidence import evidence
from hw8.scoring.folding import folded
from hw8.scoring.onednn import with_onednn

# Images that a model is diagnosed on: one batch that fits every memory; shares of them are good to two percent.
DIAGNOSED = 512
# Images at once in a thread of a CPU: of more, intermediate results no longer fit its caches. Measured on two cores.
MICROBATCH = 128


class Scorer:
    """A trained model, turning uint8 images into evidence: all of it, or only `evidence_names`.

    The model itself is moved to the device.
    """

    def __init__(
        self, model: Model, device: torch.device, precision: str, batch_size: int,
        evidence_names: Collection[str] | None = None,
    ) -> None:  # fmt: skip
        self.model = model.to(device).eval()
        self._quick = with_onednn(folded(self.model), precision, device)
        self._channels_last = convolves(model)
        self.device, self.precision, self.batch_size = device, precision, batch_size
        self.evidence_names = evidence_names
        self._graph = CudaGraph(self._evidence, device) if device.type == "cuda" else None

    def with_evidence(self, evidence_names: Collection[str] | None) -> "Scorer":
        """The same, giving only the evidence of these names, or all."""
        return Scorer(self.model, self.device, self.precision, self.batch_size, evidence_names)

    @torch.inference_mode()
    def reconstruct(self, batch_BHWC: np.ndarray) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
        """Reconstructions as float32 (B, H, W, C) in [-1, 1], if any, and the images' evidence: (B,) or (B, D).

        Images are uint8 (B, side, side, C), cropped as the model takes them (`Images.read`).
        """
        x_NCHW = self._pixels(to_device(batch_BHWC, self.device))
        with autocast(self.precision, self.device):
            output = self._quick(x_NCHW)
            evidence_by_name = evidence(self._quick, x_NCHW, output, self.evidence_names)
        arrays = {name: value.cpu().numpy() for name, value in evidence_by_name.items()}
        recon_NCHW = output.recon_NCHW
        return None if recon_NCHW is None else recon_NCHW.permute(0, 2, 3, 1).cpu().numpy(), arrays

    def _pixels(self, batch_BHWC: torch.Tensor) -> torch.Tensor:
        return to_pixels(batch_BHWC, self.device, self._channels_last)

    @torch.inference_mode()
    def evidence(self, batch_BHWC: np.ndarray) -> dict[str, np.ndarray]:
        """The evidence of such images alone, (B,) or (B, D) each: quicker where it needs no reconstruction."""
        evidence_by_name = self._evidence(to_device(batch_BHWC, self.device))
        return {name: value.cpu().numpy() for name, value in evidence_by_name.items()}

    def _evidence(self, batch_BHWC: torch.Tensor) -> dict[str, torch.Tensor]:
        x_NCHW = self._pixels(batch_BHWC)
        with autocast(self.precision, self.device):
            return evidence(self._quick, x_NCHW, evidence_names=self.evidence_names)

    def _results(self, batches: Sequence[np.ndarray], images: Readable) -> Generator[dict[str, np.ndarray], None, None]:
        """The evidence of each batch of rows, in order.

        A GPU computes the next one while the host stores the one before; on a CPU each thread computes its own.
        """
        if self._graph is None:
            each = in_threads if self.device.type == "cpu" else map
            yield from each(lambda rows_B: self.evidence(images.read(rows_B)), batches)
            return
        waiting: tuple[dict[str, torch.Tensor], torch.cuda.Event] | None = None
        for rows_B in itertools.chain(batches, [None]):
            started = None if rows_B is None else self._start(self._graph, images.read(rows_B))
            if waiting is not None:
                evidence_by_name, fetched = waiting
                fetched.synchronize()
                yield {name: value.numpy() for name, value in evidence_by_name.items()}
            waiting = started

    @torch.inference_mode()
    def _start(self, graph: CudaGraph, batch_BHWC: np.ndarray) -> tuple[dict[str, torch.Tensor], torch.cuda.Event]:
        """The evidence of a batch in the host's memory, complete when the event has happened.

        A short batch is filled up with copies of its first image, so that the graph of a whole one serves it.
        """
        count = len(batch_BHWC)
        filled_BHWC = np.concatenate([batch_BHWC, batch_BHWC[:1].repeat(self.batch_size - count, 0)])
        evidence_by_name = {
            name: value[:count].to("cpu", non_blocking=True) for name, value in graph(filled_BHWC).items()
        }
        fetched = torch.cuda.Event()
        fetched.record()
        return evidence_by_name, fetched

    def table(self, images: Readable, rows: np.ndarray, label: str | None = None) -> dict[str, np.ndarray]:
        """The evidence of these rows, in their order: float32 (len(rows),) or (len(rows), D) each.

        On a CPU several batches are read and computed at once, each in a thread. Several processes share the batches,
        and each returns the whole table. `label` shows a progress bar of that name on standard error.
        """
        job, batches = processes(), list(in_batches(rows, self.batch_size))
        if self.device.type == "cpu":
            batches = [part for rows_B in batches for part in np.array_split(rows_B, -(-len(rows_B) // MICROBATCH))]
        hidden = label is None or not job.is_main
        own = job.shard(batches)
        ends = np.cumsum([0, *map(len, own)])
        # Filled in place: a few small arrays kept of every batch would lie between the large ones that come and go, and
        # the heap would grow by as much as all images take.
        value_by_name: dict[str, np.ndarray] = {}
        results = self._results(own, images)
        with progress_bar(len(rows), label, "img", hidden) as bar, contextlib.closing(results):
            for evidence_by_name, (start, end) in zip(results, itertools.pairwise(ends), strict=True):
                for name, value in evidence_by_name.items():
                    if name not in value_by_name:
                        value_by_name[name] = np.empty((ends[-1], *value.shape[1:]), value.dtype)
                    value_by_name[name][start:end] = value
                bar.update(min((end - start) * job.world_size, len(rows) - bar.n))
        if job.world_size == 1:
            return value_by_name
        parts = [
            {name: value[start:end] for name, value in value_by_name.items()} for start, end in itertools.pairwise(ends)
        ]
        by_rank = job.all_gather(parts)
        parts = [by_rank[number % job.world_size][number // job.world_size] for number in range(len(batches))]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @torch.inference_mode()
    def diagnose(self, images: Images, rows: np.ndarray) -> dict[str, float]:
        """The model's diagnosis of itself on up to 512 of these rows, two batches at most."""
        diagnosed = evenly_spaced(rows, min(DIAGNOSED, 2 * self.batch_size))
        x_NCHW = to_pixels(torch.from_numpy(images.read(diagnosed)), self.device)
        with autocast(self.precision, self.device):
            return self.model.diagnose(x_NCHW)

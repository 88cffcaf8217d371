"""Speeds beside busy processes: what is left of the free rate where other programs use the cores too."""

import contextlib
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from benchmarks import course_loop
from benchmarks.speed import OURS, make_trainer, our_steps, preset_model, random_images
from hw8.base.device import channels_last, choose_device
from hw8.base.threads import OtherLoad, computing_threads
from hw8.config.presets import load_preset
from hw8.data.arrays import Images
from hw8.scoring.inference import Scorer

BUSY = (0, 1, 2)  # processes that compute without end
TRAINED, SCORED = ("resnet", "boss"), "boss"
CASES = len(TRAINED) + 1
IMAGES = 2048
# A process that computes until its parent is gone, so that none is left behind by a benchmark that is killed.
COMPUTING = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**6))"
STARTING = 0.5  # seconds until a busy process is busy: Python's start


@dataclasses.dataclass(frozen=True)
class Busy:
    """A rate beside so many busy processes, as shares of the free rate with all threads: medians, lowest and highest.

    `share` is with the threads that hw8 chooses, `threads` of them in the last turn; `all_threads` with one per core.
    """

    busy: int
    images_per_second: float
    threads: int
    share: float
    low: float
    high: float
    all_threads: float


def beside_busy_processes(seconds: float, repeats: int, advance: Callable[[Any], Any]) -> dict[str, Any]:
    """Each case's rates, and the cores that other programs used before: 0 on a free machine."""
    load = OtherLoad()
    time.sleep(1)
    others, cases = load.cores(), {}
    for preset in TRAINED:
        with training_rate(preset, seconds) as rate:
            cases[f"training {preset}"] = advance(_measured(rate, repeats))
    cases[f"scoring {SCORED}"] = advance(_measured(scoring_rate(SCORED, seconds), repeats, shared=True))
    return {"others_used_cores": others, "cases": cases}


def _measured(rate: Callable[[], float], repeats: int, shared: bool = False) -> list[dict[str, float]]:
    """The rate with each number of busy processes, in turns; `shared` as for `computing_threads`."""
    everything = torch.get_num_threads()
    chosen: dict[int, list[float]] = {count: [] for count in BUSY}
    fixed: dict[int, list[float]] = {count: [] for count in BUSY}
    threads = dict.fromkeys(BUSY, everything)
    rate()  # to warm up
    for _ in range(repeats):
        for count in BUSY:
            with _busy_processes(count):
                with computing_threads(shared=shared):
                    threads[count] = torch.get_num_threads()
                    chosen[count].append(rate())
                fixed[count].append(rate())
    rows = []
    for count in BUSY:
        shares = [a / b for a, b in zip(chosen[count], fixed[0], strict=True)]
        of_all = statistics.median(a / b for a, b in zip(fixed[count], fixed[0], strict=True))
        middle = statistics.median(chosen[count])
        row = Busy(count, middle, threads[count], statistics.median(shares), min(shares), max(shares), of_all)
        rows.append(dataclasses.asdict(row))
    return rows


@contextlib.contextmanager
def training_rate(preset: str, seconds: float) -> Iterator[Callable[[], float]]:
    """A function that trains for so many seconds and returns images per second."""
    config = dataclasses.replace(load_preset(preset), device="cpu")
    images = Images(random_images(IMAGES), config.data.crop)
    with tempfile.TemporaryDirectory() as folder:
        steps = our_steps(make_trainer(preset_model(config, images.side), images, config, folder))
        yield lambda: course_loop.images_per_second(steps, seconds)


def scoring_rate(preset: str, seconds: float) -> Callable[[], float]:
    """A function that scores for so many seconds and returns images per second."""
    config, images = load_preset(preset), Images(random_images(IMAGES))
    scoring = config.scoring
    evidence = scoring.evidence_names
    model = channels_last(preset_model(config))
    scorer = Scorer(model, choose_device("cpu"), OURS, scoring.score_batch_size, evidence)
    rows = np.arange(len(images))

    def rate() -> float:
        scorer.table(images, rows[: scoring.score_batch_size])  # the first batch after a change of threads starts them
        count, started = 0, time.perf_counter()
        while time.perf_counter() < started + seconds:
            scorer.table(images, rows)
            count += len(rows)
        return count / (time.perf_counter() - started)

    return rate


@contextlib.contextmanager
def _busy_processes(count: int) -> Iterator[None]:
    """So many processes that compute without end while the block runs."""
    running = [subprocess.Popen([sys.executable, "-S", "-c", COMPUTING]) for _ in range(count)]
    try:
        time.sleep(STARTING)
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()

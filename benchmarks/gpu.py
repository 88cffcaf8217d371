"""Speeds on a GPU beside the course's way on it, how long it is idle, and its scores beside the CPU's.

`python -m benchmarks.gpu` prints one JSON object. Speeds are measured on noise, scores on generated faces.
"""

import dataclasses
import itertools
import json
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks import course_loop
from benchmarks.speed import Ratio, epoch_end, make_trainer, our_steps, preset_model, random_images
from hw8.base.device import channels_last, choose_device, choose_precision
from hw8.base.environment import describe_environment
from hw8.config import Device, RunConfig
from hw8.config.presets import changed, load_preset
from hw8.data.arrays import Images
from hw8.data.demo import KINDS, demo_images
from hw8.data.splits import split_rows
from hw8.models.losses import objective
from hw8.models.output import Output
from hw8.runs.train import train_images
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.inference import Scorer

PRESETS = ("boss", "resnet", "fcn_crop")
IMAGES = 20_000  # about as many as the homework's test set has
SECONDS = 2.0  # of each training measured
REPEATS = 3
PROFILED = 20  # steps whose kernels are recorded
ON_GPU = ("kernel", "gpu_memcpy", "gpu_memset")  # categories of the recording
DEVICE: Device = "cuda"


def idle_share(steps: Iterator[int]) -> dict[str, float]:
    """Share of the time in which no kernel and no copy runs on the GPU, and kernels per step.

    Recording slows the host down: `idle_recorded` is the share of the recorded time, and `idle` that of the time that
    the same number of steps takes unrecorded.
    """
    unrecorded = statistics.median(seconds(lambda: list(itertools.islice(steps, PROFILED))) for _ in range(REPEATS))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA], acc_events=True) as profile:
        list(itertools.islice(steps, PROFILED))
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        profile.export_chrome_trace(f"{folder}/trace.json")
        events = json.loads(Path(folder, "trace.json").read_text())["traceEvents"]
    spans = sorted((event["ts"], event["ts"] + event["dur"]) for event in events if event.get("cat") in ON_GPU)
    end, busy = spans[0][0], 0.0
    for start, stop in spans:
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
    shares = {"idle": 1 - busy / 1e6 / unrecorded, "idle_recorded": 1 - busy / (end - spans[0][0])}
    return shares | {"kernels": len(spans) / PROFILED}


def training(config: RunConfig) -> dict[str, Any]:
    """Images per second of hw8's training and of the course's with the same model, loss and batches, in turns.

    Then the share of an epoch that its end takes, and how long the GPU is idle in both.
    """
    images = Images(random_images(IMAGES), config.data.crop)
    array = images.read(np.arange(len(images)))

    def loss_of(output: Output, image: torch.Tensor) -> torch.Tensor:
        return objective(config.train.loss, output, image).mean()

    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(preset_model(config, images.side), images, config, folder)
        ours = our_steps(trainer)
        course_model = preset_model(config, images.side)
        theirs = course_loop.train_steps(course_model, array, config.train.batch_size, DEVICE, loss_of)
        for steps in (ours, theirs):
            list(itertools.islice(steps, 20))  # to warm up

        def rate(steps: Iterator[int]) -> float:
            torch.cuda.synchronize()
            return course_loop.images_per_second(synchronised(steps), SECONDS)

        ratio = Ratio.in_turns(lambda: rate(ours), lambda: rate(theirs), REPEATS)
        epoch = len(trainer.splits.train) / ratio.ours
        ending = epoch_end(trainer, ours, epoch)
        result = dataclasses.asdict(ratio) | {"epoch_end": ending / (epoch + ending)}
        return result | idle_share(ours) | {"course_idle": idle_share(theirs)["idle"]}


def synchronised(steps: Iterator[int]) -> Iterator[int]:
    """The same steps, ten at a time, each ten finished on the GPU."""
    while True:
        count = sum(itertools.islice(steps, 10))
        torch.cuda.synchronize()
        yield count


def scoring(config: RunConfig) -> dict[str, Any]:
    """Images per second of hw8's scoring and of the course's (reconstruction error alone) with the same model."""
    images = Images(random_images(IMAGES), config.data.crop)
    rows, array = np.arange(len(images)), images.read(np.arange(len(images)))
    device = choose_device(DEVICE)
    ours = scorer(config, device, choose_precision("auto", device), images.side)
    course_model = preset_model(config, images.side)

    def our_rate() -> float:
        return len(rows) / seconds(lambda: ours.table(images, rows))

    def their_rate() -> float:
        return len(rows) / seconds(lambda: course_loop.score(course_model, array, config.train.batch_size, DEVICE))

    our_rate(), their_rate()  # to warm up
    return dataclasses.asdict(Ratio.in_turns(our_rate, their_rate, REPEATS))


def scorer(config: RunConfig, device: torch.device, precision: str, side: int) -> Scorer:
    """The preset's untrained model with the evidence that its score needs."""
    model = channels_last(preset_model(config, side))
    return Scorer(model, device, precision, config.scoring.score_batch_size, config.scoring.evidence_names)


def parity(config: RunConfig) -> dict[str, float]:
    """Spearman's correlation of the scores of generated faces with those of the CPU in float32, of the same run.

    Of the GPU in its own precision and in float32. The run is trained for two epochs on the GPU.
    """
    training, test = (Images(faces, config.data.crop) for faces in generated_faces())
    config = changed(dataclasses.replace(config, device=DEVICE), train={"epochs": 2, "least_steps": 0})
    content = train_images(config, training, split_rows(len(training), config.data)).to_bytes()

    def scores(device: Device, precision: Any) -> np.ndarray:
        run = TrainedRun.from_bytes(dataclasses.replace(config, device=device, precision=precision), content)
        return run.score(test, np.arange(len(test)))[run.score_name]

    expected = scores("cpu", "fp32")
    precisions = dict.fromkeys((choose_precision("auto", choose_device(DEVICE)), "fp32"))
    return {name: float(spearmanr(scores(DEVICE, name), expected).statistic) for name in precisions}


def generated_faces() -> tuple[np.ndarray, np.ndarray]:
    """Normal faces to train on, and faces of all kinds to score."""
    return demo_images("normal", 3000, seed=1), np.concatenate([demo_images(kind, 400, seed=2) for kind in KINDS])


def seconds(work: Any) -> float:
    """Seconds of a call, what it started on the GPU included."""
    started = torch.cuda.Event(enable_timing=True)
    ended = torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    started.record()
    work()
    ended.record()
    torch.cuda.synchronize()
    return started.elapsed_time(ended) / 1000


def measure(name: str) -> dict[str, Any]:
    """All of one preset, in a process that has recorded nothing before.

    In the third place in one process 1,567 kernels were recorded for a step of `boss`, in the first 961.
    """
    config = dataclasses.replace(load_preset(name), device=DEVICE)
    return {"scoring": scoring(config), "parity": parity(config), "training": training(config)}


def main() -> None:
    """Measure each preset in a process of its own, and print."""
    precision = choose_precision("auto", choose_device(DEVICE))
    results: dict[str, Any] = {"environment": describe_environment(), "precision": precision}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        for name, result in zip(PRESETS, pool.map(measure, PRESETS), strict=True):
            results[name] = result
            print(name, json.dumps(result), file=sys.stderr, flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()

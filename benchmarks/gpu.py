"""Speeds on a GPU beside the course's way on it, how long it is idle, and its scores beside the CPU's.

`python -m benchmarks.gpu` prints one JSON object. Speeds are measured on noise, scores on generated faces.
"""

import dataclasses
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks import course_loop
from benchmarks.speed import Ratio, make_trainer, our_steps, preset_model, random_images
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
from hw8.scoring.calibration import needed_evidence
from hw8.scoring.inference import Scorer

PRESETS = ("fcn_crop", "resnet", "boss")
IMAGES = 20_000  # about as many as the homework's test set has
SECONDS = 2.0  # of each training measured
REPEATS = 3
PROFILED = 20  # steps whose kernels are recorded
ON_GPU = ("kernel", "gpu_memcpy", "gpu_memset")  # categories of the recording
DEVICE: Device = "cuda"


def idle_share(steps: Iterator[int]) -> dict[str, float]:
    """Share of the time of some steps in which no kernel and no copy runs on the GPU, and kernels per step.

    Recording slows the host down, so that the share is rather too large.
    """
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
    return {"idle": 1 - busy / (end - spans[0][0]), "kernels": len(spans) / PROFILED}


def training(config: RunConfig) -> dict[str, Any]:
    """Images per second of hw8's training and of the course's with the same model, loss and batches, in turns."""
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
        return dataclasses.asdict(ratio) | idle_share(ours) | {"course_idle": idle_share(theirs)["idle"]}


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
    wanted = needed_evidence(config.scoring.score, config.scoring.parts, config.scoring.fused)
    model = channels_last(preset_model(config, side))
    return Scorer(model, device, precision, config.scoring.score_batch_size, wanted)


def parity(config: RunConfig) -> dict[str, float]:
    """Spearman's correlation of the scores of generated faces with those of the CPU in float32, of the same run.

    Of the GPU in its own precision and in float32. The run is trained for two epochs on the GPU.
    """
    training = Images(demo_images("normal", 3000, seed=1), config.data.crop)
    faces = [demo_images(kind, 400, seed=2) for kind in KINDS]
    test = Images(np.concatenate(faces), config.data.crop)
    config = changed(dataclasses.replace(config, device=DEVICE), train={"epochs": 2, "least_steps": 0})
    content = train_images(config, training, split_rows(len(training), config.data)).to_bytes()

    def scores(device: Device, precision: Any) -> np.ndarray:
        run = TrainedRun.from_bytes(dataclasses.replace(config, device=device, precision=precision), content)
        return run.score(test, np.arange(len(test)))[run.score_name]

    expected = scores("cpu", "fp32")
    precisions = dict.fromkeys((choose_precision("auto", choose_device(DEVICE)), "fp32"))
    return {name: float(spearmanr(scores(DEVICE, name), expected).statistic) for name in precisions}


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


def main() -> None:
    """Measure and print."""
    precision = choose_precision("auto", choose_device(DEVICE))
    results: dict[str, Any] = {"environment": describe_environment(), "precision": precision}
    for name in PRESETS:
        config = load_preset(name)
        results[name] = {"training": training(config), "scoring": scoring(config), "parity": parity(config)}
        print(name, json.dumps(results[name]), file=sys.stderr, flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()

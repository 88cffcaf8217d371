"""Speeds of training and scoring beside the course's way, in pairs, on the same models, images and machine."""

import contextlib
import copy
import dataclasses
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import hw8.models.recogniser
import hw8.training.step
from benchmarks import course_loop
from hw8.base.device import autocast, channels_last, choose_device, choose_precision
from hw8.config import RunConfig
from hw8.config.presets import changed, load_preset
from hw8.data.arrays import Images
from hw8.data.loader import epoch_batches
from hw8.data.splits import split_rows
from hw8.models import create_model
from hw8.models.blocks import Autoencoder
from hw8.models.output import Model
from hw8.scoring.inference import Scorer
from hw8.training.checkpoint import TrainingState
from hw8.training.history import MetricsWriter
from hw8.training.loop import MIN_SAVE_SECONDS, Trainer
from hw8.training.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
STUDENT = "student_resnet"
CASES = {"course_cnn": 2000, STUDENT: 128, "course_fcn": 2000}  # batch size of each model
TRAINED, SCORED = 8888, 2000  # images; hw8 holds 888 of the first out, so that its batches are whole
CPU = RunConfig(device="cpu")  # the course's way is measured there, so ours is
OURS = choose_precision(CPU.precision, choose_device(CPU.device))
SETTINGS = {OURS: CPU} | {"fp32": RunConfig(device="cpu", precision="fp32")}  # in float32, as the course's way
WARM_UP = 5  # steps before a step is measured: the first ones allocate memory and choose convolution kernels


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How many times as fast ours is: the median of the pairs, the lowest and the highest, and both rates' medians."""

    ratio: float
    low: float
    high: float
    ours: float
    reference: float

    @classmethod
    def in_turns(cls, ours: Callable[[], float], reference: Callable[[], float], repeats: int) -> "Ratio":
        """From images per second, measured in turns several times."""
        pairs = [(ours(), reference()) for _ in range(repeats)]
        ratios = [a / b for a, b in pairs]
        our_rate, their_rate = map(statistics.median, zip(*pairs, strict=True))
        return cls(statistics.median(ratios), min(ratios), max(ratios), our_rate, their_rate)


def random_images(count: int) -> np.ndarray:
    """Noise of the homework's shape: speed does not depend on what is in an image."""
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def preset_model(config: RunConfig, side: int = 64) -> Model:
    """The untrained model of a preset, with the same weights each time."""
    torch.manual_seed(0)
    return create_model(config.model.name, side, 3, config.model.options)


def build(name: str) -> Model:
    """A model of the comparison, with the same weights each time."""
    if name != STUDENT:
        return preset_model(load_preset(name))
    torch.manual_seed(0)
    return Autoencoder(course_loop.StudentEncoder(), course_loop.StudentDecoder())


def make_trainer(model: Model, images: Images, config: RunConfig, folder: str) -> Trainer:
    """hw8's training loop on a model, as train.py sets it up."""
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    state = TrainingState(channels_last(model.to(device)), config.train, images.fingerprint(), precision)
    trainer = Trainer(config, images, split_rows(len(images), config.data), state, precision)
    trainer.folder = RunFolder(Path(folder))
    return trainer


def our_steps(trainer: Trainer) -> Iterator[int]:
    """Train as hw8 does, repeating the first epoch; gives the number of images after each step."""
    while True:
        for count, _ in trainer.steps():
            yield count
        trainer.state.progress.step = 0


def training(name: str, seconds: float, repeats: int, settings: RunConfig) -> Ratio:
    """Images per second of hw8's loop with those settings and of the course's, which is in float32, in turns."""
    with tempfile.TemporaryDirectory() as folder, _reference("training", name, seconds) as theirs:
        config = changed(settings, train={"batch_size": CASES[name], "epochs": 1000})
        steps = our_steps(make_trainer(build(name), Images(random_images(TRAINED)), config, folder))
        return Ratio.in_turns(lambda: course_loop.images_per_second(steps, seconds), theirs, repeats)


def scoring(name: str, repeats: int, settings: RunConfig) -> Ratio:
    """Images per second of hw8's scoring with those settings and of the course's, which is in float32, in turns."""
    images, device = Images(random_images(SCORED)), choose_device(settings.device)
    scorer = Scorer(channels_last(build(name)), device, choose_precision(settings.precision, device), 256, ("rse",))
    with _reference("scoring", name, 0.0) as theirs:

        def ours() -> float:
            return SCORED / _once(lambda: scorer.table(images, np.arange(SCORED)))

        ours(), theirs()  # to warm up
        return Ratio.in_turns(ours, theirs, repeats)


@contextlib.contextmanager
def _reference(what: str, name: str, seconds: float) -> Iterator[Callable[[], float]]:
    """A function that measures the course's way, in a process of its own, which has the C library's usual memory."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve_rates, args=(there, what, name, seconds), daemon=True)
    process.start()
    there.close()
    here.recv()  # ready

    def rate() -> float:
        here.send(True)
        return float(here.recv())

    try:
        yield rate
    finally:
        here.close()
        process.join()


def _serve_rates(requests: Connection, what: str, name: str, seconds: float) -> None:
    """Send images per second of the course's training or scoring for each request, until the pipe is closed."""
    model, array = build(name), random_images(TRAINED if what == "training" else SCORED)
    steps = course_loop.train_steps(model, array, CASES[name])

    def rate() -> float:
        if what == "training":
            return course_loop.images_per_second(steps, seconds)
        return SCORED / _once(lambda: course_loop.score(model, array, CASES[name]))

    requests.send(True)
    with contextlib.suppress(EOFError):
        while requests.recv():
            requests.send(rate())


def step_shares(preset: str, steps: int) -> dict[str, float]:
    """A preset's images per second, and the shares of a step that are not the model's own work.

    `reading` is reading, mirroring and converting; `augmenting` the changes a recogniser learns to tell; `optimiser`
    clipping, AdamW and the averaged weights, which every training has; `logging` fetching losses. The rest is the
    model, forward and backward. `epoch_end` is what an epoch ends with, as a share of it: the held-out loss, pictures,
    and saving as often as epochs of that length are saved.
    """
    config = dataclasses.replace(load_preset(preset), device="cpu")
    images = Images(random_images(8000), config.data.crop)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        trainer = make_trainer(preset_model(config, images.side), images, config, folder)
        seconds = dict.fromkeys(("step", "reading", "augmenting", "optimiser", "logging"), 0.0)
        for owner, attribute, part in (
            (trainer, "step", "step"),
            (hw8.training.step, "training_batch", "reading"),
            (hw8.training.step, "mirror_mask", "reading"),
            (hw8.models.recogniser, "transform", "augmenting"),
            (hw8.training.step, "clip_gradients", "optimiser"),
            (trainer.state.optimizer, "step", "optimiser"),
            (trainer.state, "update_average", "optimiser"),
            (trainer, "fetch_losses", "logging"),
        ):
            stack.enter_context(_timed(owner, attribute, seconds, part))
        running = our_steps(trainer)
        for _ in range(WARM_UP):
            next(running)
        seconds.update(dict.fromkeys(seconds, 0.0))
        count = sum(next(running) for _ in range(steps))
        whole = seconds["step"] + seconds["logging"]
        shares = {part: value / whole for part, value in seconds.items() if part != "step"}
        epoch = len(trainer.splits.train) * whole / count
        ending = epoch_end(trainer, running, epoch)
    return {"images_per_second": count / whole, **shares, "epoch_end": ending / (epoch + ending)}


@contextlib.contextmanager
def _timed(owner: Any, attribute: str, seconds: dict[str, float], part: str) -> Iterator[None]:
    """Add the time of every call of `owner.attribute` to a part of `seconds`, while the block runs."""
    original = getattr(owner, attribute)

    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            seconds[part] += time.perf_counter() - started

    setattr(owner, attribute, timed)
    try:
        yield
    finally:
        setattr(owner, attribute, original)


def epoch_end(trainer: Trainer, running: Iterator[int], epoch: float) -> float:
    """Seconds at the end of an epoch of so many seconds, on average over those that save and those that do not."""
    writer = MetricsWriter(None, 0)
    trainer.finish_epoch(writer)  # warms up; the first epoch saves
    without_saving = []
    for _ in range(3):
        next(running)
        trainer.saved_at = time.monotonic()
        without_saving.append(_once(lambda: trainer.finish_epoch(writer)))
    trainer.best = copy.deepcopy(trainer.state.average)
    return statistics.median(without_saving) + _once(trainer.save) * epoch / max(epoch, MIN_SAVE_SECONDS)


def _once(work: Callable[[], object]) -> float:
    """Seconds of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _seconds(work: Callable[[], object], least: int = 3, budget: float = 0.3) -> float:
    """Median seconds of at least so many calls, and of at least `budget` seconds of them, after one to warm up."""
    work()
    times: list[float] = []
    while len(times) < least or sum(times) < budget:
        times.append(_once(work))
    return statistics.median(times)


def arithmetic_share(preset: str, repeats: int) -> dict[str, float]:
    """The model's step beside its convolutions and matrix products run alone, forward and backward, one by one.

    `share` is their time over the time of the model's forward and backward pass; `gflops` the rate of the pass and
    `alone_gflops` that of the layers alone.
    """
    from torch.utils.flop_counter import FlopCounterMode

    config, device = load_preset(preset), choose_device("cpu")
    precision, side = choose_precision(config.precision, device), config.data.crop or 64
    model = channels_last(preset_model(config, side).to(device)).train()
    x_NCHW = torch.rand(config.train.batch_size, 3, side, side, device=device).to(memory_format=torch.channels_last)
    layers: list[tuple[nn.Module, torch.Tensor]] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs: layers.append((module, inputs[0].detach().clone())))
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]

    def step() -> None:
        model.zero_grad()
        with autocast(precision, device):
            output = model(x_NCHW)
        output.recon_NCHW.float().square().mean().backward()

    step()
    # The layers are recorded with the inputs that the model gives them, to be run alone on the same shapes.
    for hook in hooks:
        hook.remove()
    with FlopCounterMode(display=False) as counter:
        step()
    gflops = counter.get_total_flops() / 1e9
    pairs = [(sum(_alone(*layer, precision, device) for layer in layers), _seconds(step)) for _ in range(repeats)]
    shares = [alone / whole for alone, whole in pairs]
    alone, whole = map(statistics.median, zip(*pairs, strict=True))
    share = {"share": statistics.median(shares), "low": min(shares), "high": max(shares)}
    return share | {"gflops": gflops / whole, "alone_gflops": gflops / alone}


def _alone(module: nn.Module, x: torch.Tensor, precision: str, device: torch.device) -> float:
    """Seconds of a layer's forward and backward pass, its input and output gradients in the arithmetic of the model."""
    wide = torch.bfloat16 if precision == "bf16" else torch.float32
    inputs = x.to(wide).requires_grad_(x.shape[1] != 3)  # no gradient flows to the pixels
    with autocast(precision, device):
        gradient = torch.randn_like(module(inputs))

    def work() -> None:
        module.zero_grad()
        inputs.grad = None
        with autocast(precision, device):
            output = module(inputs)
        output.backward(gradient)

    return _seconds(work)


def boss_profile(repeats: int) -> dict[str, float]:
    """Images per second that `boss` scores, and the share of each piece of evidence in it.

    Untrained weights: the time does not depend on them.
    """
    config, device = load_preset("boss"), choose_device("cpu")
    precision, scoring = choose_precision(config.precision, device), config.scoring
    model = channels_last(preset_model(config).to(device))
    images = Images(random_images(2048))
    rows = np.arange(len(images))

    def seconds(evidence: tuple[str, ...]) -> float:
        scorer = Scorer(model, device, precision, scoring.score_batch_size, evidence)
        return _seconds(lambda: scorer.table(images, rows), least=repeats, budget=0.0)

    whole = seconds(scoring.evidence_names)
    reading = _seconds(lambda: [images.read(batch) for batch in epoch_batches(rows, 256, 0, 0)])
    texture = seconds(("texture",)) - reading  # which needs neither the encoder nor a reconstruction
    return {
        "images_per_second": len(rows) / whole,
        "reading": reading / whole,
        "texture": texture / whole,
        "recogniser_of_image_and_mirror_image": (whole - texture - reading) / whole,
    }


# Trains from the command line and leaves after the first step.
FIRST_STEP = """
import os, runpy, sys
from hw8.training.loop import Trainer
step = Trainer.step
def step_and_leave(self, *rows):
    step(self, *rows)
    os._exit(0)
Trainer.step = step_and_leave
del sys.argv[0]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def start_seconds(repeats: int) -> dict[str, float]:
    """Seconds from a command to its help text, and to the end of its first training step (the data are there)."""
    script = str(ROOT / "scripts" / "train.py")
    times: dict[str, list[float]] = {"help": [], "first_step": []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(repeats):
            out = f"{folder}/{turn}"
            commands = {
                "help": [sys.executable, script, "--help"],
                "first_step": [sys.executable, "-c", FIRST_STEP, script, "--data", "demo", "--out", out],
            }
            for name, command in commands.items():
                started = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}

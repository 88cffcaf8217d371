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
from hw8.scoring.calibration import needed_evidence
from hw8.scoring.inference import Scorer
from hw8.training.checkpoint import TrainingState
from hw8.training.history import Board
from hw8.training.loop import SHORT, Trainer
from hw8.training.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
STUDENT = "student_resnet"
CASES = {"course_cnn": 2000, STUDENT: 128, "course_fcn": 2000}
TRAINED, SCORED = 8888, 2000  # hw8 holds 888 of the first out, so that its batches are whole
CPU = RunConfig(device="cpu")  # the course's way is measured there, so ours is
OURS = choose_precision(CPU.precision, choose_device(CPU.device))
SETTINGS = {OURS: CPU} | {"fp32": RunConfig(device="cpu", precision="fp32")}  # in float32, as the course's way


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How many times as fast ours is: the median of the pairs, the lowest and the highest, and both rates' medians."""

    ratio: float
    low: float
    high: float
    ours: float
    reference: float

    @classmethod
    def of(cls, ours: list[float], reference: list[float]) -> "Ratio":
        """From images per second, pair by pair."""
        ratios = [a / b for a, b in zip(ours, reference, strict=True)]
        middle = statistics.median
        return cls(middle(ratios), min(ratios), max(ratios), middle(ours), middle(reference))


def build(name: str) -> Model:
    """A model of the comparison, its weights the same each time."""
    torch.manual_seed(0)
    if name == STUDENT:
        return Autoencoder(course_loop.StudentEncoder(), course_loop.StudentDecoder())
    preset = load_preset(name)
    return create_model(preset.model.name, 64, 3, preset.model.options)


def random_images(count: int, seed: int = 0) -> np.ndarray:
    """Noise of the homework's shape: speed does not depend on what is in an image."""
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def make_trainer(model: Model, images: Images, config: RunConfig, folder: Path) -> Trainer:
    """hw8's training loop on a model, as train.py sets it up."""
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    state = TrainingState(channels_last(model.to(device)), config.train, images.fingerprint())
    return Trainer(config, RunFolder(folder), images, split_rows(len(images), config.data), state, precision)


def our_steps(trainer: Trainer) -> Iterator[int]:
    """Train as hw8 does, the first epoch over and over; gives the number of images after each step."""
    while True:
        for count, _ in trainer.steps():
            yield count
        trainer.state.progress.step = 0


def training(name: str, seconds: float, repeats: int, settings: RunConfig) -> Ratio:
    """Images per second of hw8's loop with those settings and of the course's, which is in float32, in turns."""
    with tempfile.TemporaryDirectory() as folder, _reference("training", name, seconds) as theirs:
        config = changed(settings, train={"batch_size": CASES[name], "epochs": 1000})
        steps = our_steps(make_trainer(build(name), Images(random_images(TRAINED)), config, Path(folder)))
        return _in_turns(lambda: course_loop.images_per_second(steps, seconds), theirs, repeats)


def scoring(name: str, repeats: int, settings: RunConfig) -> Ratio:
    """Images per second of hw8's scoring with those settings and of the course's, which is in float32, in turns."""
    images, device = Images(random_images(SCORED)), choose_device(settings.device)
    scorer = Scorer(channels_last(build(name)), device, choose_precision(settings.precision, device), 256, ("rse",))
    with _reference("scoring", name, 0.0) as theirs:
        ours: Callable[[], float] = lambda: SCORED / _once(lambda: scorer.table(images, np.arange(SCORED)))  # noqa: E731
        ours(), theirs()  # to warm up
        return _in_turns(ours, theirs, repeats)


def _in_turns(ours: Callable[[], float], theirs: Callable[[], float], repeats: int) -> Ratio:
    """Measure one, then the other, several times."""
    pairs = [(ours(), theirs()) for _ in range(repeats)]
    return Ratio.of([a for a, _ in pairs], [b for _, b in pairs])


@contextlib.contextmanager
def _reference(what: str, name: str, seconds: float) -> Iterator[Callable[[], float]]:
    """The course's way in a process of its own, which has the C library's memory as it comes; asked for its rate."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_answer, args=(there, what, name, seconds), daemon=True)
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


def _answer(asked: Connection, what: str, name: str, seconds: float) -> None:
    """Images per second of the course's training or scoring, measured whenever asked for, until nobody asks."""
    model = build(name)
    if what == "training":
        steps = course_loop.train_steps(model, random_images(TRAINED), CASES[name])
        work: Callable[[], float] = lambda: course_loop.images_per_second(steps, seconds)  # noqa: E731
    else:
        array = random_images(SCORED)
        work = lambda: SCORED / _once(lambda: course_loop.score(model, array, CASES[name]))  # noqa: E731
    asked.send(True)
    with contextlib.suppress(EOFError):
        while asked.recv():
            asked.send(work())


def step_shares(preset: str, steps: int) -> dict[str, float]:
    """A preset's images per second, and the shares of a step that are not the model's own work.

    `reading` is reading, mirroring and converting; `augmenting` the changes a recogniser learns to tell; `optimiser`
    clipping, AdamW and the averaged weights, which every training has; `logging` fetching losses. The rest is the
    model, forward and backward. `epoch_end` is what an epoch ends with, as a share of it: the held-out loss, pictures,
    and saving as often as epochs of that length are saved.
    """
    config = dataclasses.replace(load_preset(preset), device="cpu")
    array = random_images(8000)
    images = Images(array, config.data.crop)
    torch.manual_seed(0)
    model = create_model(config.model.name, images.side, images.channels, config.model.options)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(model, images, config, Path(folder))
        clock = _Clock()
        clock.wrap(trainer, "step", "step")
        clock.wrap_module("hw8.training.loop", "training_batch", "reading")
        clock.wrap_module("hw8.training.loop", "mirrored_rows", "reading")
        clock.wrap_module("hw8.models.recogniser", "transform", "augmenting")
        clock.wrap(torch.nn.utils, "clip_grad_norm_", "optimiser")
        clock.wrap(trainer.state.optimizer, "step", "optimiser")
        clock.wrap(trainer.state, "update_average", "optimiser")
        clock.wrap(trainer, "settle", "logging")
        running = our_steps(trainer)
        try:
            for _ in range(5):
                next(running)
            clock.seconds.clear()
            count = sum(next(running) for _ in range(steps))
            whole = clock.seconds["step"] + clock.seconds.get("logging", 0.0)
            epoch = len(trainer.splits.train) * whole / count
            ending = _epoch_end(trainer, running, epoch)
        finally:
            clock.restore()
    shares = {name: clock.seconds.get(name, 0.0) / whole for name in ("reading", "augmenting", "optimiser", "logging")}
    return {"images_per_second": count / whole, **shares, "epoch_end": ending / (epoch + ending)}


def _epoch_end(trainer: Trainer, running: Iterator[int], epoch: float) -> float:
    """Seconds at the end of an epoch of so many seconds, on average over those that save and those that do not."""
    board = Board(None, 0)
    trainer.finish_epoch(board)  # warms up; the first epoch saves
    found = []
    for _ in range(3):
        next(running)
        trainer.saved_at = time.monotonic()
        found.append(_once(lambda: trainer.finish_epoch(board)))
    trainer.best = copy.deepcopy(trainer.state.average)
    return statistics.median(found) + _once(trainer.save) * epoch / max(epoch, SHORT)


def _once(work: Callable[[], object]) -> float:
    """Seconds of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class _Clock:
    """Adds up the time that functions take, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._undo: list[Callable[[], None]] = []

    def wrap(self, owner: Any, attribute: str, name: str) -> None:
        """Time every call of `owner.attribute`."""
        original = getattr(owner, attribute)

        def timed(*words: Any, **more: Any) -> Any:
            started = time.perf_counter()
            try:
                return original(*words, **more)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

        setattr(owner, attribute, timed)
        self._undo.append(lambda: setattr(owner, attribute, original))

    def wrap_module(self, module: str, attribute: str, name: str) -> None:
        """Time every call of a module's function."""
        self.wrap(sys.modules[module], attribute, name)

    def restore(self) -> None:
        """Put the functions back."""
        for undo in self._undo:
            undo()


def arithmetic_share(preset: str, repeats: int) -> dict[str, float]:
    """The model's step beside its convolutions and matrix products run alone, forward and backward, one by one.

    `share` is their time over the time of the model's forward and backward pass; `gflops` the rate of the pass and
    `alone_gflops` that of the layers alone.
    """
    from torch.utils.flop_counter import FlopCounterMode

    config = dataclasses.replace(load_preset(preset), device="cpu")
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    side = config.data.crop or 64
    torch.manual_seed(0)
    model = channels_last(create_model(config.model.name, side, 3, config.model.options).to(device)).train()
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
    for hook in hooks:
        hook.remove()
    with FlopCounterMode(display=False) as counter:
        step()
    flops = counter.get_total_flops()
    whole, alone = [], []
    for _ in range(repeats):
        whole.append(_seconds(step))
        alone.append(sum(_alone(module, x, precision, device) for module, x in layers))
    pairs = [a / b for a, b in zip(alone, whole, strict=True)]
    return {
        "share": statistics.median(pairs),
        "low": min(pairs),
        "high": max(pairs),
        "gflops": flops / statistics.median(whole) / 1e9,
        "alone_gflops": flops / statistics.median(alone) / 1e9,
    }


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


def _seconds(work: Callable[[], object], least: int = 3, budget: float = 0.3) -> float:
    """Median seconds of a call, after one to warm up."""
    work()
    found: list[float] = []
    while len(found) < least or sum(found) < budget:
        found.append(_once(work))
    return statistics.median(found)


def boss_profile(repeats: int) -> dict[str, float]:
    """Images per second that `boss` scores, and the share of each piece of evidence in it.

    Untrained weights: the time does not depend on them.
    """
    config = dataclasses.replace(load_preset("boss"), device="cpu")
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    torch.manual_seed(0)
    model = channels_last(create_model(config.model.name, 64, 3, config.model.options).to(device))
    images = Images(random_images(2048))
    rows = np.arange(len(images))

    def rate(wanted: tuple[str, ...]) -> float:
        scorer = Scorer(model, device, precision, config.scoring.score_batch_size, wanted)
        return _seconds(lambda: scorer.table(images, rows), least=repeats, budget=0.0)

    whole = rate(needed_evidence(config.scoring.score, config.scoring.parts))
    texture = rate(("texture",)) - rate(("latent",))
    reading = _seconds(lambda: [images.read(batch) for batch in epoch_batches(rows, 256, 0, 0)])
    nothing = rate(("latent",))
    recogniser = whole - texture - nothing
    return {
        "images_per_second": len(rows) / whole,
        "reading": reading / whole,
        "texture": texture / whole,
        "recogniser_of_image_and_mirror_image": recogniser / whole,
        "reconstruction_and_latent": (nothing - reading) / whole,
    }


def start_seconds(repeats: int) -> dict[str, float]:
    """Seconds from a command to its help text, and to the end of its first training step (the data are there)."""
    first = (
        "import sys, hw8.models; from hw8.training.loop import Trainer; step = Trainer.step\n"
        "def once(self, rows_B):\n    step(self, rows_B); import os; os._exit(0)\n"
        "Trainer.step = once; import runpy; sys.argv = ['train.py', '--data', 'demo', '--out', sys.argv[1]]\n"
        f"runpy.run_path({str(ROOT / 'scripts' / 'train.py')!r}, run_name='__main__')"
    )
    found: dict[str, list[float]] = {"help": [], "first_step": []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(repeats):
            words = {
                "help": [sys.executable, str(ROOT / "scripts" / "train.py"), "--help"],
                "first_step": [sys.executable, "-c", first, f"{folder}/{turn}"],
            }
            for name, command in words.items():
                started = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
                found[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in found.items()}

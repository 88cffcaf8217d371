"""The literature's one-class protocol: each class of a labelled set is normal in turn, the others are anomalies.

The mean ROC-AUC is that over classes, then over seeds (Ruff 2018, section 4; Golan and El-Yaniv 2018, section 5).
"""

import dataclasses
import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hw8.base.errors import InputError, Interrupted, printable, shown
from hw8.base.interrupts import stopping_as_interrupted
from hw8.base.lock import locked
from hw8.config import RunConfig, to_yaml
from hw8.config.presets import PRESETS, changed, load_preset, unknown_preset
from hw8.data.arrays import Images
from hw8.data.splits import SMALLEST, split_rows
from hw8.evaluation.classical import CLASSICAL, CROPS, described, fit_classical
from hw8.evaluation.held_out import HeldOut, evaluate_held_out
from hw8.evaluation.metrics import roc_auc
from hw8.oneclass.results import MEASURED, Measured, Row, read_ledger, write_ledger
from hw8.oneclass.sources import DIGITS, Labelled, LabelledSource
from hw8.runs.train import train_run
from hw8.scoring.tails import check_scores

VERSION = 2  # of what a result is made of: raise it where old results are no longer comparable
LEDGERS = Path("submissions/oneclass")

log = logging.getLogger(__name__)


def default_preset(source: LabelledSource) -> str:
    """The preset for a set, chosen by what it is, never by its test labels."""
    return "boss_digits" if source.name == DIGITS else "boss_quick"


def named(name: str) -> RunConfig:
    """The settings of a preset, or of a detector without gradient. Raises InputError for an unknown name."""
    if name in CLASSICAL:
        return RunConfig(preset=name)
    if name not in PRESETS:
        raise unknown_preset(name, described())
    return load_preset(name)


def suited(config: RunConfig, mirror: bool) -> RunConfig:
    """The settings as they are where normal images stay normal in the mirror, else without any mirroring."""
    if mirror:
        return config
    options = config.model.options | ({"mirror": False} if config.model.name == "recogniser" else {})
    return changed(config, data={"flip": False}, model={"options": options})


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be measured: every class named, or all of them, with every seed; and the file of finished results."""

    source: LabelledSource
    config: RunConfig
    seeds: tuple[int, ...] = (0,)
    classes: tuple[str, ...] = ()
    epochs: int | None = None
    ledger: Path | None = None

    def __post_init__(self) -> None:
        if (
            not self.seeds
            or not all(0 <= seed < 2**32 for seed in self.seeds)
            or len(set(self.seeds)) < len(self.seeds)
        ):
            raise InputError(f"`seeds` {' '.join(map(str, self.seeds))}: give whole numbers from 0, each once")
        if self.epochs is not None and self.epochs < 1:
            raise InputError(f"`epochs` {self.epochs}: must be at least 1")
        known = self.source.classes()
        unknown = [name for name in self.classes if name not in known]
        if unknown:
            names = shown(", ".join(known), 300)
            raise InputError(f"`classes` {unknown[0]}: no class of {self.source.name}; choose of {names}")
        if self.config.scoring.transductive:
            raise InputError(
                f"`preset` {self.config.preset}: looks at all test images at once, and the protocol scores each alone; "
                "choose another preset"
            )

    def normal(self) -> list[str]:
        """The classes that are normal in turn."""
        return list(dict.fromkeys(self.classes)) or self.source.classes()

    def file(self) -> Path:
        """The ledger: a row for each class and seed that is finished."""
        return self.ledger or LEDGERS / f"{self.source.name}-{self.config.preset}.csv"


def measure(plan: Plan, advance: Callable[[str], object] = lambda _: None) -> Measured:
    """Train on each class with each seed, as far as the ledger has no result of it, and measure on the test images.

    A result counts as finished if it was made from the same images and settings; others stay in the ledger, unused,
    which is said. `advance` gets a line after each class, finished before or now. Raises InputError for a class that
    is too small, before anything is trained, and for a ledger that is none; Interrupted, with all that is finished
    kept.
    """
    _check_classes(plan, plan.source.cut(plan.seeds[0]))  # other seeds cut classes into parts of the same sizes
    ledger = plan.file()
    if ledger.suffix != ".csv":
        raise InputError(f"`out` {ledger}: must end in .csv")
    message = f"stopped; what is finished is in {ledger}, and the same command goes on"
    with stopping_as_interrupted(message), locked(ledger.with_suffix("")):
        try:
            return _measure(plan, ledger, advance)
        except Interrupted:
            raise Interrupted(message) from None  # the class's own run, which the message names, is gone


def _measure(plan: Plan, ledger: Path, advance: Callable[[str], object]) -> Measured:
    rows = read_ledger(ledger)
    named = {(row["seed"], row["class"]) for row in rows}
    finished = {(row["fingerprint"], row["class"]): row for row in rows}
    found: dict[int, dict[str, Row]] = {seed: {} for seed in plan.seeds}
    for seed in plan.seeds:
        cut, told = plan.source.cut(seed), False  # one cut at a time is held in memory
        config = _settings(plan, seed)
        mark = _fingerprint(cut.fingerprint(), config)
        for name in plan.normal():
            if (mark, name) not in finished:
                if (str(seed), name) in named and not told:
                    told = True
                    log.warning("%s: has results of seed %d of other settings or data; measured anew", ledger, seed)
                made = {"fingerprint": mark, "preset": config.preset, "seed": str(seed), "class": name}
                with tempfile.TemporaryDirectory() as folder:
                    finished[mark, name] = made | _one(cut, name, config, Path(folder))
                rows.append(finished[mark, name])
                write_ledger(ledger, rows)
            found[seed][name] = finished[mark, name]
            advance(f"seed {seed}: {name} as normal {float(found[seed][name]['auc']):.4f}")
    return Measured(found)


def _check_classes(plan: Plan, cut: Labelled) -> None:
    """Refuse classes that cannot be learned from, or tested with."""
    train_N, test_N = cut.train_class_N.astype(str), cut.test_class_N.astype(str)
    for name in plan.normal():
        count, inside = int((train_N == name).sum()), int((test_N == name).sum())
        where = f"{cut.name}: class {printable(name, 80)}"
        if count < SMALLEST:
            raise InputError(f"{where} has {count} images to train on; at least {SMALLEST} are needed: see `classes`")
        if not inside or inside == len(test_N):
            raise InputError(f"{where} is {'all' if inside else 'none'} of the test images; some and others are needed")


def _settings(plan: Plan, seed: int) -> RunConfig:
    """The settings with a seed and, if they are asked for, so many epochs and no more."""
    config = dataclasses.replace(plan.config, seed=seed)
    return config if plan.epochs is None else changed(config, train={"epochs": plan.epochs, "least_steps": 0})


def _fingerprint(data: str, config: RunConfig) -> str:
    return hashlib.sha256(json.dumps([VERSION, data, to_yaml(config)]).encode()).hexdigest()[:16]


def _one(cut: Labelled, normal: str, config: RunConfig, folder: Path) -> Row:
    """Learn a class, score the test images, and say what came of it."""
    started = time.perf_counter()
    train_NHWC = cut.train_NHWC[cut.train_class_N.astype(str) == normal]
    learn = _classical if config.preset in CLASSICAL else _trained
    score_N, held_out, epochs = learn(train_NHWC, cut.test_NHWC, config, folder)
    check_scores(score_N, f"{cut.name}: class {printable(normal, 80)}")
    inside_N = cut.test_class_N.astype(str) == normal
    figures = (roc_auc(score_N[inside_N], score_N[~inside_N]), held_out.common.macro.auc, held_out.unseen.macro.auc)
    values = [*(f"{auc:.6f}" for auc in figures), f"{time.perf_counter() - started:.1f}"]
    counts = {"epochs": epochs, "train_images": len(train_NHWC), "test_images": len(score_N)}
    return dict(zip(MEASURED, values, strict=True)) | {name: str(count) for name, count in counts.items()}


def _trained(
    train_NHWC: np.ndarray, test_NHWC: np.ndarray, config: RunConfig, folder: Path
) -> tuple[np.ndarray, HeldOut, int]:
    """Train a preset: the test images' scores, the held-out measurement, and the epochs."""
    np.save(folder / "trainingset.npy", train_NHWC)
    done = train_run(changed(config, data={"source": str(folder)}), folder / "run")
    test = Images(test_NHWC, config.data.crop)
    score_N = done.score(test, np.arange(len(test)))[config.scoring.score]
    return score_N, done.held_out, done.summary["epochs"]


def _classical(
    train_NHWC: np.ndarray, test_NHWC: np.ndarray, config: RunConfig, folder: Path
) -> tuple[np.ndarray, HeldOut, int]:
    """Fit a detector without gradient, which has no epochs."""
    del folder  # it leaves no files
    images, test = (Images(image_NHWC, CROPS.get(config.preset)) for image_NHWC in (train_NHWC, test_NHWC))
    splits = split_rows(len(images), config.data)
    scorer = fit_classical(config.preset, images, splits.train, config.seed)
    score_N = scorer.score(test, np.arange(len(test)))["score"]
    return score_N, evaluate_held_out(scorer, images, splits.development)["score"], 0

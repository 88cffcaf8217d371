"""The literature's one-class protocol: each class of a labelled set is normal in turn, the others are anomalies.

The mean ROC-AUC is over classes, then over seeds (Ruff 2018, section 4; Golan and El-Yaniv 2018, section 5).
"""

import dataclasses
import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from hw8.base.errors import InputError, Interrupted, printable, shown
from hw8.base.interrupts import stopping_as_interrupted
from hw8.base.lock import locked
from hw8.config import FUSED, JOINT, SUBMISSIONS, RunConfig, to_yaml
from hw8.config.presets import PRESETS, changed, load_preset, unknown_preset
from hw8.data.arrays import Images
from hw8.data.sources import TRAINING
from hw8.data.splits import MIN_IMAGES
from hw8.evaluation.classical import CLASSICAL, classical_crop, described, score_classical
from hw8.evaluation.metrics import roc_auc
from hw8.models import create_model, options_class
from hw8.oneclass.labelled_set import LabelledSet
from hw8.oneclass.results import MEASURED, Results, Row, read_ledger, write_ledger
from hw8.oneclass.sources import DIGITS
from hw8.runs.train import train_run
from hw8.scoring.tails import check_scores

VERSION = 2  # part of a result's fingerprint: increase it when results stop being comparable with older ones
LEDGERS = SUBMISSIONS / "oneclass"
FEATURES = "features"  # a recogniser's evidence

log = logging.getLogger(__name__)


def default_preset(source: LabelledSet) -> str:
    """The preset for a set, chosen by what it is, never by its test labels."""
    return "boss_digits" if source.name == DIGITS else "boss_quick"


def load_method(name: str) -> RunConfig:
    """The settings of a preset or of a classical baseline. Raises InputError for an unknown name."""
    if name in CLASSICAL:
        return RunConfig(preset=name)
    if name not in PRESETS:
        raise unknown_preset(name, described())
    return load_preset(name)


def without_mirroring(config: RunConfig) -> RunConfig:
    """The settings for images that do not stay normal in the mirror."""
    mirrors = "mirror" in {field.name for field in dataclasses.fields(options_class(config.model.name))}
    options = config.model.options | ({"mirror": False} if mirrors else {})
    return changed(config, data={"flip": False}, model={"options": options})


def settings_for_set(source: LabelledSet, config: RunConfig, mirror: Literal["auto", "yes", "no"]) -> RunConfig:
    """The settings for a set's images: grey ones are not mirrored, unless `mirror` is yes, and scored by neighbours.

    Joint distances are then to the nearest training images, and fused with that of the pooled features where the joint
    one lacks them (docs/oneclass.md says how that was chosen). The preset's own settings stay, aligned or not.
    """
    is_grey = source.image_NHWC.shape[3] == 1
    if is_grey and config.scoring.score == JOINT:
        config = changed(config, unaligned="", scoring={"distance": "neighbours", "fit_on": "training"})
        if FEATURES not in config.scoring.parts:
            config = changed(config, scoring={"score": FUSED, "fused": (JOINT, FEATURES)})
    return without_mirroring(config) if mirror == "no" or (mirror == "auto" and is_grey) else config


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be measured: the classes to take as normal (default: all), with each of the seeds; and the ledger.

    Raises InputError for what is no set of seeds, unknown classes, epochs that cannot be, and settings that score a
    test set as a whole.
    """

    source: LabelledSet
    config: RunConfig
    seeds: tuple[int, ...] = (0,)
    classes: tuple[str, ...] = ()
    epochs: int | None = None
    ledger: Path | None = None

    def __post_init__(self) -> None:
        distinct = set(self.seeds)
        if not distinct or len(distinct) < len(self.seeds) or min(distinct) < 0 or max(distinct) >= 2**32:
            raise InputError(f"`seeds` {' '.join(map(str, self.seeds))}: give whole numbers from 0, each once")
        if self.epochs is not None and self.epochs < 1:
            raise InputError(f"`epochs` {self.epochs}: must be at least 1")
        if self.epochs is not None and self.config.preset in CLASSICAL:
            raise InputError(f"`epochs` {self.epochs}: {self.config.preset} is not trained in epochs; omit it")
        unknown = [name for name in self.classes if name not in self.source.classes()]
        if unknown:
            names = shown(", ".join(self.source.classes()), 300)
            raise InputError(f"`classes` {unknown[0]}: no class of {self.source.name}; choose from {names}")
        if self.config.scoring.transductive:
            problem = "looks at all test images at once, and the protocol scores each alone; choose another preset"
            raise InputError(f"`preset` {self.config.preset}: {problem}")

    def normal(self) -> list[str]:
        """The classes that are normal in turn."""
        return list(dict.fromkeys(self.classes)) or self.source.classes()

    def file(self) -> Path:
        """The ledger: a row for each finished class and seed."""
        return self.ledger or LEDGERS / f"{self.source.name}-{self.config.preset}.csv"


def measure(plan: Plan, advance: Callable[[str], object] = lambda _: None) -> Results:
    """Train on each class with each seed, unless the ledger has its result, and measure on the test images.

    A row of the ledger counts if it was made from the same images and settings; others stay, unused, with a warning.
    `advance` gets a line after each class, old or new. Raises InputError for a class that is too small, and for images
    of a side that the preset does not take, before anything is trained, and for a file that is not a ledger;
    Interrupted, with all finished classes kept.
    """
    _check_classes(plan, plan.source.cut(plan.seeds[0]))  # other seeds cut classes into parts of the same sizes
    _check_side(plan)
    ledger = plan.file()
    if ledger.suffix != ".csv":
        raise InputError(f"`out` {ledger}: must end in .csv")
    message = f"stopped; what is finished is in {ledger}, and the same command resumes"
    with stopping_as_interrupted(message), locked(ledger.with_suffix("")):
        try:
            return _measure(plan, ledger, advance)
        except Interrupted:
            raise Interrupted(message) from None  # train_run's message names the class's run, which is gone


def _measure(plan: Plan, ledger: Path, advance: Callable[[str], object]) -> Results:
    rows = read_ledger(ledger)
    finished = {(row["fingerprint"], row["class"]): row for row in rows}
    with_any_settings = {(row["seed"], row["class"]) for row in rows}
    results: dict[int, dict[str, Row]] = {seed: {} for seed in plan.seeds}
    for seed in plan.seeds:
        cut, config = plan.source.cut(seed), _settings(plan, seed)  # one cut at a time is held in memory
        decisive = json.dumps([VERSION, cut.fingerprint(), to_yaml(config)])
        fingerprint = hashlib.sha256(decisive.encode()).hexdigest()[:16]
        missing = [name for name in plan.normal() if (fingerprint, name) not in finished]
        if any((str(seed), name) in with_any_settings for name in missing):
            log.warning("%s: has results of seed %d of other settings or data; measured anew", ledger, seed)
        for name in plan.normal():
            if name in missing:
                key = {"fingerprint": fingerprint, "preset": config.preset, "seed": str(seed), "class": name}
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        finished[fingerprint, name] = key | _one(cut, name, config, Path(folder))
                    except InputError as error:
                        reason = str(error)
                        for path in (Path(folder) / TRAINING, Path(folder) / "run"):  # which are gone
                            reason = reason.removeprefix(f"{path}: ")
                        raise InputError(f"{cut.name}: class {printable(name, 80)}: {reason}") from None
                rows.append(finished[fingerprint, name])
                write_ledger(ledger, rows)
            results[seed][name] = finished[fingerprint, name]
            advance(f"seed {seed}: {name} as normal {float(results[seed][name]['auc']):.4f}")
    return Results(results)


def _check_classes(plan: Plan, cut: LabelledSet) -> None:
    """Raise InputError for classes that are too small to learn from, or cannot be tested with."""
    class_N, test_class_N = cut.class_N.astype(str), cut.test_class_N.astype(str)
    for name in plan.normal():
        count, test_count = int((class_N == name).sum()), int((test_class_N == name).sum())
        where = f"{cut.name}: class {printable(name, 80)}"
        if count < MIN_IMAGES:
            raise InputError(f"{where} has {count} images to train on; at least {MIN_IMAGES} are needed: see `classes`")
        if test_count in (0, len(test_class_N)):
            share = "all" if test_count else "none"
            raise InputError(f"{where} is {share} of the test images; some and others are needed")


def _check_side(plan: Plan) -> None:
    """Raise InputError if the preset's model or crop does not suit the side of the images."""
    config, (side, channels) = plan.config, plan.source.image_NHWC.shape[2:]
    if config.preset in CLASSICAL:
        return
    try:
        if config.data.crop is not None and config.data.crop > side:
            raise InputError(f"its crop has {config.data.crop} pixels")
        create_model(config.model.name, config.data.crop or side, channels, config.model.options)
    except InputError as error:
        reason = str(error).partition(";")[0]  # what follows names options that this command lacks
        raise InputError(f"`side` {side}: does not suit `preset` {config.preset}: {reason}; give another") from None


def _settings(plan: Plan, seed: int) -> RunConfig:
    """The settings with a seed and, if `plan.epochs` is set, exactly so many epochs."""
    return changed(plan.config, seed=seed, train={"epochs": plan.epochs, "least_steps": 0} if plan.epochs else {})


def _one(cut: LabelledSet, normal: str, config: RunConfig, folder: Path) -> Row:
    """Learn a class, by a classical baseline or a run in `folder`; return the measured columns of a row."""
    start = time.perf_counter()
    train_NHWC = cut.image_NHWC[cut.class_N.astype(str) == normal]
    if config.preset in CLASSICAL:
        crop = classical_crop(config.preset, train_NHWC.shape[1])
        result = score_classical(Images(train_NHWC, crop), Images(cut.test_NHWC, crop), config)
        score_N, held_out, epochs = result.score_N, result.held_out, 0
    else:
        np.save(folder / TRAINING, train_NHWC)
        run = train_run(changed(config, data={"source": str(folder)}), folder / "run")
        test = Images(cut.test_NHWC, config.data.crop)
        score_N = run.score(test, np.arange(len(test)))[run.score_name]
        held_out, epochs = run.held_out, run.summary["epochs"]
    check_scores(score_N, config.preset)
    normal_N = cut.test_class_N.astype(str) == normal
    aucs = (roc_auc(score_N[normal_N], score_N[~normal_N]), held_out.common.macro.auc, held_out.unseen.macro.auc)
    values = [*(f"{auc:.6f}" for auc in aucs), f"{time.perf_counter() - start:.1f}"]
    counts = {"epochs": epochs, "train_images": len(train_NHWC), "test_images": len(score_N)}
    return dict(zip(MEASURED, values, strict=True)) | {name: str(count) for name, count in counts.items()}

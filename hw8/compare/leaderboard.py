"""Many presets and seeds on one data set: trained, scored and measured, one row per run."""

import dataclasses
import hashlib
import json
import logging
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from hw8.base.environment import describe_environment
from hw8.base.errors import InputError, Interrupted, error_reason
from hw8.base.files import read_text, write_text
from hw8.base.interrupts import stopping_as_interrupted
from hw8.base.lock import locked
from hw8.base.memory import PeakMemory, release_memory
from hw8.base.text import counted
from hw8.compare.columns import Measured, figures, without_label_figures
from hw8.config import DataConfig, RunConfig, from_mapping, read_config
from hw8.config.presets import PRESETS, changed, load_preset, unknown_preset
from hw8.data.sources import Source, images_to_score, open_source
from hw8.data.splits import split_rows
from hw8.evaluation.classical import CLASSICAL, classical_crop, described, score_classical
from hw8.evaluation.metrics import Evaluation, evaluate
from hw8.runs.predict import predict_with
from hw8.runs.submission import read_submission, write_submission
from hw8.runs.train import train_or_resume
from hw8.runs.unaligned import adapt_to_alignment
from hw8.scoring.tails import check_scores

RunKey = tuple[str, int]  # preset and seed
Row = dict[str, Any]
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ComparisonPlan:
    """What is to be compared, on what, and the folder of the runs; the table holds all that is finished there."""

    presets: tuple[str, ...]
    seeds: tuple[int, ...]
    data: str | None
    epochs: int | None
    folder: Path

    def __post_init__(self) -> None:
        """Raise InputError for a name that is neither a preset's nor a baseline's, no epochs, or nothing to run."""
        if not self.entries():
            raise InputError("`presets` and `seeds`: give at least one of each")
        if self.epochs is not None and self.epochs < 1:
            raise InputError(f"`epochs` {self.epochs}: must be at least 1")
        for name in self.presets:
            if name not in CLASSICAL and name not in PRESETS:
                raise unknown_preset(name, described(), "presets")

    def entries(self) -> list[RunKey]:
        """Preset and seed of every run, a whole round of presets for each seed."""
        return list(dict.fromkeys((name, seed) for seed in self.seeds for name in self.presets))


def compare(plan: ComparisonPlan, advance: Callable[[pd.DataFrame], object] = lambda _: None) -> pd.DataFrame:
    """Run every entry that is not finished yet; one row per entry, with `failure` saying why there is no result.

    Without a test set, development images are scored, and the rows have figures without labels only. The rows include
    what earlier comparisons finished in the same folder, on the same images. `advance` gets the rows so far after each
    entry that was run. Raises InputError for bad names or data, or where a run was made with other settings or data,
    before anything is run or written; and Interrupted when asked to stop, with all that is finished kept. Any other
    error of an entry becomes its `failure`.
    """
    with locked(plan.folder):
        source = open_source(plan.data)
        rows = _finished_rows(plan.folder)
        settings_by_entry = _settings_by_entry(plan, source, rows)
        rows = {entry: _with_current_labels(row, source, run_path(plan.folder, entry)) for entry, row in rows.items()}
        for number, (entry, settings) in enumerate(settings_by_entry.items()):
            if entry in rows:
                continue
            try:
                with stopping_as_interrupted("stopped"):
                    rows[entry] = _run(source, entry, settings, run_path(plan.folder, entry))
            except Interrupted:
                count = f"{number} of {len(settings_by_entry)} runs finished"
                raise Interrupted(f"stopped with {count} and the work saved; the same command resumes it") from None
            except Exception as error:  # whatever stops one preset, the others are still worth running
                kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
                failure = kind + error_reason(error, 300)
                log.warning("%s: %s", run_path(plan.folder, entry).name, failure)
                rows[entry] = {"preset": entry[0], "seed": entry[1], "failure": failure, "settings": settings}
            advance(_table(rows))
        return _table(rows)


def _settings_by_entry(plan: ComparisonPlan, source: Source, rows: dict[RunKey, Row]) -> dict[RunKey, dict[str, Any]]:
    """What decides the scores of each entry. Raises InputError where a run in the folder was made otherwise."""
    scored = images_to_score(source, DataConfig())
    images = {"fingerprint": source.training().fingerprint(), "test": scored.fingerprint()}
    settings_by_entry = {entry: _settings(plan, source, images, *entry) for entry in plan.entries()}
    changed_runs = [
        entry
        for entry in settings_by_entry
        if entry not in rows and _is_begun_otherwise(settings_by_entry[entry]["config"], plan)
    ]
    for entry, row in rows.items():
        # Earlier runs stay in the table: of other presets if they were made with the same images, of these presets with
        # other seeds if the settings were the same too.
        settings = row["settings"] | images
        if entry[0] in plan.presets:
            settings = settings_by_entry.get(entry) or _settings(plan, source, images, *entry)
        if row["settings"] != settings:
            changed_runs.append(entry)
    if changed_runs:
        folder = run_path(plan.folder, changed_runs[0])
        raise InputError(
            f"{folder}: was made with other settings or data; give `out` another name, or remove that folder"
        )
    return settings_by_entry


def run_path(folder: Path, entry: RunKey) -> Path:
    """The folder of a run within that of its comparison."""
    return folder / f"{entry[0]}-{entry[1]}"


def _settings(plan: ComparisonPlan, source: Source, images: dict[str, str], name: str, seed: int) -> dict[str, Any]:
    """Everything that decides an entry's scores: its settings, and fingerprints of the training and test images."""
    if name in CLASSICAL:
        crop = classical_crop(name, source.training().side)
        config = changed(RunConfig(preset=name, seed=seed), data={"source": source.name, "crop": crop})
    else:
        config = dataclasses.replace(changed(load_preset(name), data={"source": source.name}), seed=seed)
        if plan.epochs is not None:
            config = changed(config, train={"epochs": plan.epochs, "least_steps": 0})
    return {"config": config, **images}


def _finished_rows(folder: Path) -> dict[RunKey, Row]:
    """The rows of the finished runs in a folder, oldest first. Raises InputError for a damaged result."""
    rows = {}
    for path in sorted(folder.glob("*/result.json"), key=lambda path: path.stat().st_mtime):
        try:
            row = json.loads(read_text(path))
            config = from_mapping(row["settings"]["config"])
            rows[row["preset"], row["seed"]] = row | {"settings": row["settings"] | {"config": config}}
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = f"lacks {error}" if isinstance(error, KeyError) else error_reason(error)
            raise InputError(f"{path}: is no result of a comparison ({reason}); remove it to run that again") from None
    return rows


def _write_result(folder: Path, row: Row) -> None:
    """Write a finished row; a run without this file is not finished, and is run or resumed again."""
    write_text(folder / "result.json", json.dumps(row, default=dataclasses.asdict) + "\n")


def _with_current_labels(row: Row, source: Source, folder: Path) -> Row:
    """A finished row, measured again if the labels are not those that it was measured by."""
    digest = _labels_digest(source)
    if row.get("labels") == digest:
        return row
    labels = source.labels()
    # The scores do not depend on the labels, so that only the figures are made anew.
    row = without_label_figures(row)
    if labels is not None:
        row |= figures(None, evaluate(read_submission(folder / "scores.csv", len(labels)), labels))
    row["labels"] = digest
    _write_result(folder, row)
    return row


def _labels_digest(source: Source) -> str | None:
    path = source.labels_file
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _table(rows: dict[RunKey, Row]) -> pd.DataFrame:
    """The rows as a table; `same` is equal in runs that differ only in the name of their preset and their seed."""
    table = []
    for row in rows.values():
        name = row["preset"] if row["preset"] in CLASSICAL else ""
        config = dataclasses.replace(row["settings"]["config"], preset=name, seed=0)
        settings = json.dumps(dataclasses.asdict(config), sort_keys=True)
        same = hashlib.sha256(settings.encode()).hexdigest()[:12]
        table.append({key: value for key, value in row.items() if key not in ("settings", "labels")} | {"same": same})
    return pd.DataFrame(table)


def _run(source: Source, entry: RunKey, settings: dict[str, Any], folder: Path) -> Row:
    """Train or fit, score and measure one entry; its result.json is written last."""
    name, seed = entry
    release_memory()  # so that the peak is of this run, not of the one before
    with PeakMemory() as memory:
        config = settings["config"]
        run, evaluation = _fit(source, config, folder) if name in CLASSICAL else _train(config, folder)
    run = dataclasses.replace(run, peak_private_mb=memory.private_mb)
    environment = describe_environment()
    machine = environment["hardware"]
    hardware = f"{machine['processor']}, {counted(machine['threads'], 'thread')}"
    row = {"preset": name, "seed": seed, **figures(run, evaluation), "commit": environment["commit"]}
    row |= {"hardware": hardware, "settings": settings, "labels": _labels_digest(source)}
    _write_result(folder, row)
    return row


def _train(config: RunConfig, folder: Path) -> tuple[Measured, Evaluation | None]:
    """Train a preset, or resume its training, and score the test set."""
    words = ["hw8", "train", "--preset", config.preset, "--seed", config.seed, "--data", config.data.source]
    words += [] if config.train.least_steps else ["--epochs", config.train.epochs]
    trained = train_or_resume(config, folder, shlex.join(map(str, words)))
    prediction = predict_with([trained], None, folder / "scores.csv")
    summary, rate = trained.summary, len(prediction.score_N) / prediction.scoring_seconds
    run = Measured(trained.held_out, summary["score"], summary["train_minutes"], rate, summary)
    return run, prediction.evaluation


def _is_begun_otherwise(config: RunConfig, plan: ComparisonPlan) -> bool:
    """Whether a training was begun in an entry's folder with other settings than these, decided for its images.

    The number of threads, which a run records, is no such setting.
    """
    config_file = run_path(plan.folder, (config.preset, config.seed)) / "config.yaml"
    if config.preset in CLASSICAL or not config_file.exists():
        return False
    images = open_source(config.data.source).training(config.data.crop)
    decided = adapt_to_alignment(config, images, split_rows(len(images), config.data))
    return dataclasses.replace(read_config(config_file), threads=config.threads) != decided


def _fit(source: Source, config: RunConfig, folder: Path) -> tuple[Measured, Evaluation | None]:
    """Fit a classical baseline and score the test set."""
    test = images_to_score(source, config.data)
    result = score_classical(source.training(config.data.crop), test, config)
    check_scores(result.score_N, config.preset)
    write_submission(folder / "scores.csv", result.score_N)
    labels = source.labels(len(test))
    evaluation = None if labels is None else evaluate(result.score_N, labels)
    rate = len(test) / result.score_seconds
    return Measured(result.held_out, config.preset, result.fit_seconds / 60, rate), evaluation

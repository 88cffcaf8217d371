"""Many presets and seeds on one data set: trained, scored, measured, and put in one table."""

import dataclasses
import hashlib
import json
import logging
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hw8.base.environment import describe_environment
from hw8.base.errors import InputError, Interrupted
from hw8.base.files import read_text, write_text
from hw8.base.lock import locked
from hw8.base.memory import PeakMemory, release_memory
from hw8.config import RunConfig, from_mapping, read_config
from hw8.config.presets import PRESETS, changed, load_preset, unknown_preset
from hw8.data.sources import Source, open_source
from hw8.data.splits import split_rows
from hw8.evaluation.classical import CLASSICAL, CROPS, described, fit_classical
from hw8.evaluation.held_out import HeldOut, evaluate_held_out
from hw8.evaluation.metrics import Evaluation, evaluate
from hw8.runs.predict import predict
from hw8.runs.submission import read_submission, write_submission
from hw8.runs.train import resume_run, train_run
from hw8.scoring.tails import check_scores

LABELLED = ("macro_auc", "low", "high", "average_precision", "fpr95")
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Contest:
    """What is to be compared, on what, and the folder of the runs; the table holds all that is finished there."""

    presets: tuple[str, ...]
    seeds: tuple[int, ...]
    data: str | None
    epochs: int | None
    folder: Path

    def __post_init__(self) -> None:
        """Raise InputError for a name that is no preset's and no detector's."""
        for name in self.presets:
            if name not in CLASSICAL and name not in PRESETS:
                raise unknown_preset(name, described())

    def entries(self) -> list[tuple[str, int]]:
        """Preset and seed of every run, a whole round of presets for each seed."""
        return list(dict.fromkeys((name, seed) for seed in self.seeds for name in self.presets))


def compare(contest: Contest, advance: Callable[[pd.DataFrame], object] = lambda _: None) -> pd.DataFrame:
    """Run every entry that is not finished yet; one row an entry, with `failure` saying why where there is no result.

    The rows include what earlier comparisons finished in the same folder, on the same images. `advance` gets the rows
    so far after each entry that was run. Raises InputError for bad names or data, or where a result was made with other
    settings or data, before anything is run or written; and Interrupted when asked to stop, with all that is finished
    kept. Whatever else stops an entry is its reason to have failed.
    """
    with locked(contest.folder):
        return _compare(contest, advance)


def _compare(contest: Contest, advance: Callable[[pd.DataFrame], object]) -> pd.DataFrame:
    """The same, in a folder that is ours."""
    source = open_source(contest.data)
    data = {"fingerprint": source.training().fingerprint(), "test": source.testing().fingerprint()}
    plans = {entry: _plan(contest, source.name, data, *entry) for entry in contest.entries()}
    done = _finished(contest.folder)
    for entry, row in done.items():
        same = row["settings"] == plans[entry] if entry in plans else data.items() <= row["settings"].items()
        if not same:
            folder = contest.folder / run_name(entry)
            raise InputError(f"{folder}: was made with other settings or data; choose another `out`, or remove it")
    _label(done, source, contest.folder)
    for number, (entry, plan) in enumerate(plans.items()):
        if entry in done:
            continue
        try:
            done[entry] = _run(source, entry, plan, contest.folder / run_name(entry))
        except Interrupted:
            kept = f"stopped with {number} of {len(plans)} runs finished and the work saved"
            raise Interrupted(f"{kept}; the same command goes on") from None
        except Exception as error:  # whatever one preset fails by, the others are still worth running
            kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            reason = kind + " ".join(str(error).split())[:300]
            log.warning("%s: %s", run_name(entry), reason)
            done[entry] = {"preset": entry[0], "seed": entry[1], "failure": reason, "settings": plan}
        advance(_rows(done))
    return _rows(done)


def run_name(entry: tuple[str, int]) -> str:
    """The folder of a run within the contest's."""
    return f"{entry[0]}-{entry[1]}"


def _label(done: dict[tuple[str, int], dict[str, Any]], source: Source, folder: Path) -> None:
    """Measure finished runs by the labels there are now, where those are not the labels they were measured by."""
    digest = _labels_digest(source)
    labels = source.labels()
    for entry, row in done.items():
        if row.get("labels") != digest:
            old = [name for name in row if name.startswith("auc_") or name in LABELLED]
            for name in old:
                del row[name]
            if labels is not None:
                scores = folder / run_name(entry) / "scores.csv"
                row.update(_labelled(evaluate(read_submission(scores, len(labels)), labels)))
            row["labels"] = digest
            write_text(folder / run_name(entry) / "result.json", json.dumps(row) + "\n")


def _labels_digest(source: Source) -> str | None:
    path = source.labels_file
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _plan(contest: Contest, source: str, data: dict[str, str], name: str, seed: int) -> dict[str, Any]:
    """Everything that decides an entry's scores: its settings, and fingerprints of the training and test images."""
    if name in CLASSICAL:
        config = changed(RunConfig(preset=name, seed=seed), data={"source": source, "crop": CROPS.get(name)})
    else:
        config = dataclasses.replace(changed(load_preset(name), data={"source": source}), seed=seed)
        if contest.epochs is not None:
            config = changed(config, train={"epochs": contest.epochs, "least_steps": 0})
    return {"config": json.loads(json.dumps(dataclasses.asdict(config))), **data}


def _finished(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """What is finished in a folder of runs, by preset and seed. Raises InputError for a damaged result."""
    done = {}
    for path in sorted(folder.glob("*/result.json"), key=lambda path: path.stat().st_mtime):
        try:
            row = json.loads(read_text(path))
            dict(row["settings"]["config"])
            done[row["preset"], row["seed"]] = row | {"settings": dict(row["settings"])}
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError(f"{path}: is no result of a comparison ({error}); remove it to run that again") from None
    return done


def _rows(done: dict[tuple[str, int], dict[str, Any]]) -> pd.DataFrame:
    """The results as a table; `same` marks runs that differ in nothing but their preset's name and seed."""
    rows = []
    for row in done.values():
        settings = row["settings"]["config"] | {
            "preset": row["preset"] if row["preset"] in CLASSICAL else "",
            "seed": 0,
        }
        same = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
        rows.append({name: value for name, value in row.items() if name not in ("settings", "labels")} | {"same": same})
    return pd.DataFrame(rows)


def _run(source: Source, entry: tuple[str, int], plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train or fit, score and measure one entry; its result.json is written last."""
    name, seed = entry
    release_memory()
    with PeakMemory() as memory:
        found = _classical(source, name, seed, folder) if name in CLASSICAL else _trained(plan, folder)
    found["peak_private_mb"] = memory.private_mb
    environment = describe_environment()
    row = {"preset": name, "seed": seed} | found | {"commit": environment["commit"]}
    row |= {"hardware": f"{environment['hardware']['processor']}, {environment['hardware']['threads']} threads"}
    row |= {"settings": plan, "labels": _labels_digest(source)}
    write_text(folder / "result.json", json.dumps(row) + "\n")
    return row


def _trained(plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train (or go on training) a preset, score the test set, and measure it."""
    config = from_mapping(plan["config"])
    if (folder / "config.yaml").exists() and read_config(folder / "config.yaml") == config:
        done = resume_run(folder)
    else:
        words = ("--preset", config.preset, "--seed", config.seed, "--data", config.data.source)
        epochs = () if config.train.least_steps else ("--epochs", config.train.epochs)
        done = train_run(config, folder, shlex.join(["hw8", "train", *map(str, (*words, *epochs))]))
    scored = predict([folder], None, folder / "scores.csv")
    summary = done.summary
    return {
        **_figures(scored.evaluation, done.held_out),
        "parameters": summary["parameters"],
        "minutes": summary["train_minutes"],
        "training_images_per_second": summary["images_per_second"],
        "scoring_images_per_second": len(scored.score_N) / scored.scoring_seconds,
        "score": summary["score"],
    }


def _classical(source: Source, name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Fit a detector without gradient, score the test set, and measure it."""
    crop = CROPS.get(name)
    images, test = source.training(crop), source.testing(crop)
    splits = split_rows(len(images), RunConfig().data)
    started = time.perf_counter()
    scorer = fit_classical(name, images, splits.train, seed)
    fitted = time.perf_counter()
    score_N = scorer.score(test, np.arange(len(test)))["score"]
    seconds = time.perf_counter() - fitted
    check_scores(score_N, name)
    write_submission(folder / "scores.csv", score_N)
    labels = source.labels(len(test))
    held_out = evaluate_held_out(scorer, images, splits.development)["score"]
    return {
        **_figures(None if labels is None else evaluate(score_N, labels), held_out),
        "minutes": (fitted - started) / 60,
        "scoring_images_per_second": len(test) / seconds,
        "score": name,
    }


def _figures(labelled: Evaluation | None, held_out: HeldOut) -> dict[str, Any]:
    """The columns that say how good an entry is."""
    row: dict[str, Any] = {"held_out_auc": held_out.common.macro.auc, "unseen_auc": held_out.unseen.macro.auc}
    return row if labelled is None else row | _labelled(labelled)


def _labelled(found: Evaluation) -> dict[str, Any]:
    row: dict[str, Any] = {"macro_auc": found.macro.auc, "low": found.macro.low, "high": found.macro.high}
    row |= {f"auc_{kind}": item.auc for kind, item in found.kinds.items()}
    return row | {"average_precision": found.average_precision, "fpr95": found.fpr95}

"""Many presets and seeds on one data set: trained, scored, measured, and put in one table."""

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hw8.config import RunConfig, read_config
from hw8.data.sources import Source, open_source
from hw8.data.splits import split_rows
from hw8.errors import InputError, Interrupted
from hw8.evaluation.classical import CLASSICAL, CROPS, fit_classical
from hw8.evaluation.held_out import evaluate_held_out
from hw8.evaluation.metrics import Evaluation, evaluate
from hw8.files import write_text
from hw8.prediction import predict
from hw8.presets import changed, load_preset
from hw8.scoring.inference import check_scores
from hw8.submission import write_submission
from hw8.training.session import resume_run, train_run

log = logging.getLogger(__name__)

# Public Kaggle ROC-AUC of the 2023 homework, as students and the course published them: not ours, not on our data.
PUBLISHED = {
    "course_fcn": 0.728,
    "course_cnn": 0.683,
    "course_vae": 0.535,
    "fcn_crop": 0.840,
    "conv": 0.729,
    "resnet_auxiliary": 0.792,
    "classifier_noise": 0.683,
    "memae": 0.753,
    "memae_sparse": 0.673,
    "vae": 0.730,
    "vqvae": 0.737,
}


@dataclasses.dataclass(frozen=True)
class Contest:
    """What is compared, on what, and where the runs are kept."""

    presets: tuple[str, ...]
    seeds: tuple[int, ...]
    data: str | None
    epochs: int | None
    folder: Path

    def entries(self) -> list[tuple[str, int]]:
        """Preset and seed of every run, a whole round of presets for each seed. Raises InputError for unknown names."""
        for name in self.presets:
            if name not in CLASSICAL:
                load_preset(name)
        return [(name, seed) for seed in self.seeds for name in self.presets]


def compare(contest: Contest, advance: Callable[[pd.DataFrame], object] = lambda _: None) -> pd.DataFrame:
    """Run every entry that is not finished yet; one row an entry, with `failure` saying why where there is no result.

    `advance` gets the rows so far after each. Raises InputError for bad names or data, and Interrupted when
    asked to stop; what is finished is kept.
    """
    source, rows = open_source(contest.data), []
    entries = contest.entries()
    for name, seed in entries:
        try:
            rows.append(_entry(contest, source, name, seed))
        except InputError as error:
            log.warning("%s, seed %s: %s", name, seed, error)
            rows.append({"preset": name, "seed": seed, "failure": str(error)})
        except Interrupted:
            done = f"stopped with {len(rows)} of {len(entries)} runs finished and the work saved"
            raise Interrupted(f"{done}; the same command goes on") from None
        advance(pd.DataFrame(rows))
    return pd.DataFrame(rows)


def _entry(contest: Contest, source: Source, name: str, seed: int) -> dict[str, Any]:
    """The row of one entry, from its result.json if it is finished and was asked for in the same way."""
    folder = contest.folder / f"{name}-{seed}"
    asked = {"data": source.name, "epochs": contest.epochs}
    result = folder / "result.json"
    if result.exists():
        row = json.loads(result.read_text())
        if row.pop("asked") == asked:
            return row
        raise InputError(f"{folder}: was made with other settings; choose another --out or remove it")
    row = _classical(source, name, seed, folder) if name in CLASSICAL else _trained(contest, source, name, seed, folder)
    row = {"preset": name, "seed": seed} | row
    write_text(result, json.dumps(row | {"asked": asked}) + "\n")
    return row


def _trained(contest: Contest, source: Source, name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train (or go on training) a preset, score the test set, and measure it."""
    config = dataclasses.replace(changed(load_preset(name), data={"source": source.name}), seed=seed)
    if contest.epochs is not None:
        config = changed(config, train={"epochs": contest.epochs})
    words = ["python scripts/train.py", f"--preset {name} --seed {seed} --data {source.name}"]
    words += [f"--epochs {contest.epochs}"] if contest.epochs is not None else []
    done = resume_run(folder) if _same_run(folder, config) else train_run(config, folder, " ".join(words))
    started = time.perf_counter()
    scored = predict([folder], None, folder / "scores.csv")
    seconds = time.perf_counter() - started
    summary = done.summary
    return {
        **_figures(scored.evaluation, done.held_out),
        "parameters": summary["parameters"],
        "minutes": summary["train_minutes"],
        "training_images_per_second": summary["images_per_second"],
        "scoring_images_per_second": len(scored.score_N) / seconds,
        "score": summary["score"],
    }


def _same_run(folder: Path, config: RunConfig) -> bool:
    """Whether a training of exactly this configuration was begun here."""
    return (folder / "config.yaml").exists() and read_config(folder / "config.yaml") == config


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
    folder.mkdir(parents=True, exist_ok=True)
    write_submission(folder / "scores.csv", score_N)
    labels = source.labels(len(test))
    held_out = evaluate_held_out(scorer, images, splits.development)["score"]
    return {
        **_figures(None if labels is None else evaluate(score_N, labels), held_out),
        "minutes": (fitted - started) / 60,
        "scoring_images_per_second": len(test) / seconds,
        "score": name,
    }


def _figures(labelled: Evaluation | None, held_out: Evaluation) -> dict[str, Any]:
    """The columns that say how good an entry is."""
    row: dict[str, Any] = {"held_out_auc": held_out.macro.auc}
    if labelled is None:
        return row
    row |= {"macro_auc": labelled.macro.auc, "low": labelled.macro.low, "high": labelled.macro.high}
    row |= {f"auc_{kind}": item.auc for kind, item in labelled.kinds.items()}
    return row | {"average_precision": labelled.average_precision, "fpr95": labelled.fpr95}


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a preset: means over its seeds, the spread of the macro AUC over them, best first."""
    done = rows[rows["failure"].isna()] if "failure" in rows else rows
    if done.empty:
        return pd.DataFrame({"preset": []})
    order = "macro_auc" if "macro_auc" in done else "held_out_auc"
    numeric = done.drop(columns=["seed", "score", "failure"], errors="ignore").groupby("preset", sort=False)
    table = numeric.mean(numeric_only=True)
    table.insert(0, "seeds", numeric.size())
    table.insert(2, "spread", numeric[order].agg(lambda values: values.max() - values.min()))
    table["published"] = [PUBLISHED.get(str(name), np.nan) for name in table.index]
    return table.sort_values(order, ascending=False).reset_index()


def rank_correlation(table: pd.DataFrame) -> float | None:
    """Spearman's correlation of held-out and labelled macro AUC over presets, or None for fewer than three."""
    if len(table) < 3 or "macro_auc" not in table:
        return None
    return float(table["held_out_auc"].corr(table["macro_auc"], method="spearman"))


def failures(rows: pd.DataFrame) -> Iterable[str]:
    """One line for every entry without a result."""
    if "failure" in rows:
        for row in rows[rows["failure"].notna()].itertuples():
            yield f"{row.preset}, seed {row.seed}: {row.failure}"

"""Scoring a test set with one run or several, and writing the submission."""

import dataclasses
import hashlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hw8.base.errors import InputError
from hw8.base.files import atomic_write
from hw8.base.processes import processes
from hw8.config import Device
from hw8.data.arrays import Images
from hw8.data.labels import Labels
from hw8.data.loader import in_batches
from hw8.evaluation.metrics import Evaluation, evaluate
from hw8.runs.submission import read_submission, write_part, write_submission
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.calibration import Table
from hw8.scoring.evidence import select
from hw8.scoring.fusion import fuse, fused_p_values, one_opinion, rank_correlation
from hw8.scoring.tails import check_scores
from hw8.scoring.transductive import Sample, Transducer
from hw8.training.run_folder import RunFolder, newest_run

log = logging.getLogger(__name__)
ALPHA = 0.05


@dataclasses.dataclass(frozen=True)
class Scored:
    """One run's scores of a test set (N,), their p-values, and those of its calibration normals (C,).

    A transductive run has no scores of normals (`normal_C` is None), an estimated `share` of anomalies, and the
    p-values of its scores before the transduction.
    """

    score_N: np.ndarray
    p_value_N: np.ndarray
    normal_C: np.ndarray | None
    nats_N: np.ndarray
    table: Table
    share: float | None = None


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A written submission, and what it is worth where labels are known."""

    out: Path
    runs: list[Path]
    source: str
    score_N: np.ndarray
    p_value_N: np.ndarray | None
    labels: Labels | None
    labels_file: Path
    evaluation: Evaluation | None
    scoring_seconds: float
    correlation: np.ndarray | None = None
    groups: list[list[int]] = dataclasses.field(default_factory=list)
    share: float | None = None
    warnings: list[str] = dataclasses.field(default_factory=list)
    normals: int = 0
    development: bool = False

    def flagged(self) -> str | None:
        """A line on how many images are flagged, or why none can be; None without p-values."""
        if self.p_value_N is None:
            return None
        least = 1 / (self.normals + 1)
        if least > ALPHA:
            return (
                f"none can be at p <= {ALPHA}: {self.normals} calibration images give no p-value below {least:.3f}; "
                f"train on more images, or hold out more of them"
            )
        share = (self.p_value_N <= ALPHA).mean()
        return f"{share:.1%} of the images at p <= {ALPHA} (of normal images alone: {ALPHA:.0%})"

    def notes(self) -> list[str]:
        """Lines for the reader besides the table: how far trained_runs agree, and what a transduction looked at."""
        lines = []
        if self.development:
            images = f"{len(self.score_N):,} normal images of {self.source}, held out from training"
            lines.append(f"Scored:   {images}: it has no test set")
        if self.correlation is not None:
            pairs = [(a, b) for a in range(len(self.runs)) for b in range(a)]
            found = ", ".join(f"{self.runs[b]} and {self.runs[a]} {self.correlation[a, b]:.2f}" for a, b in pairs)
            lines.append(f"Agreement: rank correlation of {found}")
            same = [" = ".join(str(self.runs[run]) for run in group) for group in self.groups if len(group) > 1]
            lines += [f"One opinion, counted once (correlation of .99 or more): {names}" for names in same]
        if self.share is not None:
            lines.append(
                "Transductive: these scores were made by looking at the unlabelled test images as a whole; check that "
                f"your rules allow it. Estimated share of anomalies: {self.share:.0%}. p-values are those without it"
            )
        return lines

    def as_json(self) -> dict[str, Any]:
        """The object that `predict.py --json` prints."""
        flagged = None if self.p_value_N is None else float((self.p_value_N <= ALPHA).mean())
        return {
            "out": str(self.out),
            "runs": [str(run) for run in self.runs],
            "data": self.source,
            "rows": len(self.score_N),
            "flagged_at_p05": flagged,
            "calibration_images": self.normals,
            "rank_correlation": None if self.correlation is None else self.correlation.tolist(),
            "transductive": self.share is not None,
            "estimated_share": self.share,
            "warnings": self.warnings,
            **({} if self.evaluation is None else self.evaluation.as_json()),
        }


def predict(
    runs: list[Path], where: str | None, out: Path | None, device: Device = "auto", evidence: Path | None = None
) -> Prediction:
    """Score a test set with the runs (none: the newest) and write `ID,score` to `out`.

    `where` defaults to the data of the first run, `out` to submissions/NAME.csv. Several runs are fused by
    `hw8.scoring.fusion.fuse`. `evidence` is a .csv or .npz file for the evidence behind the scores of a single run.
    Raises InputError, before any file is written unless the disk itself fails.
    """
    paths = runs or [newest_run()]
    out = out or Path("submissions") / ("+".join(path.resolve().name for path in paths) + ".csv")
    _check_names(out, evidence, paths)
    trained_runs = [TrainedRun.load(run, device) for run in paths]
    source = trained_runs[0].open_source(where)
    opened = [trained.open_test(source) for trained in trained_runs]
    if not source.has_test_set and len({trained.calibration_set() for trained in trained_runs}) > 1:
        raise InputError(f"`data` {source.name}: has no test set, and these runs held out other images; give `data`")
    labels = source.labels(len(opened[0]))
    warnings = warn_of(trained_runs, opened)
    started = time.perf_counter()
    scored = [score_images(trained, images) for trained, images in zip(trained_runs, opened, strict=True)]
    seconds = time.perf_counter() - started
    together = _fused(trained_runs, scored)
    write_submission(out, together.score_N)
    if evidence is not None:
        write_evidence(evidence, trained_runs[0], scored[0])
    job = processes()
    read_N = job.broadcast(read_submission(out, len(opened[0])) if job.main else together.score_N)
    evaluation = None if labels is None else evaluate(read_N, labels)
    prediction = Prediction(
        out, paths, source.name, read_N, together.p_value_N, labels, source.labels_file, evaluation, seconds,
        share=next((item.share for item in scored if item.share is not None), None), warnings=warnings,
        normals=len(trained_runs[0].calibration.values_C[trained_runs[0].score_name]),
        development=not source.has_test_set,
    )  # fmt: skip
    if len(trained_runs) == 1:
        return prediction
    return dataclasses.replace(prediction, correlation=together.correlation, groups=together.groups)


def predict_shard(run: Path, where: str | None, out: Path, shard: tuple[int, int], device: Device = "auto") -> int:
    """Score the i-th of n parts of a test set, i from 0, and write them for `merge_parts`; returns the images scored.

    Parts are cut between batches, so that an image's score is the same, bit for bit, as in the whole. Raises InputError
    for a transductive run, which must see the whole set, and for a shard that is not there.
    """
    number, count = shard
    if not 0 <= number < count:
        raise InputError(f"`shard` {number}/{count}: the parts are 0/{count} to {count - 1}/{count}")
    trained = TrainedRun.load(run, device)
    if trained.config.scoring.transductive:
        raise InputError(f"`shard` {number}/{count}: {run} is transductive and must see the whole test set at once")
    images = trained.open_test(trained.open_source(where))
    warn_of([trained], [images])
    batches = list(in_batches(np.arange(len(images)), trained.scorer.batch_size))
    mine = batches[number * len(batches) // count : (number + 1) * len(batches) // count]
    if not mine:
        raise InputError(f"`shard` {number}/{count}: {len(images):,} images are only {len(batches)} batches; cut fewer")
    rows = np.concatenate(mine)
    table = trained.scorer.table(images, rows, label=str(run))
    digest = hashlib.sha256(RunFolder(run).model.read_bytes() + images.fingerprint().encode()).hexdigest()[:12]
    scores = select(trained.calibration.scores(table), trained.score_name)
    write_part(out, int(rows[0]), scores, f"{len(images)}-{digest}")
    return len(rows)


def warn_of(trained_runs: Sequence[TrainedRun], opened: Sequence[Images]) -> list[str]:
    """Say aloud how the images differ from those that the runs were trained on; returns the lines."""
    found: dict[str, None] = {}
    for trained, images in zip(trained_runs, opened, strict=True):
        if trained.appearance is not None:
            found |= dict.fromkeys(f"{images.name}: {line}" for line in trained.appearance.differences(images))
    for line in found:
        log.warning("Warning:  %s", line)
    return list(found)


@dataclasses.dataclass(frozen=True)
class _Together:
    """What one run, or several fused, make of the test set."""

    score_N: np.ndarray
    p_value_N: np.ndarray | None
    correlation: np.ndarray | None = None
    groups: list[list[int]] = dataclasses.field(default_factory=list)


def _fused(trained_runs: Sequence[TrainedRun], scored: Sequence[Scored]) -> _Together:
    """One score from all; p-values too, where the runs held out the same normals to calibrate."""
    if len(trained_runs) == 1:
        return _Together(scored[0].score_N, scored[0].p_value_N)
    correlation = rank_correlation([item.score_N for item in scored])
    groups = one_opinion(correlation)
    score_N = fuse([item.nats_N for item in scored], groups)
    normals = [item.normal_C for item in scored if item.normal_C is not None]
    if len(normals) < len(scored) or len({trained.calibration_set() for trained in trained_runs}) > 1:
        return _Together(score_N, None, correlation, groups)
    return _Together(score_N, fused_p_values(score_N, normals, groups), correlation, groups)


def _check_names(out: Path, evidence: Path | None, runs: list[Path]) -> None:
    if out.suffix != ".csv":
        raise InputError(f"`out` {out}: must end in .csv; the picture goes beside it as .png")
    if evidence is not None and evidence.suffix not in (".csv", ".npz"):
        raise InputError(f"`evidence` {evidence}: must end in .csv or .npz")
    if evidence is not None and evidence.resolve() == out.resolve():
        raise InputError(f"`evidence` {evidence}: is the submission's own name; choose another")
    if evidence is not None and len(runs) > 1:
        raise InputError(f"`evidence` {evidence}: needs a single `run`; each run has evidence of its own")


def score_images(trained: TrainedRun, images: Images) -> Scored:
    """One run's scores of all images, in the order of their IDs."""
    table = trained.scorer.table(images, np.arange(len(images)), label=trained.name)
    name, calibration = trained.score_name, trained.calibration
    score_N = select(calibration.scores(table), name)
    check_scores(score_N, trained.name)
    normal_C = calibration.values_C[name]
    if trained.config.scoring.transductive:
        return _transduced(trained, images, score_N, table)
    return Scored(score_N, calibration.p_value(name, score_N), normal_C, calibration.nats(name, score_N), table)


def _transduced(trained: TrainedRun, test: Images, score_N: np.ndarray, table: Table) -> Scored:
    """The same with what the unlabelled test images say; needs the run's training images, to tell them from."""
    config, scorer = trained.config, trained.scorer
    training, splits = trained.open_training()
    boss_C = trained.calibration.values_C[trained.score_name]
    transducer = Transducer(scorer.model, scorer.device, scorer.precision, scorer.batch_size, config.seed)
    job, known = processes(), (Sample(training, splits.train), Sample(training, splits.calibration))
    done = job.broadcast(transducer(*known, test, boss_C, score_N) if job.main else None)
    assert done is not None  # noqa: S101 (the first process's)
    p_value_N = trained.calibration.p_value(trained.score_name, score_N)
    return Scored(done.score_N, p_value_N, None, done.score_N, table, done.share)


def write_evidence(path: Path, trained: TrainedRun, scored: Scored) -> None:
    """Write the evidence behind the scores, a row an image: score, p_value, each number and each vector's columns.

    As .csv every column has a name of its own; as .npz vectors stay whole, (N, D).
    """
    import pandas as pd

    head = {"ID": np.arange(len(scored.score_N)), "score": scored.score_N, "p_value": scored.p_value_N}
    with atomic_write(path) as aside:
        if path.suffix == ".npz":
            with aside.open("wb") as file:
                arrays: dict[str, Any] = {**head, **scored.table}
                np.savez_compressed(file, **arrays)
            return
        columns = dict(head)
        for name, value in scored.table.items():
            columns |= dict(zip(trained.column_names(name, value), np.reshape(value, (len(value), -1)).T, strict=True))
        pd.DataFrame(columns).to_csv(aside, index=False)

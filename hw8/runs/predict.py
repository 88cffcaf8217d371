"""Scoring a test set with one run or several, and writing the submission."""

import dataclasses
import hashlib
import itertools
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hw8.base.errors import InputError
from hw8.base.files import check_replaceable
from hw8.base.threads import computing_threads
from hw8.config import SUBMISSIONS, Device
from hw8.data.arrays import Images
from hw8.data.labels import Labels
from hw8.data.loader import in_batches
from hw8.data.sources import Source
from hw8.evaluation.metrics import Evaluation, evaluate
from hw8.runs.prediction_files import (
    FILES_SUFFIX,
    FLAGGED_SUFFIX,
    SUBMISSION,
    Discovery,
    check_outputs,
    replace_submission,
    write_discoveries,
    write_evidence,
    write_files,
)
from hw8.runs.scores import RunScores, Scores, score_images
from hw8.runs.submission import write_part
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.fusion import agreeing_groups, fuse, fused_p_values, rank_correlation
from hw8.scoring.tails import is_flagged
from hw8.training.run_folder import RunFolder, newest_run

log = logging.getLogger(__name__)
MIN_TO_COMPARE = 20  # normals, chosen by hand: of fewer, runs with a rank correlation of .9 may reach .99 by chance


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """A written submission, and what it is worth where labels are known.

    `normals` is the number of calibration images behind the p-values. Several runs have rank correlations (runs, runs),
    and `groups` of those that count as one. `development`: normal images were scored, as there is no test set. `files`
    is the table of the pictures' names with their scores, if the names are known.
    """

    out: Path
    runs: list[Path]
    source: str
    score_N: np.ndarray
    p_value_N: np.ndarray | None
    labels: Labels | None
    labels_file: Path
    share: float | None
    evaluation: Evaluation | None
    scoring_seconds: float
    correlation: np.ndarray | None
    groups: list[list[int]]
    warnings: list[str]
    normals: int
    development: bool
    discovery: Discovery | None = None
    files: Path | None = None

    @property
    def flagged_share(self) -> float | None:
        """Share of the images that are flagged as anomalous; None without p-values."""
        return None if self.p_value_N is None else float(is_flagged(self.p_value_N).mean())

    def as_json(self) -> dict[str, Any]:
        """The object that `predict.py --json` prints."""
        return {
            "out": str(self.out),
            "files": None if self.files is None else str(self.files),
            "runs": [str(run) for run in self.runs],
            "data": self.source,
            "rows": len(self.score_N),
            "flagged_at_p05": self.flagged_share,
            "calibration_images": self.normals,
            "rank_correlation": None if self.correlation is None else self.correlation.tolist(),
            "transductive": self.share is not None,
            "estimated_share": self.share,
            "flagged_at_fdr": None if self.discovery is None else self.discovery.count,
            "warnings": self.warnings,
            **({} if self.evaluation is None else self.evaluation.as_json()),
        }


def predict(
    runs: list[Path], where: str | None, out: Path | None, device: Device = "auto", evidence: Path | None = None,
    fdr: float | None = None, threads: int | None = None,
) -> Prediction:  # fmt: skip
    """Score a test set with the runs (none: the newest) and write `ID,score` to `out`.

    `where` defaults to the data of the first run, `out` to submissions/NAME.csv. Several runs are fused by
    `hw8.scoring.fusion.fuse`. `evidence` is a .csv or .npz file for the evidence behind the scores of a single run.
    `fdr` is a false discovery rate in (0, 1), at which a file beside `out` names the flagged images. Where the
    pictures' names are known, another file beside `out` has `file,score,p_value`. `threads` defaults to one per core.
    Raises InputError, before any file is written unless the disk itself fails.
    """
    paths = runs or [newest_run()]
    out = out or SUBMISSIONS / ("+".join(path.resolve().name for path in paths) + ".csv")
    if fdr is not None and not 0 < fdr < 1:
        raise InputError(f"`fdr` {fdr:g}: the share of flagged images that may be normal lies between 0 and 1")
    trained_runs = [TrainedRun.load(run, device) for run in paths]
    check_outputs(out, evidence, paths)
    with computing_threads(threads, shared=True):
        return predict_with(trained_runs, where, out, evidence, fdr)


def predict_with(
    trained_runs: Sequence[TrainedRun], where: str | None, out: Path, evidence: Path | None = None,
    fdr: float | None = None,
) -> Prediction:  # fmt: skip
    """`predict` with runs that are loaded, or were trained just now. Raises InputError as it does."""
    paths = [Path(trained.name) for trained in trained_runs]
    source = trained_runs[0].open_source(where)
    test_sets = [trained.open_test(source) for trained in trained_runs]
    trained_runs[0].check_held_out_with(trained_runs[1:], source)
    labels, names = source.labels(len(test_sets[0])), trained_runs[0].file_names(source)
    have_p_values = _have_common_p_values(trained_runs)
    if fdr is not None and not have_p_values:
        raise InputError(f"`fdr` {fdr:g}: these runs have no p-values together; give one `run`")
    warnings = warn_of_differences(trained_runs, test_sets, source)
    started = time.perf_counter()
    by_run = [score_images(trained, images) for trained, images in zip(trained_runs, test_sets, strict=True)]
    seconds = time.perf_counter() - started
    scores: Scores = by_run[0]
    correlation, groups = None, []
    if len(by_run) > 1:
        correlation = rank_correlation([item.score_N for item in by_run])
        groups = agreeing_groups(_agreement_on_normals(trained_runs))
        scores = _fused(trained_runs, by_run, groups, have_p_values)
    replace_submission(out, scores.score_N, {FILES_SUFFIX: names is not None, FLAGGED_SUFFIX: fdr is not None})
    files = None if names is None else write_files(out.with_suffix(FILES_SUFFIX), names, scores)
    discovery = None
    if fdr is not None and scores.p_value_N is not None:
        discovery = write_discoveries(out.with_suffix(FLAGGED_SUFFIX), scores.p_value_N, fdr, names)
    if evidence is not None:
        write_evidence(evidence, trained_runs[0], by_run[0])
    return Prediction(
        out=out, runs=paths, source=source.name, score_N=scores.score_N, p_value_N=scores.p_value_N, labels=labels,
        labels_file=source.labels_file,
        share=next((item.share for item in by_run if item.share is not None), None),
        evaluation=None if labels is None else evaluate(scores.score_N, labels), scoring_seconds=seconds,
        correlation=correlation, groups=groups, warnings=warnings,
        normals=len(trained_runs[0].normal_C),
        development=not source.has_test_set, discovery=discovery, files=files,
    )  # fmt: skip


def predict_shard(
    run: Path, where: str | None, out: Path, shard: tuple[int, int], device: Device = "auto", threads: int | None = None
) -> int:
    """Score part i of n of a test set, i from 0, and write it for `merge_parts`; returns the number of images.

    Parts are cut between batches, so that an image's score is the same, bit for bit, as in the whole. Raises InputError
    for a transductive run, which must see the whole set, and for a shard that is not there.
    """
    number, count = shard
    if not 0 <= number < count:
        raise InputError(f"`shard` {number}/{count}: the parts are 0/{count} to {count - 1}/{count}")
    trained = TrainedRun.load(run, device)
    if trained.config.scoring.transductive:
        raise InputError(f"`shard` {number}/{count}: {run} is transductive and must see the whole test set at once")
    check_replaceable(out, "out", SUBMISSION)
    source = trained.open_source(where)
    images = trained.open_test(source)
    warn_of_differences([trained], [images], source)
    batches = list(in_batches(np.arange(len(images)), trained.scorer.batch_size))
    of_shard = batches[number * len(batches) // count : (number + 1) * len(batches) // count]
    if not of_shard:
        raise InputError(f"`shard` {number}/{count}: {len(images):,} images are only {len(batches)} batches; cut fewer")
    rows = np.concatenate(of_shard)
    with computing_threads(threads, shared=True):
        table = trained.scorer.table(images, rows, label=str(run))
    # Names weights and images, so that parts of another run or test set are not merged with these.
    digest = hashlib.sha256(RunFolder(run).model_file.read_bytes() + images.fingerprint().encode()).hexdigest()[:12]
    write_part(out, int(rows[0]), trained.run_score(table), f"{len(images)}-{digest}")
    return len(rows)


def warn_of_differences(trained_runs: Sequence[TrainedRun], test_sets: Sequence[Images], source: Source) -> list[str]:
    """Log how the images differ from those that the runs were trained on; returns the lines, each once."""
    lines = dict.fromkeys(
        f"{images.name}: {difference}"
        for trained, images in zip(trained_runs, test_sets, strict=True)
        if trained.appearance is not None
        for difference in trained.appearance.differences(images, held_out=not source.has_test_set)
    )
    crop = source.picture_crop()
    crops = [trained.folder.picture_crop() for trained in trained_runs if trained.folder is not None]
    lines |= dict.fromkeys(
        f"{source.name}: its pictures were cropped by {crop!r}, those of the training by {other!r}; prepare them alike"
        for other in crops
        if None not in (crop, other) and crop != other
    )
    for line in lines:
        log.warning("Warning:  %s", line)
    return list(lines)


def _agreement_on_normals(trained_runs: Sequence[TrainedRun]) -> np.ndarray:
    """Rank correlation of every two runs on their calibration normals, (runs, runs); 0 where these are not the same.

    By the test images, an image's score would depend on the others. It is 0, too, where one run only is transductive,
    and where there are so few normals that runs order them alike by chance, unless the scores are the same.
    """
    comparable = [(trained.calibration_set(), trained.config.scoring.transductive) for trained in trained_runs]
    agreement = np.eye(len(trained_runs))
    for a, b in itertools.combinations(range(len(trained_runs)), 2):
        if comparable[a] == comparable[b]:
            scores = trained_runs[a].normal_C, trained_runs[b].normal_C
            is_copy = np.array_equal(*scores)
            known = is_copy or len(scores[0]) >= MIN_TO_COMPARE
            agreement[a, b] = agreement[b, a] = rank_correlation(scores)[0, 1] if known else 0.0
    return agreement


def _fused(
    trained_runs: Sequence[TrainedRun], by_run: Sequence[RunScores], groups: list[list[int]], have_p_values: bool
) -> Scores:
    """One score from all runs; p-values too, if they have them together."""
    # A transductive score is -log p already, and no calibration normal has one.
    neg_log_ps = [
        trained.calibration.neg_log_p(trained.score_name, scores.score_N) if scores.share is None else scores.score_N
        for trained, scores in zip(trained_runs, by_run, strict=True)
    ]
    score_N, normals = fuse(neg_log_ps, groups), [trained.normal_C for trained in trained_runs]
    p_value_N = fused_p_values(score_N, normals, groups) if have_p_values else None
    return Scores("the runs", score_N, p_value_N)


def _have_common_p_values(trained_runs: Sequence[TrainedRun]) -> bool:
    """Whether the same normals calibrated every run and, of several, none is transductive."""
    if len(trained_runs) == 1:
        return True
    is_transductive = any(trained.config.scoring.transductive for trained in trained_runs)
    return not is_transductive and len({trained.calibration_set() for trained in trained_runs}) == 1

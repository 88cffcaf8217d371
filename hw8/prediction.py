"""Scoring a test set with one run or several, and writing the submission."""

import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from hw8.config import Device, RunConfig
from hw8.data.arrays import Images
from hw8.data.labels import Labels
from hw8.data.sources import Source, open_source
from hw8.device import choose_device, choose_precision
from hw8.errors import InputError
from hw8.evaluation.metrics import Evaluation, evaluate
from hw8.runs import RunFolder, newest_run
from hw8.scoring.calibration import Calibration, needed_evidence
from hw8.scoring.evidence import chosen
from hw8.scoring.fusion import fuse
from hw8.scoring.inference import Scorer, check_scores
from hw8.submission import read_submission, write_submission

log = logging.getLogger(__name__)
ALPHA = 0.05


@dataclasses.dataclass(frozen=True)
class Member:
    """One loaded run of an ensemble."""

    folder: RunFolder
    config: RunConfig
    scorer: Scorer
    calibration: Calibration

    @property
    def score_name(self) -> str:
        """The evidence that is this run's score."""
        return self.config.scoring.score

    @classmethod
    def load(cls, path: Path, device: Device) -> "Member":
        """Load a finished run. Raises InputError if it is missing, damaged or unfinished."""
        folder, config = RunFolder.open(path)
        config = dataclasses.replace(config, device=device)
        model, tensors = folder.load(config)
        scoring, where = config.scoring, choose_device(config)
        calibration = Calibration.from_tensors(tensors, scoring.score, scoring.parts, str(path))
        wanted = needed_evidence(scoring.score, scoring.parts)
        scorer = Scorer(model, where, choose_precision(config, where), scoring.score_batch_size, wanted)
        return cls(folder, config, scorer, calibration)

    def open_test(self, source: Source) -> Images:
        """The test images as this run sees them. Raises InputError if their side or channels differ from its own."""
        images = source.testing(self.config.data.crop)
        if (images.side, images.channels) != (shape := self.folder.image_shape()):
            raise InputError(
                f"{images.name}: images of {images.side}x{images.side}x{images.channels}, but {self.folder.path} "
                f"takes {shape[0]}x{shape[0]}x{shape[1]}; score the kind of images it was trained on"
            )
        return images


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

    def next_command(self) -> str:
        """What one would do with the file now: measure it where labels are known, else check it for the upload."""
        if self.labels is not None:
            return f"python scripts/evaluate.py {self.out} --labels {self.labels_file}"
        rows = "" if self.source == "hw8" else f" --rows {len(self.score_N)}"
        return f"python scripts/check.py {self.out}{rows}"

    def as_json(self) -> dict[str, Any]:
        """The object that `predict.py --json` prints."""
        flagged = None if self.p_value_N is None else float((self.p_value_N <= ALPHA).mean())
        return {
            "out": str(self.out),
            "runs": [str(run) for run in self.runs],
            "data": self.source,
            "rows": len(self.score_N),
            "flagged_at_p05": flagged,
            **({} if self.evaluation is None else self.evaluation.as_json()),
        }


def predict(runs: list[Path], where: str | None, out: Path | None, device: Device = "auto") -> Prediction:
    """Score a test set with the runs (none: the newest) and write `ID,score` to `out`.

    `where` defaults to the data of the first run, `out` to submissions/NAME.csv. Several runs are
    fused by `hw8.scoring.fusion.fuse`. Raises InputError; then no file is written.
    """
    paths = runs or [newest_run()]
    out = out or Path("submissions") / ("+".join(path.resolve().name for path in paths) + ".csv")
    if out.suffix != ".csv":
        raise InputError(f"--out {out}: must end in .csv; the picture goes beside it as .png")
    members = [Member.load(run, device) for run in paths]
    source = open_source(where if where is not None else members[0].config.data.source)
    opened = [member.open_test(source) for member in members]
    labels = source.labels(len(opened[0]))
    started = time.perf_counter()
    scores = [_score(member, images) for member, images in zip(members, opened, strict=True)]
    seconds = time.perf_counter() - started
    score_N, p_value_N = scores[0], None
    if len(members) == 1:
        p_value_N = members[0].calibration.p_value(members[0].score_name, score_N)
    else:
        pairs = zip(members, scores, strict=True)
        score_N = fuse([member.calibration.standardise(member.score_name, score) for member, score in pairs])
    write_submission(out, score_N)
    read_N = read_submission(out, len(opened[0]))
    evaluation = None if labels is None else evaluate(read_N, labels)
    return Prediction(out, paths, source.name, read_N, p_value_N, labels, source.labels_file, evaluation, seconds)


def _score(member: Member, images: Images) -> np.ndarray:
    """One run's scores of all images, in the order of their IDs."""
    table = member.scorer.table(images, np.arange(len(images)), label=str(member.folder.path))
    score_N = chosen(member.calibration.scores(table), member.score_name)
    check_scores(score_N, str(member.folder.path))
    return score_N

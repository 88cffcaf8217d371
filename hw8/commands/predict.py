"""Score a test set with a run, or with several fused into one, and write the Kaggle file.

Where the test set's labels are known, ends with a table of ROC-AUC by kind.
"""

import dataclasses
import json
import logging
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from hw8.base.errors import InputError
from hw8.base.text import counted
from hw8.commands.parsing import Omittable, is_given, parse
from hw8.commands.spelling import own_words, spelled
from hw8.config import SUBMISSIONS, Device

if TYPE_CHECKING:
    from hw8.runs.predict import Prediction
    from hw8.runs.prediction_files import Discovery


log = logging.getLogger(__name__)
MIN_TO_WARN = 20  # images, chosen by hand: a few anomalies may well be all that is scored
NEARLY_ALL = 0.9  # share of flagged images, chosen by hand: test sets of so many anomalies are rare


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/predict.py."""

    runs: Annotated[tuple[Path, ...], tyro.conf.arg(name="run", metavar="RUN ...", help_behavior_hint="")] = ()
    """Folders of finished runs; several are one ensemble. Default: the run finished last."""
    data: Annotated[Omittable[str], tyro.conf.arg(metavar="WHERE")] = None
    """Folder with testingset.npy, or a named source. Default: the data of the (first) run."""
    out: Omittable[Path] = None
    """File to write. Default: submissions/RUN.csv."""
    evidence: Annotated[Omittable[Path], tyro.conf.arg(metavar="FILE")] = None
    """File for the evidence behind the scores, .csv or .npz."""
    fdr: Annotated[Omittable[float], tyro.conf.arg(metavar="RATE")] = None
    """Also flag images by their false discovery rate: of those flagged, this share is normal at most, on average."""
    shard: Annotated[Omittable[str], tyro.conf.arg(metavar="I/N")] = None
    """Score only the I-th of N parts of the test set, I from 0, for the command merge; needs a single --run."""
    device: Device = "auto"
    """Where to compute."""
    threads: Omittable[int] = None
    """Threads that compute on a CPU. Default: one per core."""
    json: bool = False
    """Print one JSON object and nothing else."""


def _score_shard(arguments: Arguments) -> str:
    """Score one part; returns where it is, to be printed."""
    from hw8.base.processes import processes
    from hw8.runs.predict import predict_shard
    from hw8.training.run_folder import newest_run

    words = (arguments.shard or "").split("/")
    if len(words) != 2 or not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise InputError(f"--shard {arguments.shard}: must be I/N, for instance 0/8")
    if len(arguments.runs) > 1 or arguments.evidence or arguments.fdr is not None:
        raise InputError(f"--shard {arguments.shard}: takes a single --run, and neither --evidence nor --fdr")
    run = arguments.runs[0] if arguments.runs else newest_run()
    number, count = map(int, words)
    out = arguments.out or SUBMISSIONS / f"{run.resolve().name}.{number}-of-{count}.csv"
    rows = predict_shard(run, arguments.data, out, (number, count), arguments.device, arguments.threads)
    if not processes().is_main:
        return ""
    if arguments.json:
        return json.dumps({"out": str(out), "rows": rows, "shard": [number, count]})
    merged = SUBMISSIONS / f"{run.resolve().name}.csv"
    merge, end = spelled("merge"), shlex.join(["--out", str(merged)])
    following = f"merge the parts: {merge} PARTS {end}"  # of which nobody knows the names
    if arguments.out is None:
        # The shell fills in the parts: the patterns, one for each number of digits, stay outside of the quotes.
        start, stop = shlex.quote(f"{SUBMISSIONS / run.resolve().name}."), shlex.quote(f"-of-{count}.csv")
        parts = [start + "[0-9]" * digits + stop for digits in range(1, len(str(count - 1)) + 1)]
        following = " ".join([merge, *parts, end])
    return f"Wrote:    {out} ({rows:,} rows)\nNext:     {following}"


def next_command(prediction: "Prediction", data: str | None) -> str:
    """To measure where labels are known, to check the homework's file for the upload, else to look at the images."""
    if prediction.labels is not None:
        return spelled("evaluate", prediction.out, "--labels", prediction.labels_file)
    if prediction.source == "hw8" and not prediction.development:
        return spelled("check", prediction.out)
    words: list[object] = [] if data is None else ["--data", data]
    page = prediction.out.with_suffix(".html")
    default = SUBMISSIONS / f"{prediction.runs[0].resolve().name}.html"
    if page != default and len(prediction.runs) == 1:  # the page is of one run
        words += ["--out", page]
    return spelled("report", prediction.runs[0], *words)


def notes(prediction: "Prediction") -> list[str]:
    """Lines besides the table: what was scored, how far the runs agree, and what a transduction looked at."""
    lines, runs = [], prediction.runs
    if prediction.development:
        images = f"{counted(len(prediction.score_N), 'normal image')} of {prediction.source}, held out from training"
        lines.append(f"Scored:   {images}: it has no test set")
    is_large = len(prediction.score_N) >= MIN_TO_WARN
    if is_large and prediction.flagged_share is not None and prediction.flagged_share > NEARLY_ALL:
        lines.append(f"Warning:  nearly all images are flagged; was {runs[0]} trained on images like these?")
    if prediction.correlation is not None:
        pairs = [(a, b) for a in range(len(runs)) for b in range(a)]
        correlations = ", ".join(f"{runs[b]} and {runs[a]} {prediction.correlation[a, b]:.2f}" for a, b in pairs)
        lines.append(f"Agreement: rank correlation of {correlations}")
        copies = [" = ".join(str(runs[run]) for run in group) for group in prediction.groups if len(group) > 1]
        lines += [f"Counted once: {names} (rank correlation of .99 or more on calibration images)" for names in copies]
        if prediction.p_value_N is None:
            reason = "these runs held out different normal images, or one of them is transductive"
            lines.append(f"P-values: none, since {reason}")
    if prediction.share is not None:
        lines.append(
            "Transductive: these scores were made by looking at the unlabelled test images as a whole; check that "
            f"your rules allow it. Estimated share of anomalies: {prediction.share:.0%}"
            + ("" if prediction.share else " (none found, so that each score is that of the image alone)")
        )
    return lines


def flagged(prediction: "Prediction") -> str | None:
    """A line on how many images are flagged, or why none can be; None without p-values."""
    from hw8.scoring.tails import ALPHA, is_flagged

    if prediction.flagged_share is None:
        return None
    smallest = 1 / (prediction.normals + 1)
    if smallest > ALPHA:
        return (
            f"none can be at p <= {ALPHA}: {prediction.normals} calibration images give no p-value below "
            f"{smallest:.3f}; train on more images, or hold out more of them"
        )
    expected = f"of normal images {ALPHA:.0%} are expected"
    if prediction.labels is not None and prediction.p_value_N is not None:
        p_value_M = prediction.p_value_N[prediction.labels.label_N == 0]
        expected += f", and {is_flagged(p_value_M).sum():,} of {len(p_value_M):,} are"
    return f"{prediction.flagged_share:.1%} of the images at p <= {ALPHA} ({expected})"


def discovered(discovery: "Discovery", normals: int) -> str:
    """A line on the images flagged at a false discovery rate, and on why there may be none."""
    if discovery.count:
        return f"{counted(discovery.count, 'image')} at a false discovery rate of {discovery.rate:g}: {discovery.path}"
    return (
        f"none at a false discovery rate of {discovery.rate:g}: {normals:,} calibration images give no p-value below "
        f"{1 / (normals + 1):.4f}, and few anomalies in a large test set need smaller ones"
    )


def draw(prediction: "Prediction", picture: Path) -> None:
    """Draw the scores, which are written already: the log says if that fails. Raises Interrupted."""
    from hw8.base.interrupts import stopping_as_interrupted
    from hw8.report.figures import draw_scores

    with stopping_as_interrupted(f"interrupted; the scores are in {prediction.out}, without their picture"):
        try:
            picture.unlink(missing_ok=True)  # it shows the scores before
            draw_scores(picture, prediction.score_N, prediction.labels)
        except (InputError, OSError) as error:
            log.warning("Warning:  no picture of the scores: %s", error)


def main() -> None:
    """Parse, predict, and print where the file is and what it is worth."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.base.processes import processes
    from hw8.report.tables import auc_table
    from hw8.runs.predict import predict

    if not arguments.runs and is_given("run", own_words()):
        raise InputError("--run: a value is missing; omit it to take the run finished last")
    if arguments.shard is not None:
        if text := _score_shard(arguments):
            print(text)
        return
    prediction = predict(
        list(arguments.runs),
        arguments.data,
        arguments.out,
        arguments.device,
        arguments.evidence,
        arguments.fdr,
        arguments.threads,
    )
    if not processes().is_main:
        return
    picture = prediction.out.with_suffix(".png")
    draw(prediction, picture)
    if arguments.json:
        print(json.dumps(prediction.as_json()))
        return
    if prediction.evaluation:
        print(auc_table(prediction.evaluation, f"ROC-AUC on the test images of {prediction.source}"))
    if not arguments.runs:
        print(f"Run:      {prediction.runs[0]}, which was finished last")
    for note in notes(prediction):
        print(note)
    print(f"Wrote:    {prediction.out} ({counted(len(prediction.score_N), 'row')}, validated)")
    if picture.is_file():
        print(f"Pictures: {picture}")
    if prediction.files:
        print(f"By name:  {prediction.files} (file,score,p_value; the most anomalous first)")
    if arguments.evidence:
        print(f"Evidence: {arguments.evidence}")
    if line := flagged(prediction):
        print(f"Flagged:  {line}")
    if prediction.discovery is not None:
        print(f"          {discovered(prediction.discovery, prediction.normals)}")
    print(f"Next:     {next_command(prediction, arguments.data)}")

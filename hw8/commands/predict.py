"""Score a test set with a run, or with several fused into one, and write the Kaggle file.

Where the test set's labels are known, ends with a table of ROC-AUC by kind.
"""

import dataclasses
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from hw8.commands.parsing import parse
from hw8.commands.spelling import spelled
from hw8.config import Device

if TYPE_CHECKING:
    from hw8.runs.predict import Prediction


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/predict.py."""

    runs: Annotated[tuple[Path, ...], tyro.conf.arg(name="run", metavar="RUN ...")] = ()
    """Folders of finished runs; several are one ensemble. Default: the run finished last."""
    data: Annotated[str | None, tyro.conf.arg(metavar="WHERE")] = None
    """Folder with testingset.npy, or a named source. Default: the data of the (first) run."""
    out: Path | None = None
    """File to write. Default: submissions/RUN.csv."""
    evidence: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File for the evidence behind the scores, .csv or .npz."""
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N")] = None
    """Score only the I-th of N parts of the test set, I from 0, for the command merge; needs a single --run."""
    device: Device = "auto"
    """Where to compute."""
    json: bool = False
    """Print one JSON object and nothing else."""


def _score_shard(arguments: Arguments) -> str:
    """Score one part, and say where it is."""
    from hw8.base.errors import InputError
    from hw8.base.processes import processes
    from hw8.runs.predict import predict_shard
    from hw8.training.run_folder import newest_run

    words = (arguments.shard or "").split("/")
    if len(words) != 2 or not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise InputError(f"--shard {arguments.shard}: must be I/N, for instance 0/8")
    if len(arguments.runs) > 1 or arguments.evidence:
        raise InputError(f"--shard {arguments.shard}: takes a single --run and no --evidence")
    run = arguments.runs[0] if arguments.runs else newest_run()
    number, count = map(int, words)
    out = arguments.out or Path("submissions") / f"{run.resolve().name}.{number}-of-{count}.csv"
    rows = predict_shard(run, arguments.data, out, (number, count), arguments.device)
    if not processes().main:
        return ""
    if arguments.json:
        return json.dumps({"out": str(out), "rows": rows, "shard": [number, count]})
    merged = Path("submissions") / f"{run.resolve().name}.csv"
    # The shell fills in the parts: the star must stay outside of the quotes.
    parts = f"{shlex.quote(f'submissions/{run.resolve().name}.')}*{shlex.quote(f'-of-{count}.csv')}"
    return f"Wrote:    {out} ({rows:,} rows)\nNext:     {spelled('merge')} {parts} {shlex.join(['--out', str(merged)])}"


def _next_command(done: "Prediction") -> str:
    """What one would do with the file now: measure it where labels are known, else check it for the upload."""
    if done.development:
        return spelled("report", *done.runs[:1])
    if done.labels is not None:
        return spelled("evaluate", done.out, "--labels", done.labels_file)
    rows = () if done.source == "hw8" else ("--rows", len(done.score_N))
    return spelled("check", done.out, *rows)


def main() -> None:
    """Parse, predict, and print where the file is and what it is worth."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.base.processes import processes
    from hw8.report.figures import draw_scores
    from hw8.report.tables import auc_table
    from hw8.runs.predict import predict

    if arguments.shard is not None:
        text = _score_shard(arguments)
        if text:
            print(text)
        return
    done = predict(list(arguments.runs), arguments.data, arguments.out, arguments.device, arguments.evidence)
    if not processes().main:
        return
    picture = done.out.with_suffix(".png")
    draw_scores(picture, done.score_N, done.labels)
    if arguments.json:
        print(json.dumps(done.as_json()))
        return
    if done.evaluation:
        print(auc_table(done.evaluation, f"ROC-AUC on the test images of {done.source}"))
    for note in done.notes():
        print(note)
    print(f"Wrote:    {done.out} ({len(done.score_N):,} rows, validated)\nPictures: {picture}")
    if arguments.evidence:
        print(f"Evidence: {arguments.evidence}")
    if flagged := done.flagged():
        print(f"Flagged:  {flagged}")
    print(f"Next:     {_next_command(done)}")

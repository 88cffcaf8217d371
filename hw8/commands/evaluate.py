"""Measure submission files against labels: ROC-AUC by kind, of one file with confidence intervals."""

import dataclasses
import glob
import json
from pathlib import Path
from typing import Annotated

import tyro

from hw8.base.errors import InputError
from hw8.commands.parsing import parse


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/evaluate.py."""

    files: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE ...")]
    """Submission: ID,score; or file,score,p_value, whose labels name files too. Several stand side by side in one
    table."""
    labels: Path
    """Labels: ID,label[,kind] or file,label[,kind], label 0 normal and 1 anomalous."""
    json: bool = False
    """Print one JSON object and nothing else; of several files, one object for each by its name."""


def _next_command(file: Path, labels: Path) -> str | None:
    """The command that shows the scored images; None unless one run has the file's name, as predict.py gives it."""
    from hw8.commands.spelling import as_folder, spelled
    from hw8.config import RUNS, read_config
    from hw8.data.sources import TESTING, array_exists, source_folder

    settings = list(RUNS.glob(f"**/{glob.escape(file.stem)}/config.yaml"))
    if len(settings) != 1:
        return None
    try:
        data = read_config(settings[0]).data.source
    except InputError:  # damaged: the table is no worse for it
        return None
    if data is not None and source_folder(data).resolve() == labels.resolve().parent:
        return spelled("report", settings[0].parent)
    is_data = array_exists(labels.parent / TESTING)
    return spelled("report", settings[0].parent, "--data", as_folder(labels.parent)) if is_data else None


def main() -> None:
    """Parse, evaluate and print."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.evaluation.metrics import evaluate
    from hw8.report.tables import auc_table, side_by_side
    from hw8.runs.labelled_scores import read_labelled_scores

    if not arguments.files:
        raise InputError("no file is given; see --help")
    stems = {path.stem for path in arguments.files}
    evaluations = {}
    for path in arguments.files:
        score_N, labels = read_labelled_scores(path, arguments.labels)
        name = path.stem if len(stems) == len(arguments.files) else str(path)
        evaluations[name] = evaluate(score_N, labels)
    evaluation, *others = evaluations.values()
    if arguments.json:
        by_name = {name: item.as_json() for name, item in evaluations.items()}
        print(json.dumps(by_name if others else evaluation.as_json()))
        return
    print(side_by_side(evaluations, "ROC-AUC") if others else auc_table(evaluation, f"ROC-AUC of {arguments.files[0]}"))
    if not others and (following := _next_command(arguments.files[0], arguments.labels)):
        print(f"Next:     {following}")

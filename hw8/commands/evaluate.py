"""Measure a submission file against labels: ROC-AUC by kind, with confidence intervals."""

import dataclasses
import json
from pathlib import Path

import tyro

from hw8.commands.parsing import parse


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/evaluate.py."""

    file: tyro.conf.Positional[Path]
    """Submission: ID,score."""
    labels: Path
    """Labels: ID,label[,kind], label 0 normal and 1 anomalous."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main() -> None:
    """Parse, evaluate and print."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.data.labels import read_labels
    from hw8.evaluation.metrics import evaluate
    from hw8.report.tables import auc_table
    from hw8.runs.submission import read_submission

    score_N = read_submission(arguments.file)
    evaluation = evaluate(score_N, read_labels(arguments.labels, len(score_N)))
    if arguments.json:
        print(json.dumps(evaluation.as_json()))
    else:
        print(auc_table(evaluation, f"ROC-AUC of {arguments.file}"))

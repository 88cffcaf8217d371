"""Scores of a file beside the labels of its images, matched by ID or by file name."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hw8.base.errors import InputError
from hw8.base.files import first_line
from hw8.base.tables import ids_in_order, numbers, read_table
from hw8.base.text import counted
from hw8.data.labels import Labels, labels_of, read_label_table, read_labels
from hw8.data.sources import TESTING_FILES
from hw8.runs.prediction_files import FILES_SUFFIX
from hw8.runs.submission import read_submission

if TYPE_CHECKING:
    import pandas as pd


def read_labelled_scores(scores: Path, labels: Path) -> tuple[np.ndarray, Labels]:
    """Scores (N,) of `ID,score` or of `file,score,p_value`, with the labels of the same images.

    Labels are `ID,label[,kind]` for the first and `file,label[,kind]` for the second. Raises InputError if the files
    are damaged, do not belong together, or hold images of one label only.
    """
    by_name = first_line(scores).startswith("file,")
    if first_line(labels).lower().startswith("id," if by_name else "file,"):
        kinds = ("file name", "ID") if by_name else ("ID", "file name")
        hint = "give labels of the same kind, or the prediction's other file (NAME.csv by ID, NAME.files.csv by name)"
        raise InputError(f"{scores} has scores by {kinds[0]}, {labels} labels by {kinds[1]}; {hint}")
    if by_name:
        score_N, image_labels = _by_name(scores, labels)
    else:
        score_N = read_submission(scores)
        image_labels = read_labels(labels)
        if len(image_labels) != len(score_N):
            raise InputError(f"{scores}: has {len(score_N):,} scores, but {labels} has {len(image_labels):,} labels")
        _check_same_order(scores, score_N, labels)
    if image_labels.why_unusable:
        raise InputError(f"{labels}: {image_labels.why_unusable}")
    return score_N, image_labels


def _by_name(scores: Path, labels: Path) -> tuple[np.ndarray, Labels]:
    """The scores and labels of the pictures that `scores` names.

    Raises InputError for a picture without a label, and for one that stands twice.
    """
    table, (labelled, label_N) = _scores_of_files(scores), read_label_table(labels, "file")
    _check_once(labels, labelled)
    place_of = {name: place for place, name in enumerate(labelled["file"])}
    if missing := [name for name in table["file"] if name not in place_of]:
        some = f"{counted(len(missing), 'picture')} of {scores}, for instance {missing[0]}"
        raise InputError(f"{labels}: has no label for {some}")
    order = np.array([place_of[name] for name in table["file"]])
    return numbers(scores, table, "score"), labels_of(labels, label_N, labelled.get("kind"), order)


def _scores_of_files(path: Path) -> "pd.DataFrame":
    """A table of the scores of files, each of which stands once."""
    table = read_table(path, ("file", "score", "p_value"))
    _check_once(path, table)
    return table


def _check_once(path: Path, table: "pd.DataFrame") -> None:
    """Raise InputError if a file stands twice in a table."""
    if twice := table["file"][table["file"].duplicated()].tolist():
        raise InputError(f"{path}: {twice[0]} stands twice")


def _check_same_order(scores: Path, score_N: np.ndarray, labels: Path) -> None:
    """Raise InputError if the pictures' names, where they are known, show that an ID means another picture in each."""
    by_name, names = scores.with_suffix(FILES_SUFFIX), labels.parent / TESTING_FILES
    if not (by_name.exists() and names.exists()):
        return
    table, files = _scores_of_files(by_name), read_table(names, ("ID", "file"))
    score_of = dict(zip(table["file"], numbers(by_name, table, "score").tolist(), strict=True))
    if sorted(score_of.values()) != sorted(score_N.tolist()):
        return  # the names are of earlier scores
    ordered = files["file"].iloc[ids_in_order(names, files)]
    if [score_of.get(name) for name in ordered] != score_N.tolist():
        raise InputError(f"{labels}: is of other pictures than {scores}, or of the same in another order")

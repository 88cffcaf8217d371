"""Scores and labels that belong to the same images, by ID or by file name."""

import pytest

from hw8.base.errors import InputError
from hw8.runs.labelled_scores import read_labelled_scores


def written(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    return folder / "scores.csv", folder / "labels.csv"


def test_by_name_in_any_order(tmp_path):
    files = written(
        tmp_path, scores="file,score,p_value\nb.png,2,.1\na.png,1,\n",
        labels="file,label,kind\nc.png,1,dog\na.png,0,\nb.png,1,cat\n\n",
    )  # fmt: skip
    score_N, labels = read_labelled_scores(*files)
    assert score_N.tolist() == [2, 1]
    assert labels.label_N.tolist() == [1, 0]
    assert labels.kind_N.tolist() == ["cat", "normal"]


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        ("file,score,p_value\nb.png,2,\na.png,1,\n", "file,label\nb.png,1\n",
         "no label for 1 picture of .*, for instance a.png"),
        ("file,score,p_value\nb.png,2,\n", "file,label\nb.png,1\na.png,0\nb.png,0\n", "labels.csv: b.png stands twice"),
        ("ID,score\n0,2\n1,3\n", "ID,label\n0,1\n", "scores.csv: has 2 scores, but .*labels.csv has 1 labels"),
        ("ID,score\n0,2\n1,3\n", "ID,label\n0,1\n1,1\n", "labels.csv: every label is 1"),
        ("file,score,p_value\nb.png,2,\n", "ID,label\n0,1\n", "has scores by file name, .* labels by ID"),
        ("ID,score\n0,2\n", "file,label\nb.png,1\n", "scores by ID, .* labels by file name; .*files.csv"),
        ("ID;score\n0;2\n", "ID,label\n0,1\n", "header is 'ID;score'; it must be ID,score; separate columns by commas"),
    ],
)  # fmt: skip
def test_files_that_do_not_belong_together(tmp_path, scores, labels, words):
    with pytest.raises(InputError, match=words):
        read_labelled_scores(*written(tmp_path, scores=scores, labels=labels))


def test_ids_of_the_same_pictures_in_another_order_are_refused(tmp_path):
    files = written(tmp_path, scores="ID,score\n0,2\n1,3\n", labels="ID,label\n0,1\n1,0\n")
    (tmp_path / "scores.files.csv").write_text("file,score,p_value\nb.png,3,\na.png,2,\n")
    (tmp_path / "testing_files.csv").write_text("ID,file\n0,a.png\n1,b.png\n")
    assert read_labelled_scores(*files)[0].tolist() == [2, 3]
    (tmp_path / "testing_files.csv").write_text("ID,file\n0,b.png\n1,a.png\n")
    (tmp_path / "scores.files.csv").write_text("file,score,p_value\nb.png,3,\na.png,5,\n")
    assert read_labelled_scores(*files)[0].tolist() == [2, 3], "names of earlier scores say nothing"
    (tmp_path / "scores.files.csv").write_text("file,score,p_value\nb.png,3,\na.png,2,\n")
    with pytest.raises(InputError, match="is of other pictures than .*, or of the same in another order"):
        read_labelled_scores(*files)

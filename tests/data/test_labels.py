import os

import numpy as np
import pytest

from hw8.base.errors import InputError
from hw8.data.labels import read_labels
from hw8.data.sources import open_source


def test_rows_are_put_in_the_order_of_their_ids(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("ID,label,kind\n2,1,cat\n0,0,normal\n1,1,anime\n")
    labels = read_labels(path, 3)
    assert labels.label_N.tolist() == [0, 1, 1]
    assert labels.kind_N.tolist() == ["normal", "anime", "cat"]


def test_kinds_may_be_unknown(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("ID,label\n0,0\n1,1\n")
    assert read_labels(path).kind_N.tolist() == ["normal", "anomaly"]


def test_an_image_without_its_kind_has_that_of_its_label(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("ID,label,kind\n0,0,\n1,1,\n2,1,cat\n")
    assert read_labels(path).kind_N.tolist() == ["normal", "anomaly", "cat"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ID,label\n0,0\n1,1\n", "labels 2 images, but the test set has 3"),
        ("ID,label\n0,0\n1,1\n1,1\n", "stands twice"),
        ("ID,label\n0,0\n1,1\n3,1\n", "ID 2 is missing"),
        ("ID,label\n0,0\n1,1\n2,2\n", "line 4: label must be 0 .* not '2'"),
        ("ID,label\n0,0\n1,1\n2,-1\n", "line 4: label must be 0 .* not '-1'; 1 beside -1 may mean either: write 0 for"),
        ("ID,label\n0,0\n1,Maybe\n2,1\n", "line 3: label must be 0 .* not 'Maybe'"),
        ("ID,label\n0,0\n1,1\n2.0,1\n", "line 4: ID '2.0' is not a row number"),
        ("ID,label\n0,0\n1,1\n2,\n", "line 4: label must be 0 .* not ''"),
        ("name,label\n0,0\n1,1\n2,1\n", "its header is 'name,label'; it must be ID,label[,kind]"),
        ("ID,label,kind\n0,0,x\n1,1,x\n2,1,y\n", "kind 'x' is labelled both 0 and 1"),
        ("ID,label,kind\n", "holds no rows"),
        ("", "not a CSV file"),
        ("ID,label\n0,0\n1,1,5,6,7\n2,1\n", "not a CSV file"),
    ],
)
def test_bad_labels_get_one_line(tmp_path, text, words):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words.replace("[", r"\[")) as caught:
        read_labels(path, 3)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("normal", "anomalous"),
    [("good", "BAD"), ("Normal", "Anomaly"), ("normal", " anomalous"), ("OK", "NG"), ("False", "True"), ("0.0", "1.")],
)
def test_labels_may_be_words_and_the_header_in_any_letter_case(tmp_path, normal, anomalous):
    path = tmp_path / "labels.csv"
    path.write_text(f"id,Label,KIND\n0,{normal},\n1,{anomalous},cat\n")
    labels = read_labels(path)
    assert labels.label_N.tolist() == [0, 1]
    assert labels.kind_N.tolist() == ["normal", "cat"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_table_in_another_encoding_says_how_to_save_it(tmp_path, encoding):
    path = tmp_path / "labels.csv"
    path.write_text("ID,label,kind\n0,0,\n1,1,d\xe9faut\n", encoding=encoding)
    with pytest.raises(InputError, match=r"labels\.csv: is not UTF-8 text; save it as UTF-8$"):
        read_labels(path)


@pytest.mark.parametrize("label", [0, 1])
def test_labels_that_are_all_alike_measure_nothing(tmp_path, label, small, caplog, call):
    for name in ("trainingset.npy", "testingset.npy"):
        os.link(small / name, tmp_path / name)
    count = len(np.load(small / "testingset.npy"))
    path = tmp_path / "testing_labels.csv"
    path.write_text("ID,label\n" + "".join(f"{row},{label}\n" for row in range(count)))
    assert open_source(str(tmp_path)).labels(count) is None
    assert f"every label is {label}; ROC-AUC needs normal and anomalous images, so these labels are not" in caplog.text
    (tmp_path / "scores.csv").write_text("ID,score\n" + "".join(f"{row},{row}\n" for row in range(count)))
    line = call("evaluate", str(tmp_path / "scores.csv"), "--labels", str(path), code=2).stderr
    assert f"{path}: every label is {label}" in line


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder; give the CSV file"):
        read_labels(tmp_path)

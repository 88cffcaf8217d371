from pathlib import Path

import numpy as np
import pytest

from hw8.base.errors import InputError
from hw8.data.sources import open_source


@pytest.mark.parametrize("name", ["trainingset.npy", "trainingset-00000.npy"])
def test_the_homework_is_the_default_if_it_is_there(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / name, np.zeros((30, 16, 16, 3), np.uint8))
    source = open_source(None)
    assert source.name == "hw8"
    with pytest.raises(InputError, match="has 30 images, but the homework's has 100,000; .* `data` data"):
        source.training()
    assert len(open_source("data").training()) == 30


def test_the_demo_is_the_default_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = []
    monkeypatch.setattr("hw8.data.demo.write_demo", lambda folder: folders.append(folder) or folder)
    assert open_source(None).name == "demo"
    assert len(folders) == 1


def test_unknown_names_and_missing_homework(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="`data` nowhere: no such folder"):
        open_source("nowhere")
    with pytest.raises(InputError, match="`hw8 download_data hw8`"):
        open_source("hw8")


def test_labels_that_do_not_match_the_images(demo, tmp_path):
    for name in ("testingset.npy", "testing_labels.csv"):
        (tmp_path / name).write_bytes((demo / name).read_bytes())
    source = open_source(str(tmp_path))
    with pytest.raises(InputError, match="labels 120 images, but the test set has 119"):
        source.labels(119)


def test_what_is_read_after_a_training_is_looked_at_before_it(small, tmp_path, caplog):
    for name in ("trainingset.npy", "testingset.npy", "testing_labels.csv"):
        (tmp_path / name).write_bytes((small / name).read_bytes())
    source = open_source(str(tmp_path))
    training = source.training()
    source.check_tables(training)
    assert not caplog.text
    (tmp_path / "testing_labels.csv").write_text("ID,label\n0,0\n1,1\n")
    source.check_tables(training)
    assert "Warning:  the test set cannot be used: " in caplog.text
    assert "labels 2 images, but the test set has 120" in caplog.text
    (tmp_path / "testing_labels.csv").write_text("ID,label\n" + "".join(f"{row},maybe\n" for row in range(120)))
    source.check_tables(training)
    assert "not 'maybe'" in caplog.text
    for header, line, words in (
        ("file,label", "{}.png,0", "its header is 'file,label'; it must be ID,label[,kind]"),
        ("ID,label", "0,1", "ID 0 stands twice"),
        ("ID,label", "{},0", "every label is 0; ROC-AUC needs normal and anomalous images"),
        ("ID,label,kind", "{0},{1},odd", "kind 'odd' is labelled both 0 and 1"),
    ):
        lines = [line.format(row, row % 2) for row in range(120)]
        (tmp_path / "testing_labels.csv").write_text("\n".join([header, *lines, ""]))
        source.check_tables(training)
        assert words in caplog.text
    np.save(tmp_path / "testingset.npy", np.zeros((5, 8, 8, 1), np.uint8))
    source.check_tables(training)
    assert f"images of (8, 8, 1), but those to train on have {training.array_NHWC.shape[1:]}" in caplog.text
    (tmp_path / "training_files.csv").write_text("ID,file\n0,a.png\n")
    with pytest.raises(InputError, match="names 1 pictures, but there are 400 images"):
        source.check_tables(training)


@pytest.mark.parametrize(
    ("files", "missing", "words"),
    [
        (["train.npy"], "trainingset.npy", "has train.npy, but no trainingset.npy; save the normal images to train on"),
        (["trainingset.npz"], "trainingset.npy", "under that name; of an .npz file, save the array with numpy.save"),
        (["testingset.npy"], "trainingset.npy", "has testingset.npy, but no trainingset.npy"),
        (list("abcde"), "trainingset.npy", "has a.npy, b.npy, c.npy, d.npy, ..., but no trainingset.npy"),
        (["trainingset.npy", "test.npy"], "testingset.npy", "has test.npy, but no testingset.npy; save the images to"),
    ],
)
def test_arrays_of_other_names_are_listed(tmp_path, files, missing, words):
    for name in files:
        (tmp_path / name).with_suffix(Path(name).suffix or ".npy").write_bytes(b"")
    source = open_source(str(tmp_path))
    with pytest.raises(InputError) as caught:
        source.training() if missing == "trainingset.npy" else source.testing()
    assert words in str(caught.value)


def test_labels_may_be_unknown(tmp_path):
    assert open_source(str(tmp_path)).labels(3) is None

"""What predict refuses, warns of, and writes beside the submission."""

import shutil

import numpy as np
import pytest

from hw8.base.errors import InputError
from hw8.config.presets import changed
from hw8.data.arrays import open_images
from hw8.data.splits import Splits
from hw8.runs.predict import predict, predict_shard
from hw8.runs.prediction_files import write_files
from hw8.runs.scores import Scores
from hw8.runs.submission import merge_parts
from hw8.runs.train import train_images, train_run


def test_runs_without_common_p_values_flag_nothing_at_a_false_discovery_rate(quick, tmp_path):
    runs = [tmp_path / "first", tmp_path / "other"]
    for seed, run in enumerate(runs):
        train_run(changed(quick, data={"split_seed": seed}, train={"epochs": 1}), run)
    with pytest.raises(InputError, match="`fdr` 0.1: these runs have no p-values together; give one `run`"):
        predict(runs, None, tmp_path / "both.csv", fdr=0.1)
    assert not (tmp_path / "both.csv").exists()


def test_parts_of_another_test_set_are_not_merged(trained, demo, tmp_path):
    for name, order in (("a", slice(None)), ("b", slice(None, None, -1))):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "testingset.npy", np.load(demo / "testingset.npy")[order])
    run = tmp_path / "run"
    shutil.copytree(trained.folder.path, run)
    config = run / "config.yaml"
    assert "score_batch_size: 256" in config.read_text()
    config.write_text(config.read_text().replace("score_batch_size: 256", "score_batch_size: 32"))
    for number, name in enumerate("ab"):
        predict_shard(run, str(tmp_path / name), tmp_path / f"{name}.csv", (number, 2))
    with pytest.raises(InputError, match="is a part of another run"):
        merge_parts([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "merged.csv")


def test_the_table_of_pictures_has_the_most_anomalous_first_with_its_p_value(tmp_path):
    files = write_files(
        tmp_path / "s.files.csv", ["a", "b", "c"], Scores("x", np.array([1.0, 3, 2]), np.array([0.9, 0.1, 0.5]))
    )
    assert files.read_text().split() == ["file,score,p_value", "b,3.0,0.1", "c,2.0,0.5", "a,1.0,0.9"]
    files = write_files(tmp_path / "s.files.csv", ["a"], Scores("x", np.array([1.0]), None))
    assert files.read_text().split() == ["file,score,p_value", "a,1.0,"]


def test_images_that_look_otherwise_are_said_to(trained, demo, tmp_path, caplog):
    np.save(tmp_path / "testingset.npy", np.load(demo / "testingset.npy") // 4)
    prediction = predict([trained.folder.path], str(tmp_path), tmp_path / "out.csv")
    (line, *_) = prediction.warnings
    assert f"Warning:  {line}" in caplog.text
    assert prediction.as_json()["warnings"] == prediction.warnings
    caplog.clear()
    predict_shard(trained.folder.path, str(tmp_path), tmp_path / "part.csv", (0, 1))
    assert f"Warning:  {line}" in caplog.text
    assert predict([trained.folder.path], None, tmp_path / "out.csv").warnings == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image_NHWC: image_NHWC // 8, "no pixel looked at is above level 31 of 255"),
        (
            lambda image_NHWC: np.tile(image_NHWC[:20], (20, 1, 1, 1)),
            "100% of the images held out from training equal",
        ),
    ],
)
def test_training_images_that_are_dark_or_copies_are_named(small, quick, tmp_path, caplog, change, words):
    np.save(tmp_path / "trainingset.npy", change(np.load(small / "trainingset.npy")))
    train_run(changed(quick, data={"source": str(tmp_path)}), tmp_path / "run")
    assert caplog.text.count(words) == 1


def test_images_that_an_estimator_shares_between_its_parts_are_no_copies(small, quick, caplog):
    images = open_images(small / "trainingset.npy")
    rows = np.arange(100)
    train_images(quick, images, Splits(rows, rows, rows), verbose=False)
    assert "Warning" not in caplog.text


def test_the_channels_and_side_that_a_run_takes_are_named(trained, demo, small, quick, tmp_path):
    pixel_NHWC = np.load(demo / "testingset.npy")
    np.save(tmp_path / "testingset.npy", pixel_NHWC[..., :1])
    with pytest.raises(InputError, match=r"prepare them like its own \(`side` \d+, without `grey`\)"):
        predict([trained.folder.path], str(tmp_path), tmp_path / "out.csv")
    grey = tmp_path / "grey"
    grey.mkdir()
    training_NHWC = np.load(small / "trainingset.npy")[..., :1]
    np.save(grey / "trainingset.npy", training_NHWC)
    run = train_run(changed(quick, data={"source": str(grey), "crop": 12}), tmp_path / "run")
    # The side is that before the crop.
    with pytest.raises(InputError, match=rf"like its own \(`side` {training_NHWC.shape[1]}, with `grey`\)"):
        predict([run.folder.path], str(small), tmp_path / "out.csv")

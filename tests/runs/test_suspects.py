"""Training images that look unlike the rest are named, and hardly any of a clean set."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw8.base.errors import InputError
from hw8.config.presets import changed
from hw8.report.explanation import explain
from hw8.report.figures import draw_images
from hw8.runs.train import train_run


def test_images_of_black_and_white_noise_among_the_faces_are_named(small, quick, tmp_path):
    faces = np.load(small / "trainingset.npy")
    planted = [7, 60, 101]
    faces[planted] = 255 * np.random.default_rng(0).integers(0, 2, (3, *faces.shape[1:]), np.uint8)
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "trainingset.npy", faces)
    files = [f"face {row}.jpg" for row in range(len(faces))]
    pd.DataFrame({"ID": range(len(files)), "file": files}).to_csv(tmp_path / "data" / "training_files.csv", index=False)
    run = train_run(changed(quick, data={"source": str(tmp_path / "data")}), tmp_path / "run")
    assert sorted(run.suspects.row_S[:3]) == planted
    assert len(run.suspects.row_S) <= 3 + 0.02 * len(faces)
    table = pd.read_csv(tmp_path / "run" / "suspects.csv")
    assert table["ID"].tolist() == run.suspects.row_S.tolist()
    assert table["file"].tolist() == [files[row] for row in run.suspects.row_S]
    assert (np.diff(table["score"]) <= 0).all()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["suspects"] == {"images": len(faces), "suspects": len(table)}
    first = run.suspects.row_S[0]
    explanation = explain(tmp_path / "run", None, files[first], of_training=True)
    assert explanation.name == f"training image {first} ({files[first]})"
    assert explanation.score == pytest.approx(run.suspects.score_S[0], rel=1e-4)
    np.testing.assert_array_equal(explanation.image_HWC, run.images.read(run.suspects.row_S[:1])[0])
    with pytest.raises(InputError, match="knows its own training images"):
        explain(tmp_path / "run", str(tmp_path / "data"), "0", of_training=True)
    draw_images(tmp_path / "suspects.png", run.images, run.suspects.row_S)
    with Image.open(tmp_path / "suspects.png") as picture:
        assert picture.width > 8 * picture.height
        assert np.asarray(picture).std() > 1


def test_a_suspect_among_neighbours_is_explained_by_the_others(small, quick, tmp_path):
    scoring = {"score": "latent", "distance": "neighbours", "fit_on": "training"}
    run = train_run(changed(quick, data={"source": str(small)}, scoring=scoring), tmp_path / "run")
    row = int(run.splits.train[0])
    explained = explain(tmp_path / "run", None, str(row), of_training=True)
    table = run.scorer.table(run.images, np.array([row]))
    assert explained.score == pytest.approx(run.run_score(table, np.array([True]))[0], rel=1e-4)
    assert explained.score > 1.05 * run.run_score(table)[0]  # where it is among its own neighbours


def test_a_clean_set_has_hardly_any(trained):
    assert len(trained.suspects.row_S) <= 0.02 * len(trained.images)
    assert (trained.folder.path / "suspects.csv").exists() == (len(trained.suspects.row_S) > 0)

"""What a class is measured by."""

import dataclasses

import numpy as np
import pytest

from hw8.base.errors import InputError
from hw8.config.presets import changed, load_preset
from hw8.evaluation import classical
from hw8.oneclass import protocol as oneclass
from hw8.oneclass.labelled_set import LabelledSet


def test_a_classical_baseline_learns_from_its_training_part_alone(monkeypatch):
    rng = np.random.default_rng(0)
    images, classes = rng.integers(0, 255, (120, 16, 16, 1), dtype=np.uint8), np.repeat(["a", "b"], 60)
    rows = []
    real = classical.fit_classical

    def fit(name, images, train, seed):
        rows.append((len(images), len(train)))
        return real(name, images, train, seed)

    monkeypatch.setattr(classical, "fit_classical", fit)
    cut = LabelledSet(images, classes, images, classes, name="two")
    row = oneclass._one(cut, "a", oneclass.load_method("one_class_svm"), None)
    assert rows == [(60, 36)], "24 are held out"
    assert row["train_images"] == "60"


def test_test_images_are_cropped_and_held_out_figures_stand_in_their_columns(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    images, classes = rng.integers(0, 255, (120, 24, 24, 1), dtype=np.uint8), np.repeat(["a", "b"], 60)
    runs = []
    real = oneclass.train_run
    monkeypatch.setattr(oneclass, "train_run", lambda *given: runs.append(real(*given)) or runs[-1])
    config = changed(
        load_preset("conv"), data={"crop": 16}, model={"options": {"latent": 4}}, train={"epochs": 1, "least_steps": 0}
    )
    row = oneclass._one(
        LabelledSet(images, classes, images, classes, name="two"),
        "a",
        dataclasses.replace(config, device="cpu"),
        tmp_path,
    )
    held_out = runs[0].held_out
    assert row["held_out_auc"] == f"{held_out.common.macro.auc:.6f}"
    assert row["unseen_auc"] == f"{held_out.unseen.macro.auc:.6f}"


def test_images_that_all_score_alike_are_refused(tmp_path):
    images, classes = (
        np.random.default_rng(0).integers(0, 255, (120, 16, 16, 1), dtype=np.uint8),
        np.repeat(["a", "b"], 60),
    )
    cut = LabelledSet(images, classes, np.full((120, 16, 16, 1), 9, np.uint8), classes, name="two")
    with pytest.raises(InputError, match="one_class_svm: every score is"):
        oneclass._one(cut, "a", oneclass.load_method("one_class_svm"), None)

"""The preset boss on small generated data: score, ensemble, evidence, explanation, ablation, transduction."""

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from hw8.base.errors import InputError
from hw8.commands.predict import notes
from hw8.compare.ablation import ablate
from hw8.config import RunConfig, to_yaml
from hw8.config.presets import changed, load_preset
from hw8.data.arrays import Images
from hw8.report.explanation import Explainer, explain
from hw8.report.explanation_figure import draw_explanation
from hw8.runs.predict import predict
from hw8.runs.train import FinishedTraining, train_run
from hw8.runs.trained_run import TrainedRun
from hw8.scoring import transductive
from hw8.scoring.fusion import fused_p_values
from hw8.scoring.tails import Tail

SMALL = {"widths": [8, 16, 16, 32], "latent": 16}


def settings(data: Path, preset: str = "boss", epochs: int = 2) -> RunConfig:
    config = changed(
        load_preset(preset),
        data={"source": str(data), "held_out_minimum": 60},
        model={"options": SMALL},
        train={"epochs": epochs, "least_steps": 0, "batch_size": 32},
    )
    return dataclasses.replace(config, device="cpu")


@pytest.fixture(scope="module")
def boss(small, tmp_path_factory) -> FinishedTraining:
    return train_run(settings(small), tmp_path_factory.mktemp("boss") / "boss")


@pytest.fixture(scope="module")
def second(small, tmp_path_factory) -> FinishedTraining:
    return train_run(dataclasses.replace(settings(small), seed=1), tmp_path_factory.mktemp("boss") / "second")


@pytest.mark.slow
def test_it_learns_to_recognise_and_finds_far_anomalies(demo, tmp_path):
    run = train_run(settings(demo, epochs=20), tmp_path / "boss")
    assert run.summary["diagnosis"]["turns_recognised"] > 0.85  # saying "none" is right for 62%
    prediction = predict([run.folder.path], None, tmp_path / "scores.csv")
    assert prediction.evaluation is not None
    assert min(prediction.evaluation.kinds[kind].auc for kind in ("cat", "cartoon")) > 0.75
    assert run.held_out.unseen.macro.auc > 0.6


def test_it_beats_chance_after_a_minute_of_a_lecture(boss, tmp_path):
    """Two epochs of 300 images of 16 pixels."""
    prediction = predict([boss.folder.path], None, tmp_path / "scores.csv")
    assert prediction.evaluation is not None
    assert min(prediction.evaluation.kinds[kind].auc for kind in ("cat", "cartoon")) > 0.6
    assert set(boss.summary["unseen_macro_auc_by_score"]) > {"joint", "amounts", "changes", "texture"}
    assert boss.held_out.unseen.macro.auc > 0.55


def test_labels_touch_nothing(boss, small, tmp_path):
    """The same images without labels, or with wrong ones, give the same weights, calibration and scores."""
    scores, weights = [], []
    for name in ("none", "wrong"):
        data = tmp_path / name
        data.mkdir()
        for file in ("trainingset.npy", "testingset.npy"):
            os.link(small / file, data / file)
        if name == "wrong":
            table = pd.read_csv(small / "testing_labels.csv")
            flipped = table.assign(label=1 - table["label"], kind=np.where(table["label"] == 1, "normal", "odd"))
            flipped.to_csv(data / "testing_labels.csv", index=False)
        run = train_run(settings(data, epochs=1), tmp_path / f"run_{name}")
        weights.append(run.folder.model_file.read_bytes())
        predict([run.folder.path], None, tmp_path / f"{name}.csv")
        scores.append((tmp_path / f"{name}.csv").read_bytes())
    assert weights[0] == weights[1]
    assert scores[0] == scores[1]


def test_an_ensemble_says_how_far_its_members_agree(boss, second, tmp_path):
    prediction = predict([boss.folder.path, second.folder.path], None, tmp_path / "both.csv")
    assert prediction.correlation is not None
    assert 0.1 < prediction.correlation[0, 1] < 0.99
    assert prediction.groups == [[0], [1]]
    members = [TrainedRun.load(run.folder.path) for run in (boss, second)]
    normals = [member.calibration.values_C["joint"] for member in members]
    np.testing.assert_array_equal(prediction.p_value_N, fused_p_values(prediction.score_N, normals, prediction.groups))
    tails = [Tail.fit(score_C) for score_C in normals]
    alone = [predict([run.folder.path], None, tmp_path / "one.csv").score_N for run in (boss, second)]
    np.testing.assert_allclose(
        prediction.score_N, sum(t.neg_log_p(s) for t, s in zip(tails, alone, strict=True)), rtol=1e-9
    )
    assert any("rank correlation of" in note for note in notes(prediction))
    twice = predict([boss.folder.path, boss.folder.path, second.folder.path], None, tmp_path / "three.csv")
    assert twice.groups == [[0, 1], [2]]
    np.testing.assert_allclose(twice.score_N, prediction.score_N, rtol=1e-6)
    assert any("Counted once" in note for note in notes(twice))


def test_evidence_is_kept_as_a_table(boss, tmp_path):
    for name in ("e.csv", "e.npz"):
        prediction = predict([boss.folder.path], None, tmp_path / "s.csv", evidence=tmp_path / name)
    table = pd.read_csv(tmp_path / "e.csv")
    assert list(table.columns[:3]) == ["ID", "score", "p_value"]
    assert {"amounts.zoom", "amounts.warmth", "changes.turned_180", "changes.blended", "texture.0"} < set(table.columns)
    np.testing.assert_allclose(table["score"], prediction.score_N, rtol=1e-6)
    arrays = np.load(tmp_path / "e.npz")
    assert arrays["amounts"].shape == (120, 13)
    np.testing.assert_allclose(arrays["amounts"][:, 0], table["amounts.zoom"], rtol=1e-5)


@pytest.mark.parametrize(
    ("runs", "name", "words"),
    [(1, "s.csv", "the name of another file"), (1, "e.txt", "must end in .csv or .npz"), (2, "e.csv", "single `run`")],
)
def test_bad_evidence_files_are_refused_before_anything_is_written(boss, tmp_path, runs, name, words):
    with pytest.raises(InputError, match=words):
        predict([boss.folder.path] * runs, None, tmp_path / "s.csv", evidence=tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_explanation_names_the_evidence(boss, small, tmp_path):
    kinds = pd.read_csv(small / "testing_labels.csv")["kind"].to_numpy()
    explanation = explain(boss.folder.path, None, str(np.flatnonzero(kinds == "cat")[0]))
    assert set(explanation.p_values) == {"amounts", "changes", "texture"}
    assert 0 < explanation.p_value <= 1
    assert set(explanation.shares) == set(explanation.p_values)
    assert sum(explanation.shares.values()) == pytest.approx(1)
    assert max(explanation.shares.values()) > 0.4
    assert any("% of the squared distance" in line for line in explanation.lines())
    assert explanation.deviations
    assert explanation.error_HW is not None
    assert explanation.error_HW.shape == (16, 16)
    assert explanation.map_HW is not None
    assert explanation.map_HW.shape == (16, 16)
    assert explanation.map_HW.max() > 0
    assert explanation.scale == explain(boss.folder.path, None, "0").scale, "one colour scale for the whole data set"
    assert explanation.rarity in explanation.lines()[0]
    draw_explanation(tmp_path / "e.png", explanation)
    assert (tmp_path / "e.png").stat().st_size > 5000
    with pytest.raises(InputError, match="`id` 120: give an ID from 0 to 119"):
        explain(boss.folder.path, None, "120")


def test_an_ablation_says_what_each_part_is_worth(boss, tmp_path):
    table = ablate(boss.folder.path)
    assert {"held_out", "unseen", "macro", "cat"} <= set(table.columns)
    assert {"l1", "texture", "joint", "joint without texture", "joint with l1", "joint by nearest neighbours"} <= set(
        table.index
    )
    prediction = predict([boss.folder.path], None, tmp_path / "s.csv")
    assert prediction.evaluation is not None
    assert table.loc["joint", "macro"] == pytest.approx(prediction.evaluation.macro.auc, abs=1e-3)
    assert table.loc["joint", "unseen"] == pytest.approx(boss.held_out.unseen.macro.auc, abs=1e-3)
    assert table.loc["amounts", "held_out"] == pytest.approx(
        boss.summary["held_out_macro_auc_by_score"]["amounts"], abs=1e-3
    )


@pytest.mark.slow
def test_an_ablation_keeps_the_runs_own_distances(small, tmp_path):
    scoring = {"distance": "neighbours", "fit_on": "training", "parts": ("amounts", "latent")}
    run = train_run(changed(settings(small, epochs=1), scoring=scoring), tmp_path / "run")
    prediction = predict([run.folder.path], None, tmp_path / "s.csv")
    assert prediction.evaluation is not None
    table = ablate(run.folder.path)
    assert table.loc["joint", "macro"] == pytest.approx(prediction.evaluation.macro.auc, abs=1e-3)
    assert "joint by Mahalanobis distance" in table.index


def test_an_ablation_leaves_each_score_out_of_a_fused_one(small, tmp_path):
    config = changed(
        load_preset("boss_views"),
        data={"source": str(small)},
        model={"options": {"widths": [4, 4, 4, 4]}},
        train={"epochs": 1, "least_steps": 0},
    )
    run = train_run(dataclasses.replace(config, device="cpu"), tmp_path / "run")
    table = ablate(run.folder.path)
    assert {"views", "latent", "early", "fused", "fused without early"} <= set(table.index)
    assert table.loc["fused", "held_out"] == pytest.approx(run.held_out.common.macro.auc, abs=1e-3)


def test_other_training_images_than_the_runs_own_are_refused(boss, small, tmp_path):
    for file in small.iterdir():
        os.link(file, tmp_path / file.name)
    (tmp_path / "trainingset.npy").unlink()
    np.save(tmp_path / "trainingset.npy", np.load(small / "trainingset.npy")[::-1].copy())
    run = tmp_path / "run"
    run.mkdir()
    for file in ("model.safetensors", "summary.json"):
        os.link(boss.folder.path / file, run / file)
    (run / "config.yaml").write_text(to_yaml(changed(boss.config, data={"source": str(tmp_path)})))
    with pytest.raises(InputError, match="is not what .* was trained on"):
        ablate(run)


@pytest.mark.parametrize(
    ("scoring", "words"),
    [
        ({"score": "l1", "parts": (), "transductive": True}, "starts from a recogniser's encoder"),
        ({"score": "joint", "parts": ("kl",)}, "`parts` kl: this model does not give it"),
        ({"score": "fused", "fused": ("l1", "kl")}, "`fused` kl: no such score; there are l1, mse"),
        ({"score": "kl"}, "`score` kl: this model does not give it; it gives l1, mse"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_training(small, tmp_path, scoring, words):
    config = changed(load_preset("conv"), data={"source": str(small)}, scoring=scoring)
    with pytest.raises(InputError, match=words):
        train_run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_transduction_is_named_and_repeats_itself(small, tmp_path, monkeypatch):
    config = settings(small, "boss_transductive", epochs=1)
    run = train_run(config, tmp_path / "run")
    alone_N = run.score(*of_test(run))[run.score_name]
    for least_z, words in (-np.inf, "Estimated share of anomalies: "), (np.inf, "0% (none found, so that each score"):
        monkeypatch.setattr(transductive, "MIN_Z", least_z)
        prediction = predict([run.folder.path], None, tmp_path / "first.csv")
        predict([run.folder.path], None, tmp_path / "second.csv")
        assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()
        (line,) = [note for note in notes(prediction) if "looking at the unlabelled test images" in note]
        assert words in line
        assert prediction.as_json()["transductive"] is True
        ranked_alike = spearmanr(prediction.score_N, alone_N)[0] > 0.999
        assert ranked_alike == (least_z > 0)
    images, rows = of_test(run)
    explained = Explainer(run, 1.0).explain(images.read(rows[:20]), [""] * 20)
    assert all((item.words == "not unusual by itself") == (item.p_value > 0.05) for item in explained)
    assert any(item.p_value > 0.05 for item in explained)


def test_transductive_scores_add_to_those_of_another_run(boss, second, tmp_path, monkeypatch):
    """Both are -log p; the transductive run, here a copy of the first, has no calibration normals to compare with."""
    monkeypatch.setattr(transductive, "MIN_Z", -np.inf)
    folder = tmp_path / "run"
    shutil.copytree(boss.folder.path, folder)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("transductive: false", "transductive: true"))
    both, own, other = (
        predict(runs, None, tmp_path / "scores.csv")
        for runs in ([folder, second.folder.path], [folder], [second.folder.path])
    )
    assert both.groups == [[0], [1]]
    neg_log_p_N = Tail.fit(TrainedRun.load(second.folder.path).calibration.values_C["joint"]).neg_log_p(other.score_N)
    np.testing.assert_allclose(both.score_N, own.score_N + neg_log_p_N, rtol=1e-9)
    assert both.p_value_N is None


def of_test(run: TrainedRun) -> tuple[Images, np.ndarray]:
    images = run.open_test(run.open_source(None))
    return images, np.arange(len(images))

import dataclasses
import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from hw8.base.errors import InputError, Interrupted
from hw8.compare import leaderboard
from hw8.compare.leaderboard import ComparisonPlan, compare
from hw8.compare.standings import held_out_rank_correlation, summarise, with_differences
from hw8.compare.tables import correlation_note, printed, write_leaderboard
from hw8.config import DataConfig, RunConfig, to_yaml
from hw8.config.presets import changed, load_preset
from hw8.data.labels import read_labels
from hw8.data.sources import open_source
from hw8.data.splits import split_rows
from hw8.evaluation import classical
from hw8.evaluation.classical import CLASSICAL, classical_crop, fit_classical, score_classical
from hw8.evaluation.metrics import evaluate, roc_auc
from hw8.report.comparison import Compared, write_comparison
from hw8.runs import train
from hw8.runs.submission import read_submission


@pytest.fixture
def plan(small, tmp_path) -> ComparisonPlan:
    return ComparisonPlan(("fcn", "pca"), (0, 1), str(small), 1, tmp_path / "runs")


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory) -> ComparisonPlan:
    """A comparison that was made."""
    plan = ComparisonPlan(("fcn", "pca"), (0, 1), str(small), 1, tmp_path_factory.mktemp("finished") / "runs")
    compare(plan)
    return plan


def test_every_preset_and_seed_gets_a_row_that_equals_its_file(finished, small):
    plan, rows = finished, compare(finished)
    assert rows[["preset", "seed"]].to_numpy().tolist() == [["fcn", 0], ["pca", 0], ["fcn", 1], ["pca", 1]]
    for row in rows.itertuples():
        scores = read_submission(plan.folder / f"{row.preset}-{row.seed}" / "scores.csv", 120)
        found = evaluate(scores, read_labels(small / "testing_labels.csv"))
        assert row.macro_auc == found.macro.auc
        assert row.auc_cat == found.kinds["cat"].auc


def test_without_a_test_set_the_development_images_are_scored(plan, small, tmp_path):
    shutil.copytree(small, tmp_path / "own")
    (tmp_path / "own" / "testingset.npy").unlink()
    source = open_source(str(tmp_path / "own"))
    plan = dataclasses.replace(plan, seeds=(0,), data=source.name)
    rows, count = compare(plan), len(split_rows(len(source.training()), DataConfig()).development)
    assert rows["held_out_auc"].notna().all()
    assert "macro_auc" not in rows
    for name in plan.presets:
        assert len(read_submission(plan.folder / f"{name}-0" / "scores.csv")) == count
    compared = Compared(rows, plan.folder, source, None)
    write_comparison(compared, compared.table(), tmp_path / "board", "compare.py")
    assert "High in one, not in the other" in (tmp_path / "board.html").read_text()
    pd.testing.assert_frame_equal(compare(plan), rows)


def test_finished_runs_are_kept_and_the_rest_goes_on(plan, monkeypatch):
    original, trained = leaderboard.train_or_resume, []

    def train_once(config, folder, command):
        if len(trained) == 1:
            raise Interrupted("stopped")
        trained.append(folder.name)
        return original(config, folder, command)

    monkeypatch.setattr(leaderboard, "train_or_resume", train_once)
    with pytest.raises(Interrupted, match="stopped with 2 of 4 runs finished"):
        compare(plan)
    monkeypatch.setattr(
        leaderboard, "train_or_resume", lambda *words: trained.append(words[1].name) or original(*words)
    )
    rows = compare(plan)
    assert trained == ["fcn-0", "fcn-1"]
    assert len(rows) == 4
    pd.testing.assert_frame_equal(compare(plan), rows)
    assert trained == ["fcn-0", "fcn-1"]


def test_an_interrupted_training_is_resumed(plan, monkeypatch):
    original, resumed = train.resume_run, []

    def interrupted(trainer):
        raise Interrupted("stopped")

    with monkeypatch.context() as stopping:
        stopping.setattr(train, "calibrate", interrupted)
        with pytest.raises(Interrupted, match="stopped with 0 of 4 runs finished"):
            compare(plan)
    monkeypatch.setattr(train, "resume_run", lambda folder: resumed.append(folder.name) or original(folder))
    rows = compare(plan)
    assert resumed == ["fcn-0"]
    assert rows["macro_auc"].notna().all()


def test_ctrl_c_while_a_baseline_is_fitted_says_what_is_finished(plan, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(leaderboard, "score_classical", interrupted)
    with pytest.raises(Interrupted, match=r"stopped with \d of 4 runs finished and the work saved"):
        compare(plan)


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_training_that_was_begun_otherwise_stops_the_comparison_before_it_runs(plan, epochs):
    config = changed(load_preset("fcn"), data={"source": plan.data}, train={"epochs": epochs, "least_steps": 0})
    folder = plan.folder / "fcn-0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(dataclasses.replace(config, threads=2, unaligned="")))
    if epochs == plan.epochs:
        assert compare(dataclasses.replace(plan, seeds=(0,)))["macro_auc"].notna().all()
        return
    with pytest.raises(InputError, match="fcn-0: was made with other settings or data"):
        compare(plan)
    assert not (plan.folder / "pca-0").exists()


@pytest.mark.parametrize("name", ["lr-0.01", "board"])
def test_files_keep_a_dot_in_their_name(finished, tmp_path, name):
    rows = compare(finished)
    write_leaderboard(rows, summarise(rows), tmp_path / name, "python scripts/compare.py")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.csv", f"{name}.md"]


def test_a_failed_preset_is_a_row_with_its_reason(plan, monkeypatch, tmp_path):
    def fail(config, folder, command):
        raise InputError("the loss is no longer a finite number")

    monkeypatch.setattr(leaderboard, "train_or_resume", fail)
    rows = compare(plan)
    failed = rows[rows["preset"] == "fcn"]
    assert (failed["failure"] == "the loss is no longer a finite number").all()
    assert summarise(rows)["preset"].tolist() == ["pca"]
    write_leaderboard(rows, summarise(rows), tmp_path / "board", "python scripts/compare.py")
    words = (tmp_path / "board.md").read_text()
    assert "Failed: fcn, seed 0: the loss is no longer" in words
    assert "| fcn |" in words
    assert "\nfcn failed" in re.sub(
        " +", " ", write_leaderboard(rows, summarise(rows), tmp_path / "board", "compare.py")
    )


def test_whatever_stops_a_preset_the_others_go_on(plan, monkeypatch):
    def fail(config, folder, command):
        raise RuntimeError("out of memory\nsomewhere")

    monkeypatch.setattr(leaderboard, "train_or_resume", fail)
    rows = compare(plan)
    assert rows["failure"].dropna().unique().tolist() == ["RuntimeError: out of memory somewhere"]
    assert rows.loc[rows["preset"] == "pca", "macro_auc"].notna().all()


def test_rows_of_other_images_do_not_stand_beside_these(plan, small, tmp_path):
    compare(ComparisonPlan(("pca",), (0,), plan.data, 1, plan.folder))
    data = tmp_path / "other"
    data.mkdir()
    os.link(small / "trainingset.npy", data / "trainingset.npy")
    np.save(data / "testingset.npy", 255 - np.load(small / "testingset.npy"))
    with pytest.raises(InputError, match="pca-0: was made with other settings or data"):
        compare(ComparisonPlan(("mean_image",), (0,), str(data), 1, plan.folder))


def test_another_seed_of_a_preset_was_made_with_the_same_settings(plan):
    compare(ComparisonPlan(("fcn",), (0,), plan.data, 1, plan.folder))
    with pytest.raises(InputError, match="fcn-0: was made with other settings or data"):
        compare(ComparisonPlan(("fcn", "pca"), (1,), plan.data, 2, plan.folder))
    rows = compare(ComparisonPlan(("pca",), (1,), plan.data, 2, plan.folder))
    assert sorted(rows["preset"]) == ["fcn", "pca"], "a preset that is not asked for stays"
    with pytest.raises(InputError, match="`epochs` 0: must be at least 1"):
        ComparisonPlan(("pca",), (0,), plan.data, 0, plan.folder)


def test_results_made_with_other_settings_stop_the_comparison_before_it_writes(plan, small):
    compare(ComparisonPlan(("pca", "fcn"), (0,), plan.data, 1, plan.folder))
    other = ComparisonPlan(("pca", "fcn"), (0,), plan.data, 2, plan.folder)
    written = []
    with pytest.raises(InputError, match="fcn-0: was made with other settings or data; give `out` another name"):
        compare(other, written.append)
    assert written == []
    with pytest.raises(InputError, match="`presets` nothing: unknown"):
        ComparisonPlan(("nothing",), (0,), plan.data, 1, plan.folder)
    (plan.folder / "pca-0" / "result.json").write_text("{")
    with pytest.raises(InputError, match="is no result of a comparison"):
        compare(plan)


def test_a_result_from_before_a_setting_was_added_stays_good(plan):
    once = ComparisonPlan(("pca",), (0,), plan.data, 1, plan.folder)
    compare(once)
    file = plan.folder / "pca-0" / "result.json"
    row = json.loads(file.read_text())
    del row["settings"]["config"]["unaligned"], row["settings"]["config"]["threads"]
    file.write_text(json.dumps(row))
    assert compare(once, lambda rows: pytest.fail("was run again"))["same"].nunique() == 1
    del row["settings"]
    file.write_text(json.dumps(row))
    with pytest.raises(InputError, match="is no result of a comparison \\(lacks 'settings'\\)"):
        compare(once)


def test_a_later_comparison_adds_to_the_table(plan):
    compare(ComparisonPlan(("pca",), (0, 0), plan.data, 1, plan.folder))
    rows = compare(ComparisonPlan(("mean_image", "mean_image"), (0, 1), plan.data, 1, plan.folder))
    assert rows[["preset", "seed"]].to_numpy().tolist() == [["pca", 0], ["mean_image", 0], ["mean_image", 1]]
    assert summarise(rows).set_index("preset")["seeds"].to_dict() == {"pca": 1, "mean_image": 2}


def test_the_table_has_means_spreads_and_order(tmp_path):
    rows = pd.DataFrame(
        {
            "preset": ["a", "b", "a", "b", "c", "c", "d", "classifier"],
            "seed": [0, 0, 1, 1, 0, 1, 0, 0],
            "held_out_auc": [0.5, 0.6, 0.5, 0.6, 0.8, 0.8, 0.5, 1.0],
            "macro_auc": [0.6, 0.7, 0.64, 0.7, 0.9, 0.8, 0.62, 0.1],
            "auc_cat": [0.6, 0.7, 0.64, 0.7, 0.9, 0.8, 0.62, 0.1],
            "same": ["1", "2", "1", "2", "3", "3", "1", "4"],
            "commit": ["abc"] * 8,
        }
    )
    table = summarise(rows)
    assert table["preset"].tolist() == ["c", "b", "a", "d", "classifier"]
    assert table["macro_auc"].to_numpy() == pytest.approx([0.85, 0.7, 0.62, 0.62, 0.1])
    assert table["spread"].to_numpy() == pytest.approx([0.1, 0, 0.04, np.nan, np.nan], nan_ok=True)
    found = held_out_rank_correlation(table)
    assert (found.every, found.rows) == (pytest.approx(1), 3), "d is a again, and the classifier is left out"
    assert found.better is None, "two rows always agree or disagree"
    text = write_leaderboard(rows, summarise(rows), tmp_path / "board", "python scripts/compare.py --presets a b c")
    assert max(map(len, text.splitlines())) <= 100
    words = (tmp_path / "board.md").read_text()
    assert "python scripts/compare.py --presets a b c" in words
    assert "0.850" in words
    assert "commit: abc" in words
    assert len(pd.read_csv(tmp_path / "board.csv")) == 8


@pytest.mark.parametrize("name", sorted(CLASSICAL))
def test_classical_detectors_beat_chance_on_far_anomalies(name, demo):
    source = open_source(str(demo))
    crop = classical_crop(name, source.training().side)
    assert crop == (44 if name == "pca_crop" else None)
    images, test, labels = source.training(crop), source.testing(crop), source.labels()
    score = fit_classical(name, images, np.arange(len(images)), seed=0)
    score_N = score(test, np.arange(len(test)))["score"]
    assert score_N.shape == (120,)
    far = np.isin(labels.kind_N, ["cat", "cartoon"])
    assert roc_auc(score_N[labels.label_N == 0], score_N[far]) > 0.6


def test_classical_baselines_are_fitted_without_the_rows_that_measure_them(small, monkeypatch):
    """Neither those that are measured on, nor those that other methods calibrate with."""
    fitted, measured = [], []
    fit, hold_out = classical.fit_classical, classical.evaluate_held_out
    monkeypatch.setattr(classical, "fit_classical", lambda *words: fitted.append(words[2]) or fit(*words))
    monkeypatch.setattr(classical, "evaluate_held_out", lambda *words: measured.append(words[2]) or hold_out(*words))
    source, config = open_source(str(small)), RunConfig(preset="pca")
    score_classical(source.training(), source.testing(), config)
    (train,), (development,) = fitted, measured
    splits = split_rows(400, config.data)
    np.testing.assert_array_equal(train, splits.train)
    np.testing.assert_array_equal(development, splits.development)
    assert not set(train) & (set(development) | set(splits.calibration))


def test_pca_error_is_the_distance_from_its_subspace(demo):
    images = open_source(str(demo)).training(16)
    score = fit_classical("pca", images, np.arange(200), seed=0)
    x_NP = images.read(np.arange(200)).reshape(200, -1) / 127.5 - 1
    centred = x_NP - x_NP.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    expected = np.linalg.norm(centred - centred @ directions[:50].T @ directions[:50], axis=1)
    np.testing.assert_allclose(score(images, np.arange(200))["score"], expected, rtol=0.05)


def test_a_result_says_how_it_was_made(finished):
    plan = finished
    paths = [*plan.folder.glob("*/result.json")]
    assert paths
    for path in paths:
        found = json.loads(path.read_text())
        assert found["settings"]["config"]["data"]["source"] == plan.data
        assert len(found["settings"]["fingerprint"]) == 64
        assert found["hardware"]


def test_transductive_rows_are_marked_and_do_not_count(tmp_path):
    rows = pd.DataFrame(
        {
            "preset": ["fcn", "conv", "resnet", "boss", "boss_transductive"],
            "seed": 0,
            "held_out_auc": [0.5, 0.6, 0.7, 0.9, 0.95],
            "macro_auc": [0.5, 0.6, 0.7, 0.6, 0.5],
            "same": list("abcde"),
        }
    )
    text = write_leaderboard(rows, summarise(rows), tmp_path / "board", "compare.py")
    assert "boss_transductive (*)" in text
    assert "(*) looks at the unlabelled test images" in (tmp_path / "board.md").read_text()
    found = held_out_rank_correlation(summarise(rows))
    assert (found.every, found.rows) == (1.0, 3)


def test_rows_trained_to_tell_held_out_kinds_do_not_count_and_the_better_half_is_told_apart():
    names = ["fcn", "conv", "resnet", "vae", "aae", "vqvae", "classifier", "classifier_noise", "boss"]
    rows = pd.DataFrame(
        {
            "preset": names,
            "seed": 0,
            "held_out_auc": [0.50, 0.55, 0.58, 0.61, 0.62, 0.63, 0.9, 0.9, 0.9],
            "macro_auc": [0.40, 0.45, 0.50, 0.61, 0.65, 0.60, 0.1, 0.2, 0.3],
            "same": list("abcdefghi"),
        }
    )
    found = held_out_rank_correlation(summarise(rows))
    assert (found.rows, found.better_rows) == (6, 3)
    assert found.every == pytest.approx(29 / 35)
    assert found.better == pytest.approx(-0.5)
    line = correlation_note(summarise(rows))
    assert line.endswith(": 0.83; over the 3 with the larger held-out figures: -0.50")
    assert "classifier_noise" in line


def test_rows_say_how_far_they_are_from_the_best(finished, small, tmp_path):
    plan, rows = finished, compare(finished)
    labels = read_labels(small / "testing_labels.csv")
    table = with_differences(summarise(rows), rows, plan.folder, labels)
    text = write_leaderboard(rows, table, tmp_path / "board", "compare.py")
    assert table["difference"][0] == 0
    assert np.isnan(table["difference_low"][0])
    assert table["difference"][1] == pytest.approx(table["macro_auc"][1] - table["macro_auc"][0])
    assert "best" in text
    assert "to best" in (tmp_path / "board.md").read_text()
    assert with_differences(summarise(rows), rows, plan.folder, None).equals(summarise(rows))


def test_the_printed_table_fits_whatever_its_rows():
    kinds = {f"auc_kind_number_{number}": [0.5, 0.6] for number in range(12)}
    rows = pd.DataFrame({"preset": ["denoise_gaussian_bce", "boss"], "seed": 0, "held_out_auc": 0.5, "unseen_auc": 0.5,
                         "macro_auc": [0.5, 0.6], "low": 0.4, "high": 0.7, **kinds, "minutes": 1.0, "parameters": 9e6,
                         "same": ["a", "b"]})  # fmt: skip
    text = printed(summarise(rows), {})
    assert max(map(len, text.splitlines())) <= 100
    assert all(name in text for name in ("macro", "held-out", "min", "kind_number_0"))

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
from hw8.compare.leaderboard import Contest, compare
from hw8.compare.standings import held_out_rank_correlation, summarise, with_differences
from hw8.compare.tables import notes, printed, write_leaderboard
from hw8.config import DataConfig, RunConfig, to_yaml
from hw8.config.presets import changed, load_preset
from hw8.data.labels import read_labels
from hw8.data.sources import open_source
from hw8.data.splits import split_rows
from hw8.evaluation.classical import CLASSICAL, classical_crop, fit_classical
from hw8.evaluation.metrics import evaluate, roc_auc
from hw8.oneclass import protocol as oneclass
from hw8.oneclass.labelled_set import LabelledSet
from hw8.oneclass.protocol import Plan, load_method, measure
from hw8.report.comparison import Compared, write_comparison
from hw8.runs import train
from hw8.runs.submission import read_submission


@pytest.fixture
def contest(small, tmp_path) -> Contest:
    return Contest(("fcn", "pca"), (0, 1), str(small), 1, tmp_path / "runs")


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory) -> Contest:
    """A comparison that was made."""
    contest = Contest(("fcn", "pca"), (0, 1), str(small), 1, tmp_path_factory.mktemp("finished") / "runs")
    compare(contest)
    return contest


def test_every_preset_and_seed_gets_a_row_that_equals_its_file(finished, small):
    contest, rows = finished, compare(finished)
    assert rows[["preset", "seed"]].to_numpy().tolist() == [["fcn", 0], ["pca", 0], ["fcn", 1], ["pca", 1]]
    for row in rows.itertuples():
        scores = read_submission(contest.folder / f"{row.preset}-{row.seed}" / "scores.csv", 120)
        found = evaluate(scores, read_labels(small / "testing_labels.csv"))
        assert row.macro_auc == found.macro.auc
        assert row.auc_cat == found.kinds["cat"].auc


def test_without_a_test_set_the_development_images_are_scored(contest, small, tmp_path):
    shutil.copytree(small, tmp_path / "own")
    (tmp_path / "own" / "testingset.npy").unlink()
    source = open_source(str(tmp_path / "own"))
    contest = dataclasses.replace(contest, seeds=(0,), data=source.name)
    rows, count = compare(contest), len(split_rows(len(source.training()), DataConfig()).development)
    assert rows["held_out_auc"].notna().all()
    assert "macro_auc" not in rows
    for name in contest.presets:
        assert len(read_submission(contest.folder / f"{name}-0" / "scores.csv")) == count
    write_comparison(Compared(rows, contest.folder, source, None), tmp_path / "board", "compare.py")
    assert "High in one, not in the other" in (tmp_path / "board.html").read_text()
    pd.testing.assert_frame_equal(compare(contest), rows)


def test_finished_runs_are_kept_and_the_rest_goes_on(contest, monkeypatch):
    original, trained = leaderboard.train_run, []

    def train_once(config, folder, command):
        if len(trained) == 1:
            raise Interrupted("stopped")
        trained.append(folder.name)
        return original(config, folder, command)

    monkeypatch.setattr(leaderboard, "train_run", train_once)
    with pytest.raises(Interrupted, match="stopped with 2 of 4 runs finished"):
        compare(contest)
    monkeypatch.setattr(leaderboard, "train_run", lambda *words: trained.append(words[1].name) or original(*words))
    rows = compare(contest)
    assert trained == ["fcn-0", "fcn-1"]
    assert len(rows) == 4
    pd.testing.assert_frame_equal(compare(contest), rows)
    assert trained == ["fcn-0", "fcn-1"]


def test_an_interrupted_training_is_resumed(contest, monkeypatch):
    original, resumed = leaderboard.resume_run, []

    def interrupted(trainer):
        raise Interrupted("stopped")

    with monkeypatch.context() as stopping:
        stopping.setattr(train, "calibrate", interrupted)
        with pytest.raises(Interrupted, match="stopped with 0 of 4 runs finished"):
            compare(contest)
    monkeypatch.setattr(leaderboard, "resume_run", lambda folder: resumed.append(folder.name) or original(folder))
    rows = compare(contest)
    assert resumed == ["fcn-0"]
    assert rows["macro_auc"].notna().all()


def test_ctrl_c_while_a_baseline_is_fitted_says_what_is_finished(contest, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(leaderboard, "fit_classical", interrupted)
    with pytest.raises(Interrupted, match=r"stopped with \d of 4 runs finished and the work saved"):
        compare(contest)


@pytest.mark.parametrize(("seed", "is_begun"), [(0, True), (1, False)])
def test_a_run_is_known_again_by_the_settings_that_were_decided_for_its_images(small, tmp_path, seed, is_begun):
    config = changed(load_preset("boss_quick"), data={"source": str(small)})
    config_file = tmp_path / "config.yaml"
    config_file.write_text(to_yaml(dataclasses.replace(config, seed=seed, threads=2, unaligned="")))
    assert leaderboard._is_begun(config, config_file) == is_begun


@pytest.mark.parametrize("name", ["lr-0.01", "board"])
def test_files_keep_a_dot_in_their_name(finished, tmp_path, name):
    write_leaderboard(compare(finished), tmp_path / name, "python scripts/compare.py")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.csv", f"{name}.md"]


def test_a_failed_preset_is_a_row_with_its_reason(contest, monkeypatch, tmp_path):
    def fail(config, folder, command):
        raise InputError("the loss is no longer a finite number")

    monkeypatch.setattr(leaderboard, "train_run", fail)
    rows = compare(contest)
    failed = rows[rows["preset"] == "fcn"]
    assert (failed["failure"] == "the loss is no longer a finite number").all()
    assert summarise(rows)["preset"].tolist() == ["pca"]
    write_leaderboard(rows, tmp_path / "board", "python scripts/compare.py")
    words = (tmp_path / "board.md").read_text()
    assert "Failed: fcn, seed 0: the loss is no longer" in words
    assert "| fcn |" in words
    assert "\nfcn failed" in re.sub(" +", " ", write_leaderboard(rows, tmp_path / "board", "compare.py"))


def test_whatever_stops_a_preset_the_others_go_on(contest, monkeypatch):
    def fail(config, folder, command):
        raise RuntimeError("out of memory\nsomewhere")

    monkeypatch.setattr(leaderboard, "train_run", fail)
    rows = compare(contest)
    assert rows["failure"].dropna().unique().tolist() == ["RuntimeError: out of memory somewhere"]
    assert rows.loc[rows["preset"] == "pca", "macro_auc"].notna().all()


def test_rows_of_other_images_do_not_stand_beside_these(contest, small, tmp_path):
    compare(Contest(("pca",), (0,), contest.data, 1, contest.folder))
    data = tmp_path / "other"
    data.mkdir()
    os.link(small / "trainingset.npy", data / "trainingset.npy")
    np.save(data / "testingset.npy", 255 - np.load(small / "testingset.npy"))
    with pytest.raises(InputError, match="pca-0: was made with other settings or data"):
        compare(Contest(("mean_image",), (0,), str(data), 1, contest.folder))


def test_another_seed_of_a_preset_was_made_with_the_same_settings(contest):
    compare(Contest(("fcn",), (0,), contest.data, 1, contest.folder))
    with pytest.raises(InputError, match="fcn-0: was made with other settings or data"):
        compare(Contest(("fcn", "pca"), (1,), contest.data, 2, contest.folder))
    rows = compare(Contest(("pca",), (1,), contest.data, 2, contest.folder))
    assert sorted(rows["preset"]) == ["fcn", "pca"], "a preset that is not asked for stays"
    with pytest.raises(InputError, match="`epochs` 0: must be at least 1"):
        Contest(("pca",), (0,), contest.data, 0, contest.folder)


def test_results_made_with_other_settings_stop_the_comparison_before_it_writes(contest, small):
    compare(Contest(("pca", "fcn"), (0,), contest.data, 1, contest.folder))
    other = Contest(("pca", "fcn"), (0,), contest.data, 2, contest.folder)
    written = []
    with pytest.raises(InputError, match="fcn-0: was made with other settings or data; give `out` another name"):
        compare(other, written.append)
    assert written == []
    with pytest.raises(InputError, match="`preset` nothing: unknown"):
        Contest(("nothing",), (0,), contest.data, 1, contest.folder)
    (contest.folder / "pca-0" / "result.json").write_text("{")
    with pytest.raises(InputError, match="is no result of a comparison"):
        compare(contest)


def test_a_result_from_before_a_setting_was_added_stays_good(contest):
    once = Contest(("pca",), (0,), contest.data, 1, contest.folder)
    compare(once)
    file = contest.folder / "pca-0" / "result.json"
    row = json.loads(file.read_text())
    del row["settings"]["config"]["unaligned"], row["settings"]["config"]["threads"]
    file.write_text(json.dumps(row))
    assert compare(once, lambda rows: pytest.fail("was run again"))["same"].nunique() == 1
    del row["settings"]
    file.write_text(json.dumps(row))
    with pytest.raises(InputError, match="is no result of a comparison \\(lacks 'settings'\\)"):
        compare(once)


def test_a_later_comparison_adds_to_the_table(contest):
    compare(Contest(("pca",), (0, 0), contest.data, 1, contest.folder))
    rows = compare(Contest(("mean_image", "mean_image"), (0, 1), contest.data, 1, contest.folder))
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
    text = write_leaderboard(rows, tmp_path / "board", "python scripts/compare.py --presets a b c")
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
    score_N = score(test, np.arange(len(test)), None)["score"]
    assert score_N.shape == (120,)
    far = np.isin(labels.kind_N, ["cat", "cartoon"])
    assert roc_auc(score_N[labels.label_N == 0], score_N[far]) > 0.6


@pytest.mark.parametrize("module", [leaderboard, oneclass])
def test_classical_detectors_are_fitted_without_the_rows_that_measure_them(module, small, tmp_path, monkeypatch):
    """Neither those that are measured on, nor those that other methods calibrate with."""
    fitted, measured = [], []
    fit, hold_out = module.fit_classical, module.evaluate_held_out
    monkeypatch.setattr(module, "fit_classical", lambda *words: fitted.append(words[2]) or fit(*words))
    monkeypatch.setattr(module, "evaluate_held_out", lambda *words: measured.append(words[2]) or hold_out(*words))
    if module is leaderboard:
        compare(Contest(("pca",), (0,), str(small), 1, tmp_path / "runs"))
        config = RunConfig().data
    else:
        images_NHWC = np.load(small / "trainingset.npy")
        source = LabelledSet(images_NHWC, np.arange(400) % 2, images_NHWC[:20], np.arange(20) % 2, name="one")
        measure(Plan(source, load_method("pca"), classes=("0",), ledger=tmp_path / "one.csv"))
        config = load_method("pca").data
    (train,), (development,) = fitted, measured
    splits = split_rows(400 if module is leaderboard else 200, config)
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
    np.testing.assert_allclose(score(images, np.arange(200), None)["score"], expected, rtol=0.05)


def test_a_result_says_how_it_was_made(finished):
    contest = finished
    for path in contest.folder.glob("*/result.json"):
        found = json.loads(path.read_text())
        assert found["settings"]["config"]["data"]["source"] == contest.data
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
    text = write_leaderboard(rows, tmp_path / "board", "compare.py")
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
    (line,) = [line for line in notes(rows, summarise(rows)) if "rank correlation" in line]
    assert line.endswith(": 0.83; over the 3 with the larger held-out figures: -0.50")
    assert "classifier_noise" in line


def test_rows_say_how_far_they_are_from_the_best(finished, small, tmp_path):
    contest, rows = finished, compare(finished)
    labels = read_labels(small / "testing_labels.csv")
    text = write_leaderboard(rows, tmp_path / "board", "compare.py", contest.folder, labels)
    table = with_differences(summarise(rows), rows, contest.folder, labels)
    assert table["difference"][0] == 0
    assert np.isnan(table["difference_low"][0])
    assert table["difference"][1] == pytest.approx(table["macro_auc"][1] - table["macro_auc"][0])
    assert "best" in text
    assert "to best" in (tmp_path / "board.md").read_text()
    assert with_differences(summarise(rows), rows, contest.folder, None).equals(summarise(rows))


def test_the_printed_table_fits_whatever_its_rows():
    kinds = {f"auc_kind_number_{number}": [0.5, 0.6] for number in range(12)}
    rows = pd.DataFrame({"preset": ["denoise_gaussian_bce", "boss"], "seed": 0, "held_out_auc": 0.5, "unseen_auc": 0.5,
                         "macro_auc": [0.5, 0.6], "low": 0.4, "high": 0.7, **kinds, "minutes": 1.0, "parameters": 9e6,
                         "same": ["a", "b"]})  # fmt: skip
    text = printed(summarise(rows), {})
    assert max(map(len, text.splitlines())) <= 100
    assert all(name in text for name in ("macro", "held-out", "min", "kind_number_0"))

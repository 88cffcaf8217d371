import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hw8.base.errors import InputError
from hw8.base.tables import read_table
from hw8.commands.predict import flagged, main, notes
from hw8.config import to_yaml
from hw8.config.presets import changed
from hw8.evaluation.metrics import evaluate
from hw8.report import figures
from hw8.report.figures import draw_reconstructions, draw_scores
from hw8.report.tables import auc_table
from hw8.runs.predict import predict, predict_shard
from hw8.runs.prediction_files import write_discoveries
from hw8.runs.submission import merge_parts, read_submission
from hw8.runs.train import resume_run, train_run
from hw8.scoring.inference import Scorer
from hw8.scoring.tails import benjamini_hochberg
from hw8.training.run_folder import SavedModel, newest_run

FINISHED = '{"held_out": {}}'  # a summary.json


def test_scores_every_test_image_of_the_runs_own_data(trained, tmp_path):
    out = tmp_path / "scores.csv"
    prediction = predict([trained.folder.path], None, out)
    assert len(read_submission(out, 120)) == 120
    assert prediction.evaluation is not None
    assert prediction.labels is not None
    assert evaluate(read_submission(out), prediction.labels) == prediction.evaluation
    assert prediction.evaluation.macro.auc > 0.55
    values = prediction.as_json()
    assert values["rows"] == 120
    assert values["macro_auc"] == prediction.evaluation.macro.auc
    assert json.loads(json.dumps(values)) == values
    assert values["flagged_at_p05"] == (prediction.p_value_N <= 0.05).mean()


def test_images_flagged_at_a_false_discovery_rate_stand_in_a_file(trained, tmp_path, caplog):
    caplog.set_level("INFO")
    prediction = predict([trained.folder.path], None, tmp_path / "scores.csv", fdr=0.5)
    assert prediction.p_value_N is not None
    assert prediction.discovery is not None
    table = read_table(tmp_path / "scores.flagged.csv", ("ID", "p_value"))
    rows = [int(row) for row in table["ID"]]
    assert sorted(rows) == np.flatnonzero(benjamini_hochberg(prediction.p_value_N, 0.5)).tolist()
    assert [float(value) for value in table["p_value"]] == sorted(prediction.p_value_N[rows])
    names = [f"{row}.jpg" for row in range(len(prediction.p_value_N))]
    write_discoveries(tmp_path / "named.csv", prediction.p_value_N, 0.5, names)
    named = read_table(tmp_path / "named.csv", ("ID", "p_value", "file"))
    assert named["file"].tolist() == [f"{row}.jpg" for row in table["ID"]]
    assert prediction.as_json()["flagged_at_fdr"] == prediction.discovery.count == len(rows) > 0
    with pytest.raises(InputError, match="lies between 0 and 1"):
        predict([trained.folder.path], None, tmp_path / "none.csv", fdr=1.0)
    predict([trained.folder.path], None, tmp_path / "scores.csv", fdr=0.5)
    assert "removed" not in caplog.text, "it is written again"
    predict([trained.folder.path], None, tmp_path / "scores.csv")
    assert not (tmp_path / "scores.flagged.csv").exists(), "it was of the scores that were replaced"
    assert "scores.flagged.csv: removed, since it was made of the scores that are now replaced" in caplog.text
    assert not (tmp_path / "none.csv").exists()


def test_without_labels_it_still_writes(trained, demo, tmp_path):
    (tmp_path / "data").mkdir()
    os.link(demo / "testingset.npy", tmp_path / "data" / "testingset.npy")
    prediction = predict([trained.folder.path], str(tmp_path / "data"), tmp_path / "scores.csv")
    assert prediction.evaluation is None
    assert "macro_auc" not in prediction.as_json()


def test_an_ensemble_is_fused(quick, tmp_path):
    """Runs that held out other normals have no common p-values."""
    runs = [tmp_path / "first", tmp_path / "other"]
    train_run(quick, runs[0])
    train_run(changed(quick, data={"split_seed": 1}), runs[1])
    alone = [predict([run], None, tmp_path / "one.csv").score_N for run in runs]
    prediction = predict(runs, None, tmp_path / "both.csv")
    assert prediction.p_value_N is None
    assert flagged(prediction) is None
    for scores in alone:
        assert np.corrcoef(scores, prediction.score_N)[0, 1] > 0.5


def test_the_score_of_an_image_does_not_depend_on_the_others_of_an_ensemble(quick, tmp_path):
    """A few images agree by chance, and their runs would count as one."""
    runs = [tmp_path / "first", tmp_path / "other", tmp_path / "copy"]
    train_run(quick, runs[0])
    train_run(dataclasses.replace(quick, seed=1), runs[1])
    shutil.copytree(runs[0], runs[2])
    whole = predict(runs, None, tmp_path / "whole.csv")
    assert whole.groups == [[0, 2], [1]]
    np.save(tmp_path / "testingset.npy", np.load(Path(quick.data.source) / "testingset.npy")[:1])
    single = predict(runs, str(tmp_path), tmp_path / "single.csv")
    assert single.groups == whole.groups
    np.testing.assert_allclose(single.score_N, whole.score_N[:1], rtol=1e-4)


def test_how_many_normal_images_are_flagged_is_said_where_it_is_known(trained, demo, tmp_path):
    prediction = predict([trained.folder.path], None, tmp_path / "scores.csv")
    normal_N = prediction.labels.label_N == 0
    count = (prediction.p_value_N[normal_N] <= 0.05).sum()
    assert f"(of normal images 5% are expected, and {count} of {normal_N.sum()} are)" in flagged(prediction)
    assert flagged(dataclasses.replace(prediction, labels=None)).endswith("(of normal images 5% are expected)")
    assert not any("nearly all" in line for line in notes(prediction))
    every = dataclasses.replace(prediction, p_value_N=np.full(120, 0.01))
    assert any("nearly all images are flagged" in line for line in notes(every))


def test_runs_that_cannot_score(trained, quick, demo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished = tmp_path / "runs" / "first"
    finished.mkdir(parents=True)
    (finished / "summary.json").write_text(FINISHED)
    with pytest.raises(InputError, match=r"no run here \(config.yaml is missing\); the newest runs are runs/first; "):
        predict([tmp_path], None, None)
    half = tmp_path / "half"
    half.mkdir()
    (half / "config.yaml").write_text(to_yaml(quick))
    with pytest.raises(InputError, match="no weights yet; resume it with `hw8 train --resume"):
        predict([half], None, None)
    trained.folder.__class__(half).save_model(
        SavedModel(trained.scorer.model, trained.side, trained.channels).to_bytes()
    )
    with pytest.raises(InputError, match=r"does not fit|not finished"):
        predict([half], None, None)
    (half / "model.safetensors").write_bytes(b"\x00" * 50)
    with pytest.raises(InputError, match="cannot be loaded"):
        predict([half], None, None)
    assert not (tmp_path / "submissions").exists()


def test_an_unfinished_run_says_how_to_finish_it(trained, tmp_path):
    half = tmp_path / "half"
    half.mkdir()
    (half / "config.yaml").write_text(to_yaml(trained.config))
    trained.folder.__class__(half).save_model(
        SavedModel(trained.scorer.model, trained.side, trained.channels).to_bytes()
    )
    with pytest.raises(InputError, match="its training is not finished; resume it with"):
        predict([half], None, None)


def test_a_run_that_was_stopped_while_it_was_measured_scores(trained, tmp_path):
    measured = trained.folder.path
    for name in ("config.yaml", "model.safetensors"):  # summary.json is written last
        shutil.copy(measured / name, tmp_path / name)
    scores = [predict([run], None, tmp_path / "scores.csv") for run in (tmp_path, measured)]
    assert np.array_equal(scores[0].score_N, scores[1].score_N)
    assert np.array_equal(scores[0].p_value_N, scores[1].p_value_N)
    with pytest.raises(
        InputError, match=f"does not name the training images; finish the run with `hw8 train --resume {tmp_path}"
    ):
        predict([tmp_path, measured], None, tmp_path / "scores.csv")


def test_its_own_data_may_be_spelled_in_another_way(quick, demo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "normals").mkdir()
    os.link(demo / "trainingset.npy", "normals/trainingset.npy")
    train_run(changed(quick, data={"source": "normals"}), tmp_path / "run")
    scores = [predict([tmp_path / "run"], where, tmp_path / "scores.csv").score_N for where in (None, "./normals")]
    assert np.array_equal(*scores)


def test_images_of_another_side_are_refused(quick, tmp_path):
    run = train_run(changed(quick, train={"epochs": 1}), tmp_path / "run")
    np.save(tmp_path / "testingset.npy", np.zeros((5, 32, 32, 3), np.uint8))
    with pytest.raises(InputError, match="images of 32x32x3, but .* takes 16x16x3"):
        predict([run.folder.path], str(tmp_path), tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_identical_test_images_are_refused_before_anything_is_written(trained, tmp_path):
    np.save(tmp_path / "testingset.npy", np.full((30, 64, 64, 3), 7, np.uint8))
    with pytest.raises(InputError, match="every score is"):
        predict([trained.folder.path], str(tmp_path), tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_the_picture_cannot_take_the_files_place(trained, tmp_path):
    for name in ("scores.png", "scores"):
        with pytest.raises(InputError, match=r"must end in \.csv"):
            predict([trained.folder.path], None, tmp_path / name)
    for name in ("scores.csv", "scores.files.csv", "scores.flagged.csv"):
        with pytest.raises(InputError, match="is the name of another file that is written"):
            predict([trained.folder.path], None, tmp_path / "scores.csv", evidence=tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_drawn_costs_no_scores(trained, tmp_path, monkeypatch, capsys, caplog):
    def full(*_: object) -> None:
        raise InputError("the disk is full")

    out, picture = tmp_path / "s.csv", tmp_path / "s.png"
    picture.write_bytes(b"of other scores")
    monkeypatch.setattr(figures, "draw_scores", full)
    monkeypatch.setattr(sys, "argv", ["predict.py", "--run", str(trained.folder.path), "--out", str(out)])
    main()
    printed = capsys.readouterr().out
    assert f"Wrote:    {out}" in printed
    assert "Pictures:" not in printed
    assert "no picture of the scores: the disk is full" in caplog.text
    assert not picture.exists()


def test_a_run_whose_images_are_not_found_says_what_to_do_when_it_is_resumed(trained, tmp_path):
    shutil.copy(trained.folder.path / "config.yaml", tmp_path)
    config = changed(trained.config, data={"source": "gone"})
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    with pytest.raises(InputError, match="own images cannot be opened: `data` gone: .*start this in the folder where"):
        resume_run(tmp_path)


def test_files_of_others_are_not_replaced(trained, tmp_path):
    labels = tmp_path / "testing_labels.csv"
    labels.write_text("ID,label\n0,1\n")
    for options in ({"out": labels}, {"out": tmp_path / "scores.csv", "evidence": labels}):
        with pytest.raises(InputError, match="was not written by this command, and would be lost; choose another name"):
            predict([trained.folder.path], None, **options)
    assert [path.name for path in tmp_path.iterdir()] == [labels.name]
    for name, option in (("s.flagged.csv", "out"), ("s.files.csv", "out"), ("e.npz", "evidence")):
        (tmp_path / name).write_text("mine\n")
        with pytest.raises(InputError, match=f"`{option}` .*{name}: was not written by this command"):
            predict([trained.folder.path], None, tmp_path / "s.csv", evidence=tmp_path / "e.npz")
        (tmp_path / name).write_text("")
    predict([trained.folder.path], None, tmp_path / "s.csv", evidence=tmp_path / "e.npz")


def test_the_newest_run_is_the_default(tmp_path):
    for age, name in ((0, "damaged"), (10, "new"), (500, "old")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text(FINISHED)
        os.utime(tmp_path / name / "summary.json", (1e9 - age, 1e9 - age))
    (tmp_path / "damaged" / "summary.json").write_text("{")
    assert newest_run(tmp_path).name == "new"
    (tmp_path / "baseline" / "boss_quick").mkdir(parents=True)
    (tmp_path / "baseline" / "boss_quick" / "summary.json").write_text(FINISHED)
    assert newest_run(tmp_path).name == "new"
    for name in ("new", "old"):
        (tmp_path / name / "summary.json").unlink()
    assert newest_run(tmp_path).name == "boss_quick", "of a subfolder where there is no other that finished"
    with pytest.raises(InputError, match=r"no finished run in .*train one first"):
        newest_run(tmp_path / "new")


def test_the_table_shows_every_kind_and_its_interval(trained):
    text = auc_table(trained.held_out.common, "Title")
    for kind, item in trained.held_out.common.kinds.items():
        row = next(line for line in text.splitlines() if line.startswith(kind))
        assert row.split()[1:] == [str(item.n), f"{item.auc:.3f}", f"{item.low:.3f}", "to", f"{item.high:.3f}"]
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("labelled", [True, False])
def test_pictures_are_drawn(trained, tmp_path, labelled):
    from matplotlib.image import imread

    draw_reconstructions(tmp_path / "faces.png", trained, trained.images, trained.splits.development)
    prediction = predict([trained.folder.path], None, tmp_path / "out.csv")
    draw_scores(tmp_path / "scores.png", prediction.score_N, prediction.labels if labelled else None)
    for name in ("faces.png", "scores.png"):
        picture = imread(tmp_path / name)
        assert min(picture.shape[:2]) > 200
        assert picture[..., :3].std() > 0.05


@pytest.mark.parametrize("count", [1, 2, 3])
def test_parts_merge_to_the_same_bytes(trained, tmp_path, count, monkeypatch):
    config = trained.folder.config_file.read_text()
    small = tmp_path / "run"
    shutil.copytree(trained.folder.path, small)
    (small / "config.yaml").write_text(config.replace("score_batch_size: 256", "score_batch_size: 32"))
    predict([small], None, tmp_path / "whole.csv")
    parts = [tmp_path / f"{number}.csv" for number in range(count)]
    rows = [predict_shard(small, None, part, (number, count)) for number, part in enumerate(parts)]
    assert sum(rows) == 120
    assert merge_parts(parts[::-1], tmp_path / "merged.csv") == 120
    assert (tmp_path / "merged.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_parts_that_do_not_fit_are_refused(trained, tmp_path):
    run = trained.folder.path
    with pytest.raises(InputError, match="`shard` 2/2: the parts are 0/2 to 1/2"):
        predict_shard(run, None, tmp_path / "x.csv", (2, 2))
    with pytest.raises(InputError, match="120 images are only 1 batches"):
        predict_shard(run, None, tmp_path / "x.csv", (0, 2))
    ids_of = {"a": range(3), "b": range(4, 6), "c": range(2, 5), "d": [5, 7], "e": range(3, 6)}
    for name, ids in ids_of.items():
        rows = "\n".join(f"{number},{number}.5,6-{'x' if name < 'e' else 'y'}" for number in ids)
        (tmp_path / f"{name}.csv").write_text(f"ID,score,whole\n{rows}\n")
    for names, message in (("ab", "b.csv: IDs 3 to 3 are missing"), ("ac", "c.csv: ID 2 is in two parts"),
                           ("d", "must rise one by one"), ("b", "IDs 0 to 3 are missing"),
                           ("a", "IDs from 3 on are missing of 6"),
                           ("ae", "e.csv: is a part of another run")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            merge_parts([tmp_path / f"{name}.csv" for name in names], tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_a_transductive_run_has_no_parts(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("hw8.runs.trained_run.check_can_transduce", lambda model: None)  # it is no recogniser
    run = tmp_path / "run"
    shutil.copytree(trained.folder.path, run)
    text = trained.folder.config_file.read_text().replace("transductive: false", "transductive: true")
    (run / "config.yaml").write_text(text)
    with pytest.raises(InputError, match="must see the whole test set at once"):
        predict_shard(run, None, tmp_path / "x.csv", (0, 1))


def test_threads_are_those_that_are_given(trained, tmp_path, monkeypatch, call):
    used = []
    original = Scorer.table

    def table(self, *arguments, **options):
        used.append(torch.get_num_threads())
        return original(self, *arguments, **options)

    monkeypatch.setattr(Scorer, "table", table)
    words = ("--run", trained.folder.path, "--out", tmp_path / "a.csv", "--threads")
    for shard in ((), ("--shard", "0/1")):
        used.clear()
        call("predict", *words, 3, *shard)
        assert used[-1] == 3
    assert torch.get_num_threads() != 3
    assert call("predict", *words, 0, code=2).line == "error: --threads 0: must be at least 1"


def test_what_cannot_be_written_or_is_several_runs_is_said_before_anything_is_scored(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(Scorer, "table", lambda *_, **__: pytest.fail("was scored"))
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.csv").mkdir()
    for out, words in (("file/x.csv", "cannot be written to"), ("folder.csv", "is a folder; choose another name")):
        with pytest.raises(InputError, match=words):
            predict([trained.folder.path], None, tmp_path / out)
    (tmp_path / "board" / "fcn-0").mkdir(parents=True)
    (tmp_path / "board" / "fcn-0" / "config.yaml").write_text("")
    with pytest.raises(InputError, match="board: holds several runs, fcn-0; give the folder of one"):
        predict([tmp_path / "board"], None, None)

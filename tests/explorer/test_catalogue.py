import csv
import dataclasses
import io

import numpy as np
import pytest

from hw8.base.errors import InputError
from hw8.data.sources import TESTING_FILES, TRAINING_FILES, Source
from hw8.explorer.catalogue import Catalogue
from hw8.explorer.query import Query
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.tails import is_flagged


def ids(catalogue: Catalogue, **wanted: object) -> set[int]:
    return set(catalogue.rows(Query(**wanted)).tolist())


def test_filters_are_those_of_p_values_and_labels(pair):
    first, second = pair.runs
    flagged_N, other_N = (is_flagged(run.p_values["score"]) for run in (first, second))
    label_N, kind_N = pair.labels.label_N, pair.labels.kind_N
    assert 0 < flagged_N.sum() < 120
    for show, expected_N in {
        "all": label_N >= 0,
        "flagged": flagged_N,
        "unflagged": ~flagged_N,
        "false_alarms": flagged_N & (label_N == 0),
        "misses": ~flagged_N & (label_N == 1),
        "only_here": flagged_N & ~other_N,
        "only_there": other_N & ~flagged_N,
    }.items():
        assert ids(pair, show=show) == set(np.flatnonzero(expected_N)), show
    assert ids(pair, kind="cat", show="misses") == set(np.flatnonzero(~flagged_N & (kind_N == "cat")))
    assert ids(pair, run=1, show="only_here") == ids(pair, show="only_there") != set()
    above = float(np.sort(first.scores["mse"])[50])
    assert ids(pair, by="mse", above=above, show="flagged") == set(np.flatnonzero(first.scores["mse"] > above))


def test_images_are_found_by_id_and_by_file_name(pair, catalogue):
    assert ids(pair, text="17") == ids(pair, text="#17") == {17, 117}
    assert ids(pair, text=" img_5.JPG ") == {5}
    assert ids(pair, text="shelf 3/") == set(range(3, 120, 7))
    assert ids(pair, text="nowhere") == ids(pair, text="120") == set()
    assert ids(catalogue, text="17") == {17}
    card = pair.listing(Query(text="IMG_17."), 0, 60)["cards"][0]
    assert card["file"] == "shelf 3/IMG_17.jpg"
    assert card["other"]["score"] == pair.runs[1].scores["score"][17]
    assert pair.explain(17)["file"] == "shelf 3/IMG_17.jpg"
    assert [run["run"] for run in pair.explain(17)["runs"]] == ["trained", "other"]


def test_the_histogram_counts_what_the_filters_find(pair):
    for run, by in ((0, "score"), (1, "score"), (0, "latent")):
        histogram = pair.histogram(run, by)
        above_T, groups = histogram["thresholds"], histogram["groups"]
        assert np.all(np.diff(above_T) > 0)
        for place in (0, 100, histogram["default"], 240):
            flagged = ids(pair, run=run, by=by, show="flagged", above=above_T[place])
            normal = {row for row in flagged if pair.labels.label_N[row] == 0}
            assert [group["above"][place] for group in groups] == [len(normal), len(flagged) - len(normal)]
            assert (pair.runs[run].p_values[by][list(flagged)] <= histogram["p"][place]).all()
        assert sum(group["total"] for group in groups) == 120
        usual = is_flagged(pair.runs[run].p_values[by]).sum()
        assert sum(group["above"][histogram["default"]] for group in groups) == usual


def test_rows_are_written_as_csv(pair, catalogue):
    text = pair.as_csv([17, 4], Query(run=1, by="mse"))
    head, *rows = csv.reader(io.StringIO(text))
    assert head == ["ID", "file", "label", "kind", "score", "p_value", "other_score", "other_p_value", "other_mse",
                    "other_mse_p_value", "flagged", "words"]  # fmt: skip
    assert [row[:2] for row in rows] == [["17", "shelf 3/IMG_17.jpg"], ["4", "shelf 4/IMG_4.jpg"]]
    first, second = pair.runs
    expected = [values[17] for values in (first.scores["score"], first.p_values["score"], second.scores["score"])]
    assert [float(cell) for cell in rows[0][4:7]] == expected
    for row, cells in ((17, rows[0]), (4, rows[1])):
        assert cells[10] == str(int(second.flagged("mse")[row]))
        assert cells[11] == second.words(np.array([row]))[0] == pair.explain(row)["runs"][1]["words"]
    assert pair.csv_name(Query(run=1, by="mse", show="misses", kind="a b")) == "other-mse-misses-a-b.csv"
    assert catalogue.as_csv([3], Query()).startswith("ID,label,kind,score,p_value,flagged,words\n3,")


def test_a_transductive_run_flags_as_many_as_its_p_values(pair):
    run = pair.runs[0]
    changed = dataclasses.replace(run.trained)
    copy = type(run)("copy", changed, run.images)
    copy.scores, copy.p_values = run.scores | {"score": np.arange(120.0)}, run.p_values
    copy.predicted = dataclasses.replace(run.predicted, score_N=copy.scores["score"], normal_C=None)
    count = is_flagged(run.p_values["score"]).sum()
    assert np.flatnonzero(copy.flagged("score")).tolist() == list(range(120 - count, 120))
    assert copy.histogram("score", {"all images": np.arange(120)})["p"] is None


def test_without_labels_there_are_no_mistakes_to_show(trained, named, tmp_path):
    (tmp_path / "testingset.npy").hardlink_to(named / "testingset.npy")
    catalogue = Catalogue(trained.folder.path, str(tmp_path), "cpu")
    catalogue.score()
    state = catalogue.state()
    assert [name for name, _ in state["runs"][0]["show"]] == ["all", "flagged", "unflagged"]
    assert state["runs"][0]["auc"] is None
    assert [group["name"] for group in catalogue.histogram(0, "score")["groups"]] == ["all images"]
    assert not state["files"]
    assert ids(catalogue, show="misses") == ids(catalogue, kind="cat") == ids(catalogue, text="IMG") == set()


def test_the_runs_own_score_is_shown_before_its_evidence_is_scored(trained):
    catalogue = Catalogue(trained.folder.path, None, "cpu")
    catalogue.score()
    assert not catalogue.state()["complete"]
    assert catalogue.state()["runs"][0]["columns"] == ["score"]
    before = catalogue.listing(Query(), 0, 10)
    with pytest.raises(InputError, match="there is no score 'mse'; there are score"):
        catalogue.listing(Query(by="mse"), 0, 10)
    catalogue.score_evidence()
    assert catalogue.state()["complete"]
    assert {"score", "mse", "structural"} <= {*catalogue.state()["runs"][0]["columns"]}
    assert "l1" not in catalogue.state()["runs"][0]["columns"], "it is the run's own score"
    assert catalogue.listing(Query(), 0, 10) == before
    assert catalogue.listing(Query(by="mse"), 0, 10)["total"] == 120


def test_file_names_belong_to_the_images(trained, demo, named, tmp_path):
    assert Source("named", named).file_names(TESTING_FILES, 120)[17] == "shelf 3/IMG_17.jpg"
    assert Source("demo", demo).file_names(TESTING_FILES, 120) is None
    with pytest.raises(InputError, match=r"testing_files.csv: names 120 pictures, but there are 119 images; remove it"):
        Source("named", named).file_names(TESTING_FILES, 119)
    # Without a test set, the development images are scored.
    (tmp_path / "trainingset.npy").hardlink_to(demo / "trainingset.npy")
    lines = ["ID,file", *(f"{row},{row}.png" for row in range(400))]
    (tmp_path / TRAINING_FILES).write_text("\n".join(lines) + "\n")
    run = TrainedRun.load(trained.folder.path)
    data = dataclasses.replace(run.config.data, source=str(tmp_path))
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, data=data))
    expected = [f"{row}.png" for row in run.open_training()[1].development]
    assert run.file_names(run.open_source(None)) == expected

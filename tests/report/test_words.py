"""Pictures and words of the pages that must say what is so."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup

from hw8.base.text import counted
from hw8.data.labels import Labels
from hw8.report import plots
from hw8.report.explanation import Explainer
from hw8.report.figures import draw_scores
from hw8.report.gallery import mistakes
from hw8.report.pages import with_code
from hw8.report.run_report import _facts, warnings_of, write_run_report
from hw8.runs.predict import Scores
from hw8.runs.trained_run import TrainedRun

METRICS = pd.DataFrame({"epoch": [1, 2], "train_loss": [2.0, 1.0], "held_out_loss": [2.5, 1.5]})


def ids(svg: str) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', svg))


def test_a_training_plot_is_titled_with_its_run_and_names_both_curves():
    drawn = plots.training(METRICS, "first")
    assert 'aria-label="Training curves of first over 2 epochs: training and held-out loss."' in drawn
    assert {"training", "held-out reconstruction"} <= set(re.findall(r">([^<>]+)</text>", drawn))
    assert "over 1 epoch:" in plots.training(METRICS[:1], "first")


def test_two_plots_share_no_name_even_if_they_are_described_alike():
    first, second = plots.training(METRICS, "a"), plots.training(METRICS + 1, "a")
    assert ids(first)
    assert not ids(first) & ids(second)


def test_the_last_bin_says_that_it_holds_all_beyond():
    score_N = np.concatenate([np.linspace(0, 1, 200), np.full(2, 50.0)])
    drawn = plots.histogram(score_N, None, None, "l1")
    assert "last bin: all beyond" in drawn
    assert "1.5% of the images" in drawn
    edges, beyond = plots.score_edges(score_N, 60)
    assert edges[-1] < 2
    assert beyond == (score_N > edges[-1]).mean() > 0
    assert "last bin" not in plots.histogram(np.repeat([0.0, 1.0], 100), None, None, "l1")


def test_the_picture_of_scores_leaves_none_out(tmp_path, monkeypatch):
    drawn = []
    from matplotlib.axes import Axes

    original = Axes.hist
    monkeypatch.setattr(
        Axes, "hist", lambda self, x, *words, **more: drawn.append(x) or original(self, x, *words, **more)
    )
    score_N = np.concatenate([np.linspace(0, 1, 100), [50.0]])
    labels = Labels(np.repeat([0, 1], [50, 51]), np.repeat(["normal", "odd"], [50, 51]))
    draw_scores(tmp_path / "scores.png", score_N, labels)
    edges, _ = plots.score_edges(score_N, 50)
    assert sum(((x >= edges[0]) & (x <= edges[-1])).sum() for x in drawn) == 101


def test_mistakes_are_counted_in_full():
    labels = Labels(np.repeat([0, 1], [100, 60]), np.repeat(["normal", "odd"], [100, 60]))
    p_value_N = np.concatenate([np.full(7, 0.01), np.full(93, 0.5), np.full(20, 0.02), np.full(40, 0.3)])
    ranking = Scores("a", -p_value_N, p_value_N)
    assert mistakes(ranking, labels) == {"false_alarms": 7, "misses": 40}
    assert mistakes(ranking, None) == mistakes(dataclasses.replace(ranking, p_value_N=None), labels) == {}


@pytest.fixture(scope="module")
def page(trained, tmp_path_factory) -> str:
    """The page of a run of one epoch."""
    run = tmp_path_factory.mktemp("words") / "run"
    shutil.copytree(trained.folder.path, run)
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | {"warnings": ["the decoder is dead"], "epochs": 1}))
    write_run_report(run, None, run / "run.html", "report")
    return (run / "run.html").read_text()


def test_a_page_says_how_many_mistakes_there_are(page):
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])
    (found,) = data["totals"]
    assert found["misses"] > sum("misses" in card["groups"] for card in data["cards"]) - 1
    assert 0 < found["misses"] <= 60


def test_nobody_is_said_to_be_more_unlike_than_an_image_that_none_is(trained, faces):
    member = TrainedRun.load(trained.folder.path)
    noise = np.random.default_rng(0).integers(0, 255, (1, 32, 32, 3), np.uint8)
    found = Explainer(member, 1.0).explain(noise, ["noise"])[0]
    count = len(trained.splits.calibration)
    assert found.p_value == 1 / (count + 1)
    assert f"none of {count} normal images is as unlike" in found.lines()[0]
    assert "%" not in found.lines()[0]


@pytest.mark.parametrize(
    ("summary", "words"),
    [
        ({"epochs": 1, "warnings": []}, ["it was trained for one epoch: too short to judge by"]),
        ({"epochs": 9, "warnings": ["the decoder is dead"]}, ["the decoder is dead"]),
        ({"epochs": 9}, []),
    ],
)
def test_warnings_of_a_training(summary, words):
    found = warnings_of(summary)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


def test_warnings_of_the_training_stand_on_the_page_before_all_else(page):
    for words in ("it was trained for one epoch: too short to judge by", "the decoder is dead"):
        assert page.index(f"Warning: {words}") < page.index("<main>")


def test_facts_name_no_gpu_that_is_not_there_and_count_in_english(trained):
    member = TrainedRun.load(trained.folder.path)
    summary = {"hardware": {"processor": "Abacus", "threads": 1, "gpu": None}, "epochs": 1}
    facts = dict(_facts(member, summary, "demo", 5, None))
    assert facts["hardware"] == "Abacus, 1 thread"
    assert facts["trained on"].endswith(", 1 epoch")
    summary["hardware"] |= {"gpu": "T4", "threads": 2}
    assert dict(_facts(member, summary, "demo", 5, None))["hardware"] == "Abacus, 2 threads, T4"
    assert counted(1200, "image") == "1,200 images"


def test_backticks_of_markdown_become_code():
    assert with_code("Last command: `a <b>`") == Markup("Last command: <code>a &lt;b&gt;</code>")

"""Pictures and words of the pages that must say what is so."""

import dataclasses
import json
import re
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from markupsafe import Markup

from hw8.base.errors import InputError
from hw8.base.text import counted, percent
from hw8.config import ScoreConfig
from hw8.config.presets import PRESETS, changed, load_preset
from hw8.data.labels import Labels
from hw8.models.transformations import (
    COLOUR,
    DAMAGES,
    GEOMETRY,
    TONE,
    _moved,
    _textured,
    _toned,
    parameter_names,
)
from hw8.report import method_plots, plots
from hw8.report.comparison_figures import lead_of
from hw8.report.explanation import MIN_TOGETHER, Explainer
from hw8.report.explanation import _row as explanation_row
from hw8.report.figures import draw_scores
from hw8.report.gallery import choose, mistakes
from hw8.report.heatmaps import overlay, place_in_words
from hw8.report.pages import with_code
from hw8.report.pairs import disagreements
from hw8.report.run_report import _facts, warnings_of, write_run_report
from hw8.report.thresholds import thresholds
from hw8.report.words import (
    UNUSUAL,
    WORDS,
    Deviation,
    in_words,
    joint_deviations,
    p_in_words,
    rarity,
    single_deviations,
)
from hw8.runs.scores import Scores
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.calibration import Calibration
from hw8.scoring.tails import conformal, is_flagged, threshold, threshold_from_p_values
from hw8.scoring.texture import band_energies, cooccurrence, opponent

METRICS = pd.DataFrame({"epoch": [1, 2], "train_loss": [2.0, 1.0], "held_out_loss": [2.5, 1.5]})


def ids(svg: str) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', svg))


def test_a_training_plot_is_titled_with_its_run_and_names_both_curves():
    drawn = plots.training(METRICS, "first")
    assert 'aria-label="Training curves of first over 2 epochs: training and held-out loss."' in drawn
    assert {"training, all terms", "held-out reconstruction"} <= set(re.findall(r">([^<>]+)</text>", drawn))
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
    edges, beyond = plots.score_edges(score_N, None)
    assert edges[-1] < 2
    assert beyond == (score_N > edges[-1]).mean() > 0
    assert "last bin" not in plots.histogram(np.repeat([0.0, 1.0], 100), None, None, "l1")
    for limit in (-3.0, 40.0):  # the line of the threshold lies within the plot
        edges, _ = plots.score_edges(score_N, limit)
        assert edges[0] <= limit <= edges[-1]


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
    edges, _ = plots.score_edges(score_N, None)
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


def test_misses_are_the_nearest_to_the_threshold_of_each_kind_by_turns():
    labels = Labels(np.repeat([0, 1, 1], [5, 20, 2]), np.repeat(["normal", "many", "few"], [5, 20, 2]))
    score_N = np.concatenate([np.zeros(5), np.arange(20.0), [3.5, 17.5]])
    p_value_N = np.where(score_N > 15, 0.01, 0.5)
    missed = choose(Scores("run", score_N, p_value_N), labels, 6, 3)["misses"]
    assert score_N[missed].tolist() == [15, 14, 13, 12, 11, 3.5]
    lowest = choose(Scores("run", score_N, None), labels, 6, 3)["misses"]
    assert score_N[lowest].tolist() == [0, 1, 2, 3, 3.5, 17.5]


PARTS = ("l1", "structural", "bands")


def test_what_adds_most_to_a_joint_distance_is_listed_with_its_share(trained):
    run = dataclasses.replace(
        TrainedRun.load(trained.folder.path),
        config=changed(trained.config, scoring={"score": "joint", "parts": PARTS}),
    )
    table = run.scorer.with_evidence(None).table(trained.images, trained.splits.calibration)
    calibration = Calibration.fit(table, ScoreConfig(parts=PARTS))
    run = dataclasses.replace(run, calibration=calibration, scorer=run.scorer.with_evidence(PARTS))
    batch_BHWC = trained.images.read(trained.splits.development[:20])
    explained = Explainer(run, 1.0).explain(batch_BHWC, [""] * len(batch_BHWC))
    for found in explained:
        assert [*found.added] == [*found.deviations]
        assert [*found.added.values()] == sorted(found.added.values(), reverse=True)
        assert found.added == pytest.approx({name: found.shares[name] for name in found.added})
        assert "bands" not in found.added, "no single column stands for the share of all"
        listed = any(line.startswith("named measurements that add most, with their shares") for line in found.lines())
        assert listed == bool(found.added)
        rest = f"  all others together add {percent(1 - sum(found.added.values()))}"
        assert (rest in found.lines()) == bool(found.added)
        assert not found.added or sum(found.added.values()) >= MIN_TOGETHER, "less would explain nothing"
    assert {bool(found.added) for found in explained} == {False, True}


def test_an_image_that_looks_turned_is_not_said_to_look_less_upright_besides():
    shares = {"turned 0": 0.5, "turned 180": 0.3, "warmth": 0.2}
    away = {"turned 0": -3.0, "turned 180": 3.0, "warmth": 3.0}

    def said(names: list[str]) -> str:
        deviations = [Deviation(name, "", np.array([shares[name]]), np.array([away[name]])) for name in names]
        return in_words(deviations, np.array([0.01]))[0]

    assert said(["turned 0", "turned 180", "warmth"]) == "looks upside down, warmer"
    assert said(["turned 0", "warmth"]) == "looks less upright, warmer"


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
        ({"epochs": 1, "warnings": []}, ["it was trained for 1 epoch: too short to judge by"]),
        (
            {"epochs": 2, "preset": "boss_quick"},
            ["it was trained for 2 epochs, where its preset has 15: too short to judge by"],
        ),
        ({"epochs": 2, "preset": "boss_quick", "stopped_early": True}, []),
        ({"epochs": 3, "preset": "boss_quick"}, []),
        ({"epochs": 9, "warnings": ["the decoder is dead"]}, ["the decoder is dead"]),
        ({"epochs": 9}, []),
    ],
)
def test_warnings_of_a_training(summary, words):
    found = warnings_of(summary)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


def test_warnings_of_the_training_stand_on_the_page_before_all_else(page):
    for words in ("it was trained for 1 epoch, where its preset has ", "the decoder is dead"):
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


def test_a_p_value_at_its_floor_is_a_statement_on_the_normals():
    assert p_in_words(1 / 201, 200) == "rarer than all 200 normals"
    assert p_in_words(2 / 201, 200) == "p = 0.01"
    assert rarity(1 / 201, 200) == "none of 200 normal images is as unlike"
    assert rarity(2 / 201, 200) == "1 of 200 normal images is at least as unlike"
    assert rarity(51 / 1001, 1000) == "50 of 1,000 normal images are at least as unlike"


def measured_change(name: str, image_3HW: torch.Tensor) -> float:
    """What rises with a graded change of this name, if the words are right."""
    height, width = image_3HW.shape[1:]
    light_HW = image_3HW.mean(0) + 1
    x = (light_HW.sum(0) * torch.arange(width)).sum() / light_HW.sum()
    y = (light_HW.sum(1) * torch.arange(height)).sum() / light_HW.sum()
    top, bottom = light_HW[: height // 2], light_HW[height // 2 :]
    across, down = (light_HW.sum(axis).gt(light_HW.sum(axis).max() / 2).sum() for axis in (0, 1))
    low, high = ((half.sum(0) * torch.arange(width)).sum() / half.sum() for half in (bottom, top))
    values = {
        "zoom": light_HW.sum(), "shift_x": -x, "shift_y": -y, "tilt": low - high, "aspect": down - across,
        "brightness": light_HW.mean(), "contrast": image_3HW.std(), "gamma": -light_HW.mean(),
        "saturation": image_3HW.std(0).mean(), "warmth": (image_3HW[0] - image_3HW[2]).mean(),
        "sharpness": image_3HW.diff(dim=2).abs().max(),
    }  # fmt: skip
    return float(values[name])


@pytest.mark.parametrize("name", [*GEOMETRY, *TONE, *COLOUR, "sharpness"])
def test_the_words_of_a_graded_change_say_its_direction(name):
    """Above: larger, to the left, higher, top to the left, narrower, brighter, darker mid-tones, warmer, and so on."""
    image_23HW = torch.full((2, 3, 32, 32), -0.6)
    image_23HW[:, :, 8:24, 12:20] = torch.tensor([0.3, 0.1, 0.2]).view(3, 1, 1)
    zero = torch.zeros(2)
    amount = dict.fromkeys(parameter_names(3), zero) | {name: torch.tensor([-1.0, 1.0])}
    changed = _textured(_toned(_moved(image_23HW, amount, zero.long(), zero > 0), amount), amount)
    assert measured_change(name, changed[0]) < measured_change(name, changed[1])
    below, above = WORDS[name]
    assert below
    assert above != below


def test_there_are_words_for_the_evidence_of_every_preset():
    for name in PRESETS:
        scoring = load_preset(name).scoring
        for evidence in scoring.evidence_names:
            assert evidence in {*WORDS, *UNUSUAL, "amounts", "changes", "features"}, (name, evidence)
    assert {*parameter_names(3), *DAMAGES, *(f"turned {90 * quarters}" for quarters in range(4))} <= set(WORDS)


def test_the_largest_shares_are_named_in_their_direction():
    rng = np.random.default_rng(0)
    normal = {"bands": rng.normal(size=(200, 3)), "amounts": rng.normal(size=(200, 2)), "l1": rng.normal(size=200)}
    joint = Calibration.fit(normal, ScoreConfig(parts=("bands", "amounts", "l1")))
    table = {"bands": np.zeros((4, 3)), "amounts": np.zeros((4, 2)), "l1": np.zeros(4)}
    table["bands"][0, 0], table["amounts"][0, 1], table["l1"][1], table["bands"][2, 1:] = -9, 6, 5, (9, -9)
    components, p_value_N = {"amounts": ("zoom", "warmth")}, np.array([0.005, 0.005, 0.005, 0.9])
    deviations = joint_deviations(joint, table, components)
    words = in_words(deviations, p_value_N)
    assert words == [
        "less fine detail, warmer",
        "harder to reconstruct",
        "an unusual mix of coarse and fine detail",
        "not unusual as a whole",
    ]
    single = Calibration.fit({"l1": normal["l1"]}, ScoreConfig())
    small = {"l1": np.array([0.005, 0.005])}
    deviations = single_deviations(single, {"l1": np.array([9.0, -9.0])}, small)
    assert in_words(deviations, np.full(2, 0.005)) == ["harder to reconstruct", "easier to reconstruct"]


def test_thresholds_count_what_lies_beyond_them():
    rng = np.random.default_rng(0)
    score_N, normal_C = np.concatenate([rng.normal(size=300), rng.normal(2, 1, 100)]), rng.normal(size=99)
    limit = threshold(normal_C)
    found = thresholds({"normal": score_N[:300], "odd": score_N[300:]}, {"normal"}, normal_C, limit)
    assert found["thresholds"][found["default"]] == limit
    assert found["p"][found["default"]] == 0.05
    normal, odd = found["groups"]
    assert [normal["name"], normal["normal"], odd["name"], odd["normal"]] == ["normal", True, "odd", False]
    for step in (0, 50, found["default"], 240):
        assert odd["above"][step] == (score_N[300:] > found["thresholds"][step]).sum()
    flagged_N = is_flagged(conformal(normal_C, score_N))
    assert normal["above"][found["default"]] == flagged_N[:300].sum()
    unlabelled = thresholds({"all images": score_N}, (), None, None)
    assert unlabelled["p"] is unlabelled["default"] is None
    assert unlabelled["groups"][0]["above"][-1] == 0, "without p-values none is flagged"


def test_the_threshold_of_p_values_flags_as_they_do():
    score_N = np.array([3.0, 1.0, 2.0, 5.0])
    for p_value_N in ([0.04, 0.9, 0.5, 0.01], [0.5, 0.9, 0.6, 0.2], [0.01] * 4):
        flagged_N = is_flagged(np.array(p_value_N))
        np.testing.assert_array_equal(score_N > threshold_from_p_values(np.array(p_value_N), score_N), flagged_N)


def test_axes_of_few_figures_have_numbers_and_ties_no_slope():
    table = pd.DataFrame({"preset": ["boss", "boss_quick"], "minutes": [5.9, 2.9], "auc": [0.7858, 0.78555]})
    drawn = method_plots.trade(table, "minutes", "auc", ("minutes of training", "macro"), log=True)
    assert {"3.0", "4.0", "5.0"} <= set(re.findall(r">([^<>]+)</text>", drawn))
    heights = [point[1] for point in json.loads(re.search(r"<script[^>]*>(.*?)</script>", drawn)[1])["points"]]
    assert abs(heights[0] - heights[1]) < 0.05


def test_methods_that_disagree_have_the_same_budget_of_false_alarms():
    labels = Labels(np.array([0, 0, 1, 1]), np.array(["normal", "normal", "odd", "odd"]))
    first, second = np.array([0.0, 3, 4, 1]), np.array([5.0, 0, 1, 9])
    found = disagreements([first, second], labels)
    assert found["flagged"] == [1, 1], "what scores above both normal images"
    assert found["pairs"] == [
        {"found_by": 0, "missed_by": 1, "total": 1, "rows": [2]},
        {"found_by": 1, "missed_by": 0, "total": 1, "rows": [3]},
    ]
    assert [pair["rows"] for pair in disagreements([first, second], None)["pairs"]] == [[2], [3]]
    assert disagreements([], None)["pairs"] == []
    score_N = np.arange(120.0)
    many = Labels(np.repeat([0, 1], [100, 20]), np.repeat(["normal", "odd"], [100, 20]))
    assert disagreements([score_N, -score_N], many)["flagged"] == [25, 5], "five of the hundred normal images each"


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize(("name", "measure"), [("texture", cooccurrence), ("bands", band_energies)])
def test_a_black_and_white_picture_differs_in_colour_and_not_in_grain(name, measure, single):
    rng = np.random.default_rng(0)
    coloured_NCHW = torch.from_numpy(rng.normal(0, 0.15, (120, 3, 32, 32))).float().clamp(-1, 1)
    grey_NCHW = opponent(coloured_NCHW[:3])[:, :1].expand(-1, 3, -1, -1)
    normal = {name: measure(coloured_NCHW).numpy()}
    table = {name: measure(torch.cat([grey_NCHW, 0.3 * coloured_NCHW[:3]])).numpy()}
    calibration, p_value_N = Calibration.fit(normal, ScoreConfig(parts=(name,))), np.full(6, 0.005)
    if single:
        deviations = single_deviations(calibration, table, {name: p_value_N})
        assert sum(item.share_N for item in deviations) == pytest.approx(np.ones(6))
    else:
        deviations = joint_deviations(calibration, table, {})
    words = in_words(deviations, p_value_N)
    assert all(text.startswith("less colour detail") for text in words[:3])
    assert all({"texture": "smoother texture", "bands": "less fine detail"}[name] in text for text in words[3:])


def test_the_texture_of_one_channel_has_no_colour():
    table = {"texture": cooccurrence(torch.rand(60, 1, 32, 32)).numpy()}
    (alone,) = joint_deviations(Calibration.fit(table, ScoreConfig(parts=("texture",))), table, {})
    assert alone.name == "texture"


def test_a_comparison_begins_with_the_best_method_and_those_that_tie():
    table = pd.DataFrame({"preset": ["vae", "pca", "conv"], "macro_auc": [0.81, 0.8, 0.7], "low": 0.6, "high": 0.9})
    best = "Best: vae, macro ROC-AUC 0.810 (95% interval 0.600 to 0.900)"
    lows, highs = [np.nan, -0.05, -0.2], [np.nan, 0.03, -0.1]
    assert lead_of(table.assign(difference_low=lows, difference_high=highs)) == f"{best}; pca ties with it."
    apart = table.assign(difference_low=lows, difference_high=[np.nan, -0.01, -0.1])
    assert lead_of(apart) == f"{best}; no other method ties with it."
    assert lead_of(table[:1]) == f"{best}."
    unlabelled = table[["preset"]].assign(held_out_auc=[0.7, 0.6, 0.5])
    assert lead_of(unlabelled) == "Best: vae, held-out macro ROC-AUC 0.700."


def test_a_map_says_how_much_of_the_score_it_shows():
    map_HW = np.full((10, 10), -1.0)
    assert place_in_words(map_HW, 40.0) == "no place raises the score"
    assert (overlay(np.full((10, 10, 3), 90, np.uint8), map_HW) == 90).all()
    map_HW[:2] = 5.0
    assert place_in_words(map_HW, 40.0) == "up to 12% of the score"
    assert place_in_words(map_HW, -3.0) == place_in_words(map_HW, 4.0) == "up to 5"
    map_HW[:7] = 3.0
    assert place_in_words(map_HW, 40.0) == "the whole image"


def test_points_lie_where_the_plot_shows_them():
    drawn = plots.histogram(np.repeat([0.0, 1.0, 2.0], 50), None, 1.0, "l1")
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', drawn)[1])
    left, top, right, bottom = data["box"]
    assert 0 < left < right < 1
    assert 0 < top < bottom < 1
    x, y, text, goal = data["points"][0]
    assert text == "score 0 to 0.0339\nall images: 50"
    assert goal[0] == 0
    low, high = data["limits"]
    assert x == pytest.approx(left + (sum(goal) / 2 - low) / (high - low) * (right - left), abs=1e-3)
    assert top < y < bottom
    assert sum(int(point[2].split(": ")[1]) for point in data["points"] if ": " in point[2]) == 150


def test_a_kind_whose_characters_no_font_has_is_drawn_without_a_warning(tmp_path):
    labels = Labels(np.repeat([0, 1], [20, 20]), np.repeat(["normal", "\U0001f408猫"], [20, 20]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_scores(tmp_path / "scores.png", np.arange(40.0), labels)
        svg = plots.histogram(np.arange(40.0), labels, None, "l1")
    assert (tmp_path / "scores.png").exists()
    assert "猫" in svg


def test_a_name_that_several_pictures_have_asks_for_an_id(trained):
    files = [f"{number}.png" for number in range(len(trained.images))]
    files[3], files[5] = "crack/odd 6.jpg", "no handle/odd 6.jpg"
    with pytest.raises(InputError, match=r"2 pictures have this name; give an ID, for instance 3 \(crack/odd 6"):
        explanation_row("odd 6.jpg", files, trained.images)
    assert explanation_row("no handle/odd 6.jpg", files, trained.images) == 5
    assert explanation_row("7.png", files, trained.images) == explanation_row("7", files, trained.images) == 7

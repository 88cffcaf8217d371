import base64
import dataclasses
import io
import json
import os
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw8.base.errors import InputError
from hw8.compare.leaderboard import ComparisonPlan, compare
from hw8.compare.standings import summarise
from hw8.compare.tables import write_leaderboard
from hw8.config.presets import changed, load_preset
from hw8.data.labels import Labels
from hw8.data.sources import open_source
from hw8.evaluation.metrics import evaluate, roc_auc
from hw8.explorer.catalogue import Catalogue
from hw8.report import plots, run_report
from hw8.report.comparison import Compared, write_comparison
from hw8.report.gallery import choose
from hw8.report.pages import as_data, render
from hw8.report.run_report import write_run_report
from hw8.report.sprites import small
from hw8.runs.predict import predict
from hw8.runs.scores import Scores
from hw8.runs.submission import read_submission
from hw8.runs.train import train_run
from hw8.runs.trained_run import TrainedRun
from tests.helpers import scored


def gallery(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def cell_values(page: str, table: str, row: str) -> list[float]:
    body = re.search(rf'<table class="sortable" id="{table}">.*?</table>', page, re.DOTALL)[0]
    found = re.search(rf'<tr><th scope="row">{re.escape(row)}</th>(.*?)</tr>', body, re.DOTALL)[1]
    return [float(value) for value in re.findall(r'data-value="([^"]+)"', found)]


@pytest.fixture(scope="module")
def page(trained, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("page") / "run.html"
    write_run_report(trained.folder.path, None, out, "python scripts/report.py <run>")
    return out.read_text()


def test_figures_in_the_page_are_those_of_the_csv_file(page, trained, tmp_path):
    done = predict([trained.folder.path], None, tmp_path / "scores.csv")
    found = evaluate(done.score_N, done.labels)
    assert cell_values(page, "kinds", "cat") == [
        15,
        found.kinds["cat"].auc,
        found.kinds["cat"].low,
        found.kinds["cat"].high,
    ]
    assert cell_values(page, "kinds", "macro (mean of kinds)")[0] == found.macro.auc
    assert f"Macro ROC-AUC <b>{found.macro.auc:.3f}</b>" in page
    for kind, interval in found.kinds.items():
        chip = f"{kind} <b>{interval.auc:.3f}</b>{' worse than chance' if interval.high < 0.5 else ''}</li>"
        assert chip in page
    cards = gallery(page)["cards"]
    for card in cards:
        assert card["score"] == done.score_N[card["id"]]
        assert card["p"] == done.p_value_N[card["id"]]
        assert card["kind"] == done.labels.kind_N[card["id"]]
        assert card["src"].startswith("data:image/webp;base64,")
        assert card["wide"]
        assert set(card["parts"]) == {"l1"}
        assert "l1" not in card["all"]  # the score itself
    flagged_N, labels = done.p_value_N <= 0.05, done.labels.label_N
    assert f"of the anomalies are found ({flagged_N[labels == 1].sum()} of {(labels == 1).sum()})" in page
    assert f"of the normal images ({flagged_N[labels == 0].sum()} of {(labels == 0).sum()};" in page
    run = TrainedRun.load(trained.folder.path).with_all_evidence()
    images = run.open_test(run.open_source(None))
    p_value_N = run.calibration.p_value("bands", run.score(images, np.arange(120))["bands"])
    assert [card["all"]["bands"] for card in cards] == [round(p_value_N[card["id"]], 5) for card in cards]


def test_a_page_on_which_nothing_is_flagged_says_how_near_it_was(trained, tmp_path):
    normals = trained.splits.calibration
    lower_half = normals[np.argsort(trained.calibration.values_C["l1"])[: len(normals) // 2 + 1]]
    np.save(tmp_path / "testingset.npy", trained.images.read_whole(lower_half))
    write_run_report(trained.folder.path, str(tmp_path), tmp_path / "run.html", "report")
    page = (tmp_path / "run.html").read_text()
    found = re.search(r"image has p = (0\.\d+): (\d+) of (\d+) held-out normal images score at least as high", page)
    assert (int(found[2]), int(found[3])) == (len(normals) - len(normals) // 2, len(normals))
    assert float(found[1]) == pytest.approx((1 + int(found[2])) / (1 + int(found[3])), abs=6e-4)


def test_the_answer_comes_first_and_the_tables_last(page):
    places = [
        page.index(f'id="{name}"') for name in ("most", "scores", "plots", "gallery", "evidence", "kinds", "facts")
    ]
    assert places == sorted(places)
    assert page.index('class="lead"') < places[0]
    links = re.findall(r'<a href="#([a-z]+)">', page)
    assert [name for name in links if f'id="{name}"' not in page] == []
    best = sorted(gallery(page)["cards"], key=lambda card: -card["score"])[:6]
    strip = page[places[0] : places[1]]
    assert re.findall(r"<b>#(\d+)</b>", strip) == [str(card["id"]) for card in best]
    assert [card[name] for card in best for name in ("src", "map")] == re.findall(r'src="([^"]+)"', strip)
    cards, mapped = sorted(gallery(page)["cards"], key=lambda card: card["rank"]), set()
    for group in ("most", "false_alarms", "misses"):
        mapped |= {card["id"] for card in [card for card in cards if group in card["groups"]][:12]}
    assert len(mapped) > 12
    assert {card["id"] for card in cards if "map" in card} == mapped


def test_the_page_holds_what_its_plots_and_its_threshold_need(page, trained):
    found = gallery(page)
    normals = len(trained.splits.calibration)
    assert found["calibration_counts"] == [normals]
    limit, groups = found["thresholds"]["default"], found["thresholds"]["groups"]
    alarms = sum(group["above"][limit] for group in groups if group["normal"])
    misses = sum(group["total"] - group["above"][limit] for group in groups if not group["normal"])
    assert found["totals"] == [{"false_alarms": alarms, "misses": misses}]
    points = [json.loads(text) for text in re.findall(r'</svg><script type="application/json">(.*?)</script>', page)]
    goals = [[point[3] for point in plot["points"]] for plot in points]
    assert list(range(120)) in goals, "the dots of the map lead to their images"
    sheet = found["thumbnails"]
    assert sheet["ids"] == list(range(120))
    with Image.open(io.BytesIO(base64.b64decode(sheet["src"].partition(",")[2]))) as picture:
        assert picture.size == (50 * 64, 3 * 64)
    strip = page[page.index('id="most"') : page.index('id="scores"')]
    assert f"rarer than all {normals} normals" in strip or "p = " in strip
    for word in ("score", "p-value", "evidence", "held-out", "AUC", "false alarm", "miss"):
        assert f"<dt>{word}</dt>" in page


def test_the_page_stands_alone(page):
    addresses = re.findall(r"""(?:src|href|url\()\s*=?\s*["'(]?(https?:[^"')\s]+)""", page)
    assert addresses == []
    assert "default-src 'none'" in page
    assert "&lt;run&gt;" in page
    assert page.count("<svg") >= 5
    assert page.count('role="img"') == page.count("<svg")
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)


def test_groups_hold_what_their_names_say(page):
    found = gallery(page)
    cards = found["cards"]
    assert set(found["groups"]) == {"most", "least", "false_alarms", "misses", "spread"}
    most = [card["rank"] for card in cards if "most" in card["groups"]]
    least = [card["rank"] for card in cards if "least" in card["groups"]]
    assert sorted(most) == list(range(1, 49))
    assert sorted(least) == list(range(73, 121))
    assert all(card["kind"] == "normal" and card["p"] <= 0.05 for card in cards if "false_alarms" in card["groups"])
    misses = [card for card in cards if "misses" in card["groups"]]
    assert misses
    assert all(card["kind"] != "normal" and card["p"] > 0.05 for card in misses)


def test_without_labels_there_are_galleries_and_no_curves(trained, demo, tmp_path):
    (tmp_path / "data").mkdir()
    os.link(demo / "testingset.npy", tmp_path / "data" / "testingset.npy")
    write_run_report(trained.folder.path, str(tmp_path / "data"), tmp_path / "run.html", "report")
    page = (tmp_path / "run.html").read_text()
    assert "ROC curves" not in page
    assert "The test images have no labels" in page
    found = gallery(page)
    assert found["kinds"] == []
    assert set(found["groups"]) == {"most", "least", "spread"}
    assert "kind" not in found["cards"][0]


def test_nothing_in_the_data_can_become_code(trained, demo, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    os.link(demo / "testingset.npy", data / "testingset.npy")
    labels = pd.read_csv(demo / "testing_labels.csv")
    labels.loc[labels["kind"] == "cat", "kind"] = "<script>alert(1)</script><b>"
    labels.to_csv(data / "testing_labels.csv", index=False)
    write_run_report(trained.folder.path, str(data), tmp_path / "run.html", "</script><script>alert(2)</script>")
    page = (tmp_path / "run.html").read_text()
    assert "<script>alert" not in page
    plots_with_points = page.count('</svg><script type="application/json">')
    assert len(re.findall(r"<script", page)) == 4 + plots_with_points
    assert "<script>alert(1)</script><b>" in gallery(page)["kinds"]
    assert "</script>" not in as_data("</script>")


def test_a_report_of_no_run_writes_nothing(tmp_path):
    with pytest.raises(InputError, match="no run here"):
        write_run_report(tmp_path, None, tmp_path / "run.html", "report")
    assert list(tmp_path.iterdir()) == []


def test_a_comparison_has_every_method_and_the_figures_of_its_files(small, tmp_path):
    source = open_source(str(small))
    plan = ComparisonPlan(("conv", "pca"), (0, 1), str(small), 1, tmp_path / "runs")
    rows = compare(plan)
    compared = Compared(rows, plan.folder, source, source.labels())
    write_comparison(compared, compared.table(), tmp_path / "board", "compare")
    page = (tmp_path / "board.html").read_text()
    means = rows.groupby("preset")["macro_auc"].mean()
    for name, auc in means.items():
        assert auc in cell_values(page, "leaderboard", name)
    found = gallery(page)
    assert sorted(found["methods"]) == ["conv", "pca"]
    by_method = [[card for card in found["cards"] if card["method"] == method] for method in (0, 1)]
    wide = {found["methods"][method]: {card["wide"] for card in cards} for method, cards in enumerate(by_method)}
    assert wide == {"conv": {True}, "pca": {False}}
    assert min(map(len, by_method)) >= 24
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    words = re.findall(r'aria-label="([^"]+)"', page)
    assert len(set(words)) == len(words)
    headings = re.findall(r'<th scope="col">([^<]+)</th>', page)
    assert headings[:6] == ["preset", "macro", "held-out", "95%", "to best", "minutes"]
    shown = {(card["method"], card["id"]) for card in found["cards"]}
    for pair in found["pairs"]["pairs"]:
        assert {(method, row) for method in (pair["found_by"], pair["missed_by"]) for row in pair["rows"]} <= shown
    paired = {row for pair in found["pairs"]["pairs"] for row in pair["rows"]}
    mapped = {(found["methods"][card["method"]], card["id"]) for card in found["cards"] if "map" in card}
    assert mapped == {("conv", row) for row in paired} != set(), "a classical baseline has no map"
    for heading in ("ROC curves", "Scores", "Calibration", "Training", "Latent maps"):
        assert f"<h2>{heading}</h2>" in page
    assert "<details><summary>Agreement of the methods</summary>" in page
    best = means.idxmax()
    assert re.search(rf"Best: {best}, macro ROC-AUC {means[best]:.3f} \(95% interval [\d.]+ to [\d.]+\); ", page)


@pytest.mark.parametrize(
    ("minutes", "text"), [(None, "unknown"), (0.03, "2 seconds"), (0.017, "1 second"), (1.26, "1.3 minutes")]
)
def test_the_time_of_a_training_is_said_in_words(minutes, text):
    assert run_report._duration(minutes) == text


def test_choosing_without_p_values_ranks_all():
    score_N = np.arange(20.0)
    labels = Labels(np.array([0, 1] * 10), np.array(["normal", "odd"] * 10))
    found = choose(Scores("a", score_N, None), labels, each=3, spread=4)
    assert found["most"].tolist() == [19, 18, 17]
    assert found["least"].tolist() == [0, 1, 2]
    assert found["false_alarms"].tolist() == [18, 16, 14]
    assert found["misses"].tolist() == [1, 3, 5]
    assert found["spread"].tolist() == [19, 13, 6, 0]


def test_roc_points_are_rates_at_thresholds():
    rng = np.random.default_rng(0)
    normal, odd = rng.normal(size=500), rng.normal(1, size=400)
    fpr, tpr = plots.roc_curve(normal, [odd])
    assert (fpr[0], tpr[0]) == (0, 0)
    assert (fpr[1], tpr[1]) == (0, (odd > normal.max()).mean())
    assert (fpr[-1], tpr[-1]) == (1, 1)
    assert (np.diff(fpr[1:]) > 0).all()
    place = np.searchsorted(fpr, 0.1)
    threshold = np.sort(normal)[::-1][round(fpr[place] * 500)]
    assert tpr[place] == (odd > threshold).mean()


def test_with_few_normals_the_area_drawn_is_the_roc_auc():
    rng = np.random.default_rng(0)
    normal, odd = rng.normal(size=40), rng.normal(1, size=30)
    fpr, tpr = plots.roc_curve(normal, [odd])
    assert len(fpr) <= plots.EXACT
    assert (np.diff(fpr) * tpr[:-1]).sum() == pytest.approx(roc_auc(normal, odd))


@pytest.mark.slow
def test_the_page_of_twenty_thousand_images_is_small(trained, tmp_path, demo):
    """The pictures are chosen, so the size does not follow the number of test images."""
    data = tmp_path / "data"
    data.mkdir()
    images = np.load(demo / "testingset.npy")
    np.save(
        data / "testingset.npy",
        np.tile(images, (167, 1, 1, 1))[:20_000] ^ np.arange(20_000, dtype=np.uint8)[:, None, None, None] % 4,
    )
    write_run_report(trained.folder.path, str(data), tmp_path / "run.html", "report")
    assert (tmp_path / "run.html").stat().st_size < 15e6


def test_pictures_of_large_images_are_small():
    picture = small(np.zeros((256, 768, 3), np.uint8))
    assert picture.shape == (96, 288, 3)
    assert small(picture) is picture


@pytest.mark.parametrize("channels", [1, 3])
def test_models_without_reconstruction_and_images_of_one_channel_have_a_page(channels, small, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("trainingset.npy", "testingset.npy"):
        np.save(data / name, np.load(small / name)[..., :channels])
    os.link(small / "testing_labels.csv", data / "testing_labels.csv")
    few = {"epochs": 1, "least_steps": 0}
    config = changed(load_preset("deep_svdd"), data={"source": str(data), "crop": None}, train=few)
    run = train_run(dataclasses.replace(config, device="cpu"), tmp_path / "run")
    write_run_report(run.folder.path, None, tmp_path / "run.html", "report")
    page = (tmp_path / "run.html").read_text()
    assert not any(card["wide"] for card in gallery(page)["cards"])
    assert "its reconstruction" not in page
    catalogue = scored(Catalogue(run.folder.path, None, "cpu"))
    (explained,) = catalogue.explain(0)["runs"]
    assert [name for name, _ in explained["pictures"]] == ["image"]
    (drawn,) = catalogue.score_maps(0)["maps"]
    assert drawn["map"].startswith("data:image/webp")


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("minutes", "seeds", "macro", "spread"), marks=pytest.mark.slow),
        ("_hidden", r"$\bad$", "a|b", "95%"),
        pytest.param(("",), marks=pytest.mark.slow),
    ],
)
def test_kinds_may_have_any_name(names, small, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("trainingset.npy", "testingset.npy"):
        os.link(small / name, data / name)
    labels = pd.read_csv(small / "testing_labels.csv")
    kinds = sorted(set(labels["kind"][labels["label"] == 1]))
    labels["kind"] = labels["kind"].replace(dict(zip(kinds, names, strict=False)))
    labels.to_csv(data / "testing_labels.csv", index=False)
    source = open_source(str(data))
    plan = ComparisonPlan(("mean_image", "pca"), (0,), str(data), 1, tmp_path / "runs")
    rows = compare(plan)
    write_leaderboard(rows, summarise(rows), tmp_path / "board", "compare")
    compared = Compared(rows, plan.folder, source, source.labels())
    write_comparison(compared, compared.table(), tmp_path / "board", "compare")
    assert (tmp_path / "board.html").exists()
    lines = (tmp_path / "board.md").read_text().splitlines()
    table = [line.replace("\\|", "") for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1


def test_a_comparison_without_labels_has_distributions_and_no_curves(small, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("trainingset.npy", "testingset.npy"):
        os.link(small / name, data / name)
    plan = ComparisonPlan(("fcn", "pca"), (0,), str(data), 1, tmp_path / "runs")
    rows = compare(plan)
    source = open_source(str(data))
    compared = Compared(rows, plan.folder, source, None)
    write_comparison(compared, compared.table(), tmp_path / "board", "compare")
    page = (tmp_path / "board.html").read_text()
    assert "<h2>ROC curves</h2>" not in page
    assert "<h2>Scores</h2>" in page
    os.link(small / "testing_labels.csv", data / "testing_labels.csv")
    again = compare(plan)
    assert again["macro_auc"].notna().all(), "labels that came later count"
    found = evaluate(read_submission(plan.folder / "pca-0" / "scores.csv"), source.labels())
    assert again.set_index("preset")["macro_auc"]["pca"] == found.macro.auc


def test_templates_refuse_what_is_missing():
    with pytest.raises(Exception, match="undefined"):
        render("run.html.j2", title="x")

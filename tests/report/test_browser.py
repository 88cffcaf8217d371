"""The pages in a real browser: headless Chromium, driven by Playwright."""

import os
import re
import shutil
import time
from pathlib import Path

import pytest

from hw8.compare.leaderboard import ComparisonPlan, compare
from hw8.data.sources import open_source
from hw8.report.comparison import Compared, write_comparison
from hw8.report.run_report import write_run_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


# Of an element: whether its beginning is on the screen.
IN_VIEW = "e => { const { top } = e.getBoundingClientRect(); return top > -2 && top < innerHeight; }"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield found
        found.close()


class Watched:
    """A page, what it complained of, and which addresses it asked for."""

    def __init__(self, browser, **options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))


@pytest.fixture
def offline(browser):
    watched = Watched(browser, offline=True)
    yield watched
    watched.context.close()
    assert watched.complaints == []
    assert [address for address in watched.asked if not address.startswith(("file:", "data:"))] == []


@pytest.fixture(scope="module")
def report(trained, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("report") / "run.html"
    write_run_report(trained.folder.path, None, out, "python scripts/report.py")
    return out


@pytest.fixture(scope="module")
def board(small, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("board")
    source = open_source(str(small))
    plan = ComparisonPlan(("fcn", "pca", "mean_image"), (0,), str(small), 1, folder / "runs")
    compared = Compared(compare(plan), plan.folder, source, source.labels())
    write_comparison(compared, compared.table(), folder / "board", "python scripts/compare.py")
    return folder / "board.html"


def until(page, condition: str) -> None:
    """Wait for a condition on the page, whose own policy forbids to evaluate text, so from outside."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        time.sleep(0.05)
    raise AssertionError(condition)


def column(page, table: str, number: int) -> list[str]:
    return page.locator(f"#{table} tbody tr:visible > :nth-child({number})").all_inner_texts()


def test_a_report_opens_quickly_with_every_picture(offline, report):
    page = offline.page
    page.goto(report.as_uri())
    taken = "performance.getEntriesByType('navigation')[0].loadEventEnd"
    until(page, f"{taken} > 0")
    assert page.evaluate(taken) < 2000
    page.locator("#gallery select[name=group]").select_option("")
    assert page.locator(".card").count() > 100
    until(page, "[...document.images].every(image => image.complete)")
    assert page.evaluate("[...document.images].filter(image => !image.naturalWidth || !image.alt).length") == 0
    assert (
        page.evaluate("[...document.images].filter(image => image.checkVisibility() && image.width < 20).length") == 0
    )


def test_the_table_sorts(offline, report):
    page = offline.page
    page.goto(report.as_uri())
    page.get_by_role("button", name="ROC-AUC").click()
    values = [float(text) for text in column(page, "kinds", 3)]
    assert values == sorted(values, reverse=True)
    page.get_by_role("button", name="ROC-AUC").click()
    assert [float(text) for text in column(page, "kinds", 3)] == sorted(values)
    assert page.locator("#kinds th[aria-sort=ascending]").count() == 1
    page.locator("#kinds").get_by_role("button", name="kind").press("Enter")
    names = column(page, "kinds", 1)
    assert names == sorted(names)


def test_the_gallery_filters_sorts_and_opens(offline, report):
    page = offline.page
    page.goto(report.as_uri())
    page.locator("select[name=group]").select_option("")
    everything = page.locator(".card").count()
    page.locator("select[name=kind]").select_option("cat")
    kinds = page.locator(".card .tag").all_inner_texts()
    assert 0 < len(kinds) < everything
    assert set(kinds) == {"cat"}
    page.locator("select[name=sort]").select_option("id")
    page.locator("select[name=order]").select_option("down")
    numbers = [int(text[1:]) for text in page.locator(".card b:first-child").all_inner_texts()]
    assert numbers == sorted(numbers)
    page.locator(".card").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog[open]").count() == 1
    assert f"image {numbers[1]}," in page.locator("#dialog-title").inner_text()
    page.keyboard.press("ArrowRight")
    assert f"image {numbers[2]}," in page.locator("#dialog-title").inner_text()
    page.keyboard.press("ArrowRight")
    assert f"image {numbers[3]}," in page.locator("#dialog-title").inner_text()
    page.get_by_role("button", name="previous").click()
    page.keyboard.press("Enter")  # the button keeps the focus
    assert f"image {numbers[1]}," in page.locator("#dialog-title").inner_text()
    page.keyboard.press("ArrowRight")
    assert "How unusual is the evidence" in page.locator("dialog").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate("document.activeElement.className") == "card"


def test_the_most_anomalous_images_show_where_their_score_comes_from(offline, report):
    page = offline.page
    page.goto(report.as_uri())
    boxes = [page.locator(".strip li").first.locator("img").nth(place).bounding_box() for place in (0, 1)]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["height"] == pytest.approx(boxes[1]["height"], abs=1)
    page.locator(".strip .open").nth(1).click()
    words = page.locator("dialog").inner_text()
    assert re.search(r"score .* rank 2 of 120\n\nimage\nreconstruction\nerror\nwhere the score comes from: ", words)
    assert page.locator("dialog img").count() == 2
    page.keyboard.press("ArrowLeft")
    assert "rank 1 of 120" in page.locator("dialog").inner_text()


def test_an_image_has_an_address_and_back_closes_it(offline, report):
    page = offline.page
    page.goto(report.as_uri())
    card = page.locator("#gallery .card").nth(2)
    number = card.locator("b").first.inner_text()[1:]
    page.locator("#gallery .card").nth(1).click()
    page.keyboard.press("ArrowRight")
    until(page, f"location.hash === '#image-{number}'")
    page.go_back()
    until(page, "!document.querySelector('dialog').open")
    assert "#" not in page.url
    page.go_forward()
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    until(page, "!location.hash")
    page.goto(f"{report.as_uri()}#image-{number}")
    page.reload()
    page.wait_for_selector("dialog[open]")
    assert page.locator("#dialog-title").inner_text().startswith(f"image {number},")
    page.keyboard.press("Escape")
    until(page, "!location.hash")
    page.wait_for_timeout(100)
    assert page.locator("dialog[open]").count() == 0


def test_a_dialog_says_whether_the_image_is_found(offline, report):
    page = offline.page
    page.goto(report.as_uri())
    for group, verdicts in {
        "most": ("found", "false alarm"),
        "least": ("missed", "not flagged"),
        "misses": ("missed",),
    }.items():
        page.locator("#gallery select[name=group]").select_option(group)
        page.locator("#gallery .card").first.click()
        assert page.locator("#dialog-title .chip").inner_text() in verdicts
        page.keyboard.press("Escape")


def test_misses_are_counted_and_those_nearest_to_the_threshold_come_first(offline, report):
    page = offline.page
    page.goto(report.as_uri())
    page.locator("#gallery select[name=group]").select_option("misses")
    cards = page.locator("#gallery .card").all_inner_texts()
    assert page.locator("#gallery output").inner_text() == f"{len(cards)} misses"
    scores = [float(re.search(r"score ([\d.]+)", text)[1]) for text in cards]
    assert scores == sorted(scores, reverse=True)


def test_the_first_tap_on_a_bar_names_it_and_the_second_shows_its_images(browser, report):
    context = browser.new_context(has_touch=True, viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.goto(report.as_uri())
    plot = page.locator("#scores .plot")
    plot.scroll_into_view_if_needed()
    box, place = plot.bounding_box(), page.evaluate("scrollY")
    at = (box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5)
    page.touchscreen.tap(*at)
    assert page.locator(".tip").inner_text().startswith("score ")
    assert not page.locator("#gallery input[name=low]").input_value()
    assert page.evaluate("scrollY") == place
    page.touchscreen.tap(*at)
    assert page.locator("#gallery input[name=low]").input_value()
    assert page.evaluate("scrollY") > place
    context.close()


def test_curves_have_a_view_of_low_false_alarms(offline, report):
    page = offline.page
    page.goto(report.as_uri())
    views = page.locator("figure[data-views]").first.locator(".view")
    assert [views.nth(0).is_visible(), views.nth(1).is_visible()] == [True, False]
    page.locator("figure[data-views] select").first.select_option("low false alarms")
    assert [views.nth(0).is_visible(), views.nth(1).is_visible()] == [False, True]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("opened", ["report", "board"])
def test_it_fits_a_phone_and_follows_the_theme(browser, request, opened, scheme):
    watched = Watched(browser, offline=True, color_scheme=scheme, viewport={"width": 360, "height": 740})
    watched.page.goto(request.getfixturevalue(opened).as_uri())
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= 360
    ink, ground = watched.page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    light = [sum(int(part) for part in colour[4:-1].split(",")) for colour in (ink, ground)]
    assert (light[0] > light[1]) == (scheme == "dark")
    watched.context.close()


@pytest.mark.parametrize("opened", ["report", "board"])
def test_the_navigation_leads_to_every_section(offline, request, opened):
    page = offline.page
    page.goto(request.getfixturevalue(opened).as_uri())
    links = page.locator("nav a")
    assert links.count() >= 4
    for link in links.all():
        link.click()
        section = page.locator(link.get_attribute("href"))
        assert page.url.endswith(link.get_attribute("href"))
        assert section.evaluate(IN_VIEW), link.inner_text()


def test_a_comparison_sorts_filters_and_changes_its_method(offline, board):
    page = offline.page
    page.goto(board.as_uri())
    page.locator("input[type=search]").fill("PCA")
    assert column(page, "leaderboard", 1) == ["pca"]
    page.locator("input[type=search]").fill("")
    page.locator("#leaderboard").get_by_role("button", name="held-out").click()
    headings = page.locator("#leaderboard thead th").all_inner_texts()
    place = [text.split()[0] for text in headings].index("held-out") + 1

    values = [float(text) for text in column(page, "leaderboard", place)]
    assert values == sorted(values, reverse=True)
    first = page.locator("#gallery .card img").first.get_attribute("src")
    page.locator("select[name=method]").select_option("1")
    assert page.locator("#gallery .card img").first.get_attribute("src") != first
    page.locator("select[name=group]").select_option("misses")
    assert "normal" not in page.locator("#gallery .card .tag").all_inner_texts()
    assert page.locator("#gallery .card").count() > 0


def point_at(page, plot: str, which: str, click: bool = False) -> str:
    """Point at the middle one of a plot's points whose text holds some words; returns the text of the tip."""
    box, place = page.locator(plot).evaluate(
        """(plot, which) => {
          plot.scrollIntoView({block: "center"});
          const points = JSON.parse(plot.querySelector("script").textContent).points;
          const { left, top, width, height } = plot.getBoundingClientRect();
          const found = points.filter(([, , text]) => text.includes(which));
          return [{ left, top, width, height }, found[Math.floor(found.length / 2)]];
        }""",
        which,
    )
    at = box["left"] + place[0] * box["width"], box["top"] + place[1] * box["height"]
    page.mouse.move(*at)
    text = page.locator(".tip").inner_text()
    if click:
        page.mouse.click(*at)
    return text


@pytest.mark.slow
def test_plots_name_what_is_pointed_at_and_lead_to_images(offline, report):
    page = offline.page
    page.goto(report.as_uri())
    text = point_at(page, "#scores .plot", "cartoon: ", click=True)
    assert "score" in text
    assert "cartoon: " in text
    low, high = (float(page.locator(f"input[name={name}]").input_value()) for name in ("low", "high"))
    scores = page.locator("#gallery .card small:first-of-type").all_inner_texts()
    assert scores
    assert all(low * 0.99 <= float(score.split()[1]) <= high * 1.01 for score in scores)
    assert len(page.locator("input[name=low]").input_value()) < 9, "rounded"
    page.get_by_role("button", name="clear filters").click()
    assert page.locator("input[name=low]").input_value() == ""
    assert page.locator("#gallery .card").count() > len(scores)

    text = point_at(page, ".plot:has(svg[aria-label^='ROC curves']) >> nth=0", "cat")
    assert re.fullmatch(r"(cat|cartoon|relit|displaced)\n[\d.]+% of the anomalies flagged\nat [\d.]+% of the .*", text)

    page.locator("select[name=group]").select_option("most")
    card = page.locator("#gallery .card b:first-child").first.inner_text()
    text = point_at(page, ".plot:has(svg[aria-label^='Map of'])", f"image {card[1:]},", click=True)
    assert page.locator(".tip img").count() == 1
    number = text.split()[1].rstrip(",")
    assert f"image {number}" in page.locator("dialog[open] #dialog-title").inner_text()
    page.keyboard.press("Escape")
    page.mouse.move(0, 0)
    assert page.locator(".tip").is_hidden()


@pytest.mark.slow
def test_the_keyboard_names_the_points_of_a_plot_and_leads_on(offline, report):
    page = offline.page
    page.goto(report.as_uri())
    plot = page.locator("#scores .plot")
    plot.focus()
    page.keyboard.press("ArrowRight")
    first = page.locator(".tip").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator(".tip").inner_text() != first
    page.keyboard.press("ArrowLeft")
    assert page.locator(".tip").inner_text() == first
    page.keyboard.press("Enter")
    assert page.locator("input[name=low]").input_value() != ""
    page.locator("select[name=group]").focus()
    assert page.locator(".tip").is_hidden()
    page.locator("figure", has_text="Latent map").locator(".plot").focus()
    for _ in range(120):
        page.keyboard.press("ArrowRight")
        if page.locator(".tip img").count():  # of an image that has a card
            break
    page.keyboard.press("Enter")
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className").startswith("plot")


@pytest.mark.slow
def test_the_threshold_counts_false_alarms_and_misses(offline, report):
    page = offline.page
    page.goto(report.as_uri())
    slider, output = page.locator("input[name=threshold]"), page.locator("form.threshold output")

    def counts() -> list[int]:
        return [int(text.split()[0]) for text in output.locator("dd").all_inner_texts()[:3]]

    start = counts()
    assert f"({60 - start[2]} of 60), with false alarms" in page.locator(".lead").inner_text()
    assert start[0] == start[1] + 60 - start[2]
    slider.focus()
    page.keyboard.press("End")
    assert counts()[0] < start[0]
    assert slider.get_attribute("aria-valuetext") == output.locator("p").inner_text().removeprefix("above ")
    line = page.locator("#scores .line")
    right = line.bounding_box()["x"]
    page.keyboard.press("Home")
    assert counts()[1] >= 59
    assert counts()[2] <= 1
    assert line.bounding_box()["x"] < right
    page.get_by_role("button", name="reset").click()
    assert counts() == start


@pytest.mark.slow
def test_two_methods_are_shown_side_by_side(offline, board):
    page = offline.page
    page.goto(board.as_uri())
    pairs = page.locator("#pairs")
    by, other = pairs.locator("select[name=found_by]"), pairs.locator("select[name=missed_by]")
    names = [by.locator("option").nth(int(select.input_value())).inner_text() for select in (by, other)]
    shown = pairs.locator(".pair")
    total = pairs.locator("output").inner_text()
    count = int(re.match(r"([\d,]+) anomal", total)[1].replace(",", ""))
    assert 0 < shown.count() <= min(8, count)
    if (more := pairs.locator(".more")).is_visible():
        more.click()
        assert not more.is_visible()
    assert 0 < shown.count() <= count
    assert total.endswith(f"the {shown.count()} clearest are on this page") == (shown.count() < count)
    texts = shown.first.locator("small:not(.card small)").all_inner_texts()
    assert [text.partition(":")[0] for text in texts] == names
    assert all(re.fullmatch(r".*: rank \d+ of 120", text) for text in texts)
    assert shown.first.locator(".chip").all_inner_texts() == ["found", "missed"]
    ids = shown.first.locator(".card b:first-child").all_inner_texts()
    assert ids[0] == ids[1]
    assert "normal" not in pairs.locator(".tag").all_inner_texts()
    shown.first.locator(".card").nth(1).click()
    assert page.locator("#dialog-title").inner_text().startswith(f"{names[1]}: image {ids[0][1:]}")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#dialog-title").inner_text().startswith(f"{names[0]}: image {ids[0][1:]}")
    page.keyboard.press("Escape")
    pairs.get_by_role("button", name="the other way").click()
    assert by.locator("option").nth(int(by.input_value())).inner_text() == names[1]
    other.select_option(by.input_value())
    assert shown.count() == 0
    assert pairs.locator("output").inner_text() == "choose two different methods"
    by.select_option(label="pca")
    other.select_option(label="fcn")
    strip, score_map = shown.first.locator(".card").nth(1).locator("img").all()
    assert strip.bounding_box()["width"] == pytest.approx(3 * score_map.bounding_box()["width"], rel=0.02)
    shown.first.locator(".card").nth(1).click()
    assert page.locator("dialog img.map").count() == 1


def test_a_single_latent_map_says_whose_it_is_and_leads_to_its_images(offline, board):
    page = offline.page
    page.goto(board.as_uri())
    figure = page.locator("figure", has_text="Latent maps")
    named = figure.locator("option").all_inner_texts()
    assert named == ["fcn"]
    point, other = page.evaluate(
        "figure => [true, false].map((has) => JSON.parse(figure.querySelector('script').textContent).points"
        ".find((point) => Boolean(cardOf(figure.querySelector('.plot'), point[3])) === has))",
        figure.element_handle(),
    )
    plot = figure.locator(".plot").bounding_box()
    figure.locator(".plot").click(position={"x": other[0] * plot["width"], "y": other[1] * plot["height"]})
    assert figure.locator(".tip .thumbnail").bounding_box()["width"] == 64, "of others the image is shown"
    assert page.locator("dialog").is_hidden()
    figure.locator(".plot").click(position={"x": point[0] * plot["width"], "y": point[1] * plot["height"]})
    assert page.locator("#dialog-title").inner_text().startswith("fcn: image "), "never another method's"

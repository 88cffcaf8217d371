"""The explorer's page in a real browser. One server and one browser serve all of these tests."""

import csv
import re
import threading

import numpy as np
import pytest
from PIL import Image

from hw8.explorer.catalogue import Catalogue
from hw8.explorer.query import Query
from tests.report.test_browser import CHROMIUM, Watched, browser, until  # noqa: F401 (a fixture)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def address(pair, serving):
    with serving(pair) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def opened(browser, address):  # noqa: F811
    """Open the page with a query; it complains of nothing and asks nobody else."""
    watched = Watched(browser, viewport={"width": 1280, "height": 900})

    def go(query: str = ""):
        watched.page.goto(address + query)
        watched.page.wait_for_selector(".card")
        return watched.page

    yield go
    watched.context.close()
    assert watched.complaints == []
    assert [asked for asked in watched.asked if not asked.startswith((address, "data:"))] == []


def shown(page) -> list[int]:
    return [int(text[1:]) for text in page.locator("#images .card b:first-child").all_inner_texts()]


def until_shown(page, count: int) -> None:
    until(page, f"document.getElementById('shown').textContent.includes('of {count} shown')")


def title(page) -> str:
    return page.locator("#dialog-title").inner_text()


def test_the_address_is_what_is_shown(opened, pair):
    page = opened()
    assert "macro ROC-AUC" in page.locator("#runs").inner_text()
    page.locator("select[name=kind]").select_option("cat")
    until_shown(page, 15)
    page.locator("input[type=search]").fill("img_3")
    found = pair.rows(Query(kind="cat", text="img_3")).tolist()
    until_shown(page, len(found))
    assert shown(page) == found
    page.locator(".card").first.click()
    page.wait_for_selector("dialog[open]")
    assert title(page) == f"image {found[0]}, shelf {found[0] % 7}/IMG_{found[0]}.jpg, cat"
    assert page.url.endswith(f"?kind=cat&q=img_3&id={found[0]}")
    page.keyboard.press("ArrowRight")
    until(page, f"location.search.endsWith('id={found[1]}')")
    page.keyboard.press("Escape")
    until(page, "location.search === '?kind=cat&q=img_3'")
    page.go_forward()  # to the image, whose steps are one entry, from which closing it went back
    page.wait_for_selector("dialog[open]")
    assert f"image {found[1]}," in title(page)
    page.go_back()
    until(page, "!document.querySelector('dialog').open")
    page.go_back()  # words that were typed are one entry too
    until_shown(page, 15)
    assert page.locator("input[type=search]").input_value() == ""
    page.go_back()
    until_shown(page, 120)
    page.go_forward()
    until_shown(page, 15)
    page = opened("?show=misses&order=up&id=3&by=mse")
    page.wait_for_selector("dialog[open]")
    assert "image 3," in title(page)
    assert shown(page) == pair.rows(Query(by="mse", show="misses", ascending=True)).tolist()[:60]


def test_scores_by_evidence_are_offered_once_they_are_there(trained, browser, serving):  # noqa: F811
    catalogue = Catalogue(trained.folder.path, None, "cpu")
    catalogue.score()
    with serving(catalogue) as port:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector(".card")
        scores = page.locator("select[name=by] option")
        assert scores.all_inner_texts() == ["score", "(its evidence is being scored)"]
        link = browser.new_page()
        link.goto(f"http://127.0.0.1:{port}/?by=mse")
        link.wait_for_selector(".card")
        assert shown(link) == catalogue.rows(Query()).tolist()[:60]
        catalogue.score_evidence()
        for each in (page, link):
            until(each, "document.querySelector('select[name=by]').options.length > 5")
        until(link, "document.querySelector('select[name=by]').value === 'mse'")
        ordered = ",".join(f"#{row}" for row in catalogue.rows(Query(by="mse"))[:60])
        cards = "[...document.querySelectorAll('#images .card b:first-child')]"
        until(link, f"{cards}.map((each) => each.textContent).join() === '{ordered}'")
        assert page.locator("select[name=by]").input_value() == "score"


@pytest.mark.slow
@pytest.mark.parametrize("road", ["link", "reload", "forward"])
def test_an_image_that_is_closed_stays_closed(opened, road):
    page = opened("?id=3" if road == "link" else "")
    if road != "link":
        page.locator("#images .card").nth(1).click()
    page.wait_for_selector("dialog[open]")
    if road == "reload":
        page.reload()
    if road == "forward":
        page.go_back()
        until(page, "!document.querySelector('dialog').open")
        page.go_forward()
    page.wait_for_selector("dialog[open]")
    before = page.url
    page.keyboard.press("ArrowRight")
    until(page, f"location.href !== '{before}'")
    page.keyboard.press("Escape")
    until(page, "!location.search.includes('id=')")
    page.wait_for_timeout(300)
    assert page.locator("dialog[open]").count() == 0
    if road != "link":  # whose image may be further down than what is listed
        assert page.evaluate("document.activeElement.matches('#images .card')")


@pytest.mark.slow
def test_late_answers_do_not_replace_what_was_chosen_meanwhile(opened, pair):
    page = opened()
    held = []
    page.route("**/api/histogram*by=structural*", lambda route: held.append(route))
    page.locator("select[name=by]").select_option("structural")
    page.locator("select[name=by]").select_option("mse")
    until(page, "document.querySelector('#histogram-text').textContent.startsWith('mse')")
    held[0].continue_()
    page.wait_for_timeout(300)
    assert page.locator("#histogram-text").inner_text().startswith("mse")
    assert page.locator("#threshold").is_enabled()
    page.unroute("**/api/histogram*by=structural*")
    page.go_back()
    page.go_back()
    until(page, "document.querySelector('#histogram-text').textContent.startsWith('score')")
    rows = pair.rows(Query()).tolist()
    page.locator("#images .card").first.click()
    page.wait_for_selector("dialog[open]")
    waiting = []
    page.route("**/api/image/*", lambda route: waiting.append(route))
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    until(page, f"location.search === '?id={rows[3]}'")  # no step is lost while images load


@pytest.mark.slow
def test_a_link_to_what_is_not_there_shows_the_rest(opened):
    page = opened("?id=999&kind=zebra&by=none&run=7&t=high&show=all")
    until(page, "document.getElementById('message').textContent.includes('There is no image 999')")
    until_shown(page, 120)


@pytest.mark.slow
def test_an_image_that_cannot_be_loaded_is_said_and_can_be_opened_again(opened):
    page, images = opened(), "**/api/image/*"
    page.route(images, lambda route: route.fulfill(json={"error": "not now"}))
    page.locator(".card").first.click()
    until(page, "document.getElementById('message').textContent === 'not now'")
    page.unroute(images)
    page.locator(".card").first.click()
    page.wait_for_selector("dialog[open]")
    page.route(images, lambda route: route.fulfill(json={"error": "not now"}))
    page.keyboard.press("ArrowRight")
    until(page, "!document.querySelector('dialog').open")
    assert page.locator("#message").inner_text() == "not now"


@pytest.mark.slow
def test_the_threshold_counts_and_filters(opened, pair):
    page = opened()
    histogram = pair.histogram(0, "score")
    slider = page.locator("#threshold")
    assert page.locator("#histogram rect").count() == 120
    assert slider.input_value() == str(histogram["default"])
    slider.focus()
    for _ in range(9):
        page.keyboard.press("ArrowLeft")
    place = histogram["default"] - 9
    normal, anomalous = (group["above"][place] for group in histogram["groups"])
    text = page.locator("#counts").inner_text()
    assert f": {normal + anomalous} of 120 images" in text
    assert f"False alarms: {normal} of 60" in text
    assert f"Misses: {60 - anomalous} of 60" in text
    until(page, f"location.search === '?t={histogram['thresholds'][place]!r}'")
    page.locator("select[name=show]").select_option("misses")
    until_shown(page, 60 - anomalous)
    page.locator("select[name=show]").select_option("false_alarms")
    until_shown(page, normal)
    assert shown(page) == pair.rows(Query(show="false_alarms", above=histogram["thresholds"][place])).tolist()
    page.locator("select[name=show]").select_option("misses")
    page.get_by_role("button", name="Back to p = 0.05").click()
    until_shown(page, 60 - histogram["groups"][1]["above"][histogram["default"]])
    assert page.evaluate("document.activeElement.id") == "threshold"
    page.locator("select[name=by]").select_option("latent")
    until(page, f"document.getElementById('threshold').value === '{pair.histogram(0, 'latent')['default']}'")


@pytest.mark.slow
def test_two_runs_stand_side_by_side(opened, pair):
    page = opened()
    assert page.locator("#runs li").count() == 2
    page.locator("select[name=run]").select_option(label="other")
    page.locator("select[name=show]").select_option("only_here")
    expected = pair.rows(Query(run=1, show="only_here")).tolist()
    until_shown(page, len(expected))
    assert shown(page) == expected
    page.locator(".card").first.click()
    page.wait_for_selector("dialog[open]")
    assert page.locator("dialog section > h3").all_inner_texts() == ["trained", "other"]
    chips = page.locator("dialog .score .chip").all_inner_texts()
    assert [chip in ("missed", "not flagged") for chip in chips] == [True, False]
    texts = page.locator("select[name=show] option").all_inner_texts()
    assert texts[-2:] == ["flagged by other only", "flagged by trained only"]


@pytest.mark.slow
def test_the_pictures_of_an_image_zoom_together(opened, pair):
    page = opened("?id=3")
    page.wait_for_selector("dialog[open]")
    captions = page.locator("dialog .row figcaption")
    assert captions.all_inner_texts()[:3] == ["image", "reconstruction", "error"]
    until(page, "[...document.querySelectorAll('dialog .place img')].every((map) => map.naturalWidth > 0)")
    texts = captions.all_inner_texts()
    assert all(re.match("where the score comes from: (up to|no )", text) for text in (texts[3], texts[7]))
    page.get_by_role("slider", name="Zoom").focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    frame = page.locator("dialog .frame").first
    width, whole, left = frame.evaluate("frame => [frame.clientWidth, frame.scrollWidth, frame.scrollLeft]")
    assert whole == pytest.approx(4 * width, abs=2)
    assert left == pytest.approx(1.5 * width, abs=2), "the middle stays in the middle"
    assert "image 3," in title(page), "arrow keys moved the slider"
    frame.focus()
    page.keyboard.press("ArrowRight")
    until(page, f"[...document.querySelectorAll('dialog .frame')].every((frame) => frame.scrollLeft > {left})")
    assert "image 3," in title(page), "arrow keys moved the zoomed image"
    page.locator("dialog .bar button").first.focus()
    page.keyboard.press("ArrowRight")
    order = pair.rows(Query()).tolist()
    following = order[order.index(3) + 1] if order.index(3) + 1 < 60 else 3
    until(page, f"location.search === '?id={following}'")
    assert page.locator("dialog output").inner_text() == "4 ×", "what was chosen stays for the next image"
    assert page.locator("dialog .trio img").count() == 10


@pytest.mark.slow
def test_an_image_is_judged_by_the_chosen_score_and_threshold(opened, pair):
    run = pair.runs[0]
    above = sorted(run.scores["mse"])[100]
    page = opened(f"?by=mse&t={above}")
    cards = page.locator("#images .card")
    for place in (0, 40):
        chips = cards.nth(place).locator(".chip").inner_text()
        row = shown(page)[place]
        cards.nth(place).click()
        page.wait_for_selector("dialog[open]")
        verdict, flagged = (
            page.locator("dialog .score").first.inner_text(),
            page.locator("dialog .hint").first.inner_text(),
        )
        assert verdict.startswith(f"{chips} mse ")
        assert f"rank {place + 1} of 120" in verdict
        assert flagged.startswith("Flagged means mse above ")
        assert (chips in ("found", "false alarm")) == (
            run.scores["mse"][row]
            > pair.histogram(0, "mse")["thresholds"][int(page.locator("#threshold").input_value())]
        )
        page.keyboard.press("Escape")
        until(page, "!document.querySelector('dialog').open")


@pytest.mark.slow
def test_a_tall_window_is_filled_and_the_end_counted(browser, address):  # noqa: F811
    watched = Watched(browser, viewport={"width": 1280, "height": 4500})
    watched.page.goto(address)
    watched.page.wait_for_selector(".card")
    until(watched.page, "document.querySelectorAll('#images .cell').length === 120")
    assert not watched.page.locator("#more").is_visible()
    watched.context.close()
    watched = Watched(browser, viewport={"width": 390, "height": 500})
    watched.page.goto(address)
    watched.page.wait_for_selector(".card")
    assert watched.page.locator("#more").inner_text() == "Show more: 60 left"
    watched.context.close()


@pytest.mark.slow
def test_filters_that_match_nothing_can_be_cleared(opened):
    page = opened()
    page.locator("input[type=search]").fill("zebra")
    until(page, "document.getElementById('shown').textContent === 'No image matches'")
    page.get_by_role("button", name="Clear the filters").click()
    until_shown(page, 120)


@pytest.mark.slow
def test_selected_images_are_rows_of_a_file(opened, pair):
    page = opened("?show=misses")
    misses = pair.rows(Query(show="misses")).tolist()
    until_shown(page, len(misses))
    for place in (2, 0):
        page.locator(".pick input").nth(place).focus()
        page.keyboard.press("Space")
    page.locator("select[name=show]").select_option("all")  # what is selected stays
    until_shown(page, 120)

    def rows(link: str) -> list[int]:
        with page.expect_download() as download:
            page.locator(link).press("Enter")
        assert download.value.suggested_filename == "trained.csv"
        with open(download.value.path(), newline="") as file:  # noqa: PTH123
            head, *lines = csv.reader(file)
        assert head[:4] == ["ID", "file", "label", "kind"]
        return [int(line[0]) for line in lines]

    assert rows("#some") == [misses[2], misses[0]]
    assert rows("#every") == pair.rows(Query()).tolist()
    page.get_by_role("button", name="Clear").click()
    assert not page.locator("#some").is_visible()
    assert page.locator(".pick input:checked").count() == 0
    page.get_by_role("button", name="Select shown").click()
    assert "60 selected" in page.locator("#shown").inner_text()


@pytest.mark.slow
def test_several_images_of_ones_own_are_scored_at_once(opened, tmp_path, demo):
    face = Image.fromarray(np.load(demo / "testingset.npy")[0]).resize((300, 200))
    names = ["my face.jpg", "notes.txt", "IMG_1.HEIC", "half.png", "huge.png", "another.png"]
    paths = [tmp_path / name for name in names]
    face.save(paths[0])
    face.save(paths[5])
    paths[1].write_text("no picture")
    paths[2].write_text("any")
    paths[3].write_bytes(paths[5].read_bytes()[:9000])
    with paths[4].open("wb") as file:
        file.truncate(20_000_001)
    page = opened()
    page.set_input_files("#file", paths)
    until(page, "document.querySelectorAll('#own .cell').length === 6")
    cells = page.locator("#own .cell").all_inner_texts()
    assert all(name in cell for name, cell in zip(names, cells, strict=True))
    for place, problem in {1: "not a picture", 2: "convert it", 3: "damaged", 4: "at most 20 are taken"}.items():
        assert problem in cells[place]
    page.locator("#own .card").last.click()
    assert title(page) == "another.png"
    assert page.locator("dialog .bar button").count() == 1
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('.cell').innerText").endswith("another.png")
    transfer = page.evaluate_handle(
        "bytes => { const files = new DataTransfer();"
        "files.items.add(new File([new Uint8Array(bytes)], 'dropped.png')); return files; }",
        list(paths[5].read_bytes()),
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    until(page, "document.querySelectorAll('#own .cell').length === 7")
    assert "dropped.png" in page.locator("#own .cell").last.inner_text()
    paste = "files => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: files }))"
    page.evaluate(paste, transfer)
    until(page, "document.querySelectorAll('#own .cell').length === 8")
    page.evaluate("() => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: new DataTransfer() }))")
    until(page, "document.body.innerText.includes('The clipboard holds no image.')")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_follows_the_theme(browser, address, scheme):  # noqa: F811
    watched = Watched(browser, color_scheme=scheme, viewport={"width": 390, "height": 844})
    page = watched.page
    page.goto(address)
    page.wait_for_selector(".card")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ink, ground = page.evaluate("['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])")
    light = [sum(int(part) for part in colour[4:-1].split(",")) for colour in (ink, ground)]
    assert (light[0] > light[1]) == (scheme == "dark")
    page.locator(".card").first.click()
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("(d => d.scrollWidth - d.clientWidth)(document.querySelector('dialog'))") <= 0
    watched.context.close()
    assert watched.complaints == []


@pytest.mark.slow
def test_the_page_shows_how_far_the_scoring_is(browser, trained, serving):  # noqa: F811
    catalogue, go_on = Catalogue(trained.folder.path, None, "cpu"), threading.Event()
    watch = catalogue._watch
    catalogue._watch = lambda count: (go_on.wait(20), watch(count))
    watched = Watched(browser)
    with serving(catalogue) as port:
        catalogue.start(on_error=lambda: None)
        watched.page.goto(f"http://127.0.0.1:{port}/?kind=cat")
        until(watched.page, "document.getElementById('waiting').innerText.includes('Scoring the images: 0 of 120')")
        assert not watched.page.locator("#gallery").is_visible()
        go_on.set()
        watched.page.wait_for_selector(".card")
        until_shown(watched.page, 15)
        assert not watched.page.locator("#waiting").is_visible()
        watched.context.close()
        catalogue.stop()
    assert watched.complaints == []

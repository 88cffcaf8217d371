import http.client
import io
import json
import socket
import threading
import time

import numpy as np
import pytest
from PIL import Image

from hw8.base.errors import InputError
from hw8.evaluation.metrics import evaluate
from hw8.explorer import server as server_module
from hw8.explorer.catalogue import Catalogue
from hw8.explorer.scored import ScoredRun
from hw8.explorer.server import HOST, listen
from hw8.runs.predict import predict
from tests.helpers import scored


@pytest.fixture(scope="module")
def port(catalogue, serving):
    with serving(catalogue) as found:
        yield found


def ask(port: int, path: str, method: str = "GET", body: bytes | None = None, **headers: str):
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, dict(answer.getheaders())


def picture_of(image_HWC: np.ndarray) -> bytes:
    box = io.BytesIO()
    Image.fromarray(image_HWC).save(box, "PNG")
    return box.getvalue()


def test_the_listing_is_in_the_order_of_the_scores(port, catalogue, trained, tmp_path):
    done = predict([trained.folder.path], None, tmp_path / "scores.csv")
    status, content, _ = ask(port, "/api/list?limit=500")
    cards = json.loads(content)["cards"]
    assert status == 200
    assert [card["id"] for card in cards] == np.argsort(-done.score_N, kind="stable").tolist()
    assert [card["score"] for card in cards] == sorted(done.score_N, reverse=True)
    _, content, _ = ask(port, "/api/list?by=structural&order=up&kind=cat&offset=3&limit=4")
    found = json.loads(content)
    assert found["total"] == 15
    assert [card["kind"] for card in found["cards"]] == ["cat"] * 4
    values = [card["score"] for card in found["cards"]]
    assert values == sorted(values)


@pytest.mark.parametrize(
    "query",
    [
        *("by=nothing", "offset=-1", "offset=x", "limit=99999999999999", "limit=\u0663", "order=up&by="),
        *("run=1", "t=high", "t=nan", "show=nothing"),
    ],
)
def test_bad_queries_are_answered_in_one_line(port, query):
    from urllib.parse import quote

    status, content, _ = ask(port, "/api/list?" + quote(query, safe="=&"))
    assert status == 400
    assert json.loads(content)["error"]


def test_an_image_and_its_explanation(port, catalogue):
    status, content, headers = ask(port, "/image/7")
    assert status == 200
    assert headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(content)).size == (32, 32)
    (run,) = json.loads(ask(port, "/api/image/7")[1])["runs"]
    assert run["score"] == catalogue.runs[0].scores["score"][7]
    assert [name for name, _ in run["pictures"]] == ["image", "reconstruction", "error"]
    (drawn,) = json.loads(ask(port, "/api/map/7")[1])["maps"]
    assert drawn["map"].startswith("data:image/webp")
    assert drawn["place"].startswith(("up to ", "no "))
    assert drawn["map"] not in [address for _, address in run["pictures"]]
    above = catalogue.runs[0].scores["mse"][7]
    for threshold, flagged in ((above * 0.99, True), (above * 1.01, False)):
        (judged,) = json.loads(ask(port, f"/api/image/7?by=mse&t={threshold}")[1])["runs"]
        assert (judged["by"], judged["score"], judged["flagged"]) == ("mse", above, flagged)
    assert len(run["nearest"]) == 5
    for path in ("/image/120", "/api/image/120", "/api/map/120", "/image/-1", "/nothing"):
        assert ask(port, path)[0] in (400, 404)


def test_an_uploaded_test_image_has_the_score_it_has_in_the_set(port, catalogue, demo):
    whole = np.load(demo / "testingset.npy")[5]
    status, content, _ = ask(port, "/api/score?name=my%20face.png", "POST", picture_of(whole))
    assert status == 200
    answer = json.loads(content)
    assert answer["name"] == "my face.png"
    assert answer["runs"][0]["score"] == pytest.approx(catalogue.runs[0].scores["score"][5], rel=2e-3)


@pytest.mark.parametrize(("name", "problem"), [("a.txt", "not a picture; give a PNG"), ("a.heic", "convert it to PNG")])
def test_what_cannot_be_read_gets_a_message(port, name, problem):
    status, content, _ = ask(port, f"/api/score?name={name}", "POST", b"hello")
    assert status == 200
    assert problem in json.loads(content)["error"]


def test_strangers_are_refused(port):
    assert ask(port, "/", Host="evil.example")[0] == 400
    assert ask(port, "/", Host=f"localhost:{port}")[0] == 200
    body = picture_of(np.zeros((8, 8, 3), np.uint8))
    assert ask(port, "/api/score", "POST", body, Sec_Fetch_Site="cross-site")[0] == 403
    assert ask(port, "/api/score", "POST", body, Sec_Fetch_Site="same-origin")[0] == 200
    assert ask(port, "/api/image/1", Sec_Fetch_Site="cross-site")[0] == 403
    assert ask(port, "/api/image/1", Sec_Fetch_Site="same-origin")[0] == 200


def test_large_uploads_are_cut_off(port, monkeypatch):
    monkeypatch.setattr(server_module, "MAX_BYTES", 1000)
    status, content, _ = ask(port, "/api/score", "POST", b"x" * 2000)
    assert status == 413
    assert "over" in json.loads(content)["error"]


def test_only_this_machine_is_listened_to(port):
    with listen(0) as found:
        assert found.getsockname()[0] == "127.0.0.1"
    with socket.socket() as other, pytest.raises(InputError, match="cannot be listened on"):
        other.bind((HOST, 0))
        other.listen()
        listen(other.getsockname()[1])
    with pytest.raises(InputError, match="`port` 99999"):
        listen(99999)


def test_every_answer_forbids_what_the_page_does_not_need(port):
    for path in ("/", "/image/1", "/api/list", "/api/image/1"):
        _, _, headers = ask(port, path)
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["cache-control"] == "no-store", "another run's pictures may stand at the same address tomorrow"
        assert headers["x-content-type-options"] == "nosniff"


def test_without_the_training_images_it_still_serves(trained, demo, tmp_path, monkeypatch):
    from hw8.runs.trained_run import TrainedRun

    def gone(_):
        raise InputError("trainingset.npy: no such file")

    monkeypatch.setattr(TrainedRun, "open_training", gone)
    (explained,) = scored(Catalogue(trained.folder.path, None, "cpu")).explain(3)["runs"]
    assert explained["note"] == "No nearest training images: trainingset.npy: no such file"
    assert explained["nearest"] == []


def test_the_page_answers_while_the_test_set_is_scored(trained, serving, monkeypatch):
    reached, go_on = threading.Event(), threading.Event()
    whole = ScoredRun.score

    def slowly(run, watch):
        watch(40)
        reached.set()
        go_on.wait(10)
        whole(run, watch)

    monkeypatch.setattr(ScoredRun, "score", slowly)
    catalogue = Catalogue(trained.folder.path, None, "cpu")
    with serving(catalogue) as port:
        catalogue.start(on_error=lambda: None)
        assert reached.wait(10)
        assert ask(port, "/")[0] == 200
        assert json.loads(ask(port, "/api/state")[1]) == {
            "ready": False,
            "read": 40,
            "total": 120,
            "learning": False,
        }
        status, content, _ = ask(port, "/api/list")
        assert (status, json.loads(content)["error"]) == (
            400,
            "the test set is still being scored; try again in a moment",
        )
        assert ask(port, "/image/3")[0] == 200
        go_on.set()
        while not (state := json.loads(ask(port, "/api/state")[1]))["ready"]:
            time.sleep(0.05)
        catalogue.stop()
    (run,) = state["runs"]
    assert (run["name"], run["preset"]) == ("trained", "fcn_crop")
    evaluation = evaluate(catalogue.runs[0].scores["score"], catalogue.labels)
    assert run["auc"] == [evaluation.macro.auc, evaluation.macro.low, evaluation.macro.high]


def test_a_failure_in_the_background_ends_the_command(trained, call, monkeypatch):
    def fails(*_):
        raise InputError("the scores are all the same; train again")

    monkeypatch.setattr(ScoredRun, "score", fails)
    done = call("explore", "--run", trained.folder.path, "--port", 0, "--device", "cpu", code=2)
    assert done.stderr.endswith("error: the scores are all the same; train again\n")


def test_it_can_be_stopped_while_it_scores(trained):
    catalogue, begun = Catalogue(trained.folder.path, None, "cpu"), threading.Event()
    watch = catalogue._watch
    catalogue._watch = lambda count: (begun.set(), time.sleep(0.05), watch(count))
    catalogue.start(on_error=lambda: None)
    assert begun.wait(10)
    catalogue.stop()
    assert not catalogue.state()["ready"]
    assert catalogue.error is None

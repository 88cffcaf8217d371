import http.client
import io
import json
import socket

import numpy as np
import pytest
from PIL import Image

from hw8.base.errors import InputError
from hw8.explorer import server as server_module
from hw8.explorer.catalogue import Catalogue
from hw8.explorer.server import HOST, listen
from hw8.runs.predict import predict


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
    "query", ["by=nothing", "offset=-1", "offset=x", "limit=99999999999999", "limit=\u0663", "order=up&by="]
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
    found = json.loads(ask(port, "/api/image/7")[1])
    assert found["score"] == catalogue.scores["score"][7]
    assert [name for name, _ in found["pictures"]] == ["image", "reconstruction", "error"]
    assert len(found["nearest"]) == 5
    for path in ("/image/120", "/api/image/120", "/image/-1", "/nothing"):
        assert ask(port, path)[0] in (400, 404)


def test_an_uploaded_test_image_has_the_score_it_has_in_the_set(port, catalogue, demo):
    whole = np.load(demo / "testingset.npy")[5]
    status, content, _ = ask(port, "/api/score", "POST", picture_of(whole))
    assert status == 200
    assert json.loads(content)["score"] == pytest.approx(catalogue.scores["score"][5], rel=2e-3)


def test_what_is_no_picture_gets_a_message(port):
    status, content, _ = ask(port, "/api/score", "POST", b"hello")
    assert status == 200
    assert json.loads(content)["error"].startswith("this is no picture")


def test_strangers_are_refused(port):
    assert ask(port, "/", Host="evil.example")[0] == 400
    assert ask(port, "/", Host=f"localhost:{port}")[0] == 200
    body = picture_of(np.zeros((8, 8, 3), np.uint8))
    assert ask(port, "/api/score", "POST", body, Sec_Fetch_Site="cross-site")[0] == 403
    assert ask(port, "/api/score", "POST", body, Sec_Fetch_Site="same-origin")[0] == 200
    assert ask(port, "/api/image/1", Sec_Fetch_Site="cross-site")[0] == 403
    assert ask(port, "/api/image/1", Sec_Fetch_Site="same-origin")[0] == 200


def test_large_uploads_are_cut_off(port, monkeypatch):
    monkeypatch.setattr(server_module, "LARGEST_BYTES", 1000)
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
    found = Catalogue(trained.folder.path, None, "cpu")
    assert found.summary()["note"] == "No nearest training images: trainingset.npy: no such file"
    assert found.explain(3)["nearest"] == []

"""The scikit-learn estimator: its manners, what it takes, and what it is worth."""

import copy
import dataclasses
import functools
import os
import pickle
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

from hw8 import AnomalyDetector, read_images
from hw8.base.errors import InputError
from hw8.config.presets import changed, load_preset
from hw8.data import rows
from hw8.data.demo import demo_images
from hw8.report.explanation import Explainer
from hw8.runs import train as session
from hw8.training import loop

OURS = "contamination is the share of new normal images that is flagged, measured on held-out ones (conformal p-values)"
EXPECTED_FAILURES = {
    "check_outliers_train": f"wants exactly `contamination` of the training set flagged; {OURS}",
    "check_outliers_fit_predict": f"wants exactly `contamination` of the training set flagged; {OURS}",
}
TINY = changed(load_preset("fcn"), model={"options": {"widths": [32], "latent": 8, "norm": "batch"}})
CROPPED = changed(load_preset("fcn_crop"), model={"options": {"widths": [96], "latent": 24, "norm": "batch"}})


class Unnamed(AnomalyDetector):
    """The same without a parameter called contamination, for all else that the two checks above look at."""

    preset, score_name, random_state, image_shape, verbose = "fcn", None, 0, None, False
    device = precision = "auto"

    def __init__(self, epochs=1):
        self.epochs = epochs

    def _level(self):
        return 0.1


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The models here are so small that a second thread only waits for the first."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def normal():
    return demo_images("normal", 360, seed=3)


@pytest.fixture(scope="module")
def anomalous():
    return np.concatenate([demo_images(kind, 60, seed=3) for kind in ("cat", "cartoon")])


@pytest.fixture(scope="module")
def grey(normal):
    """Small grey images (360, 16, 16)."""
    return normal[:, 8::3, 8::3][:, :16, :16].mean(3).astype(np.uint8)


@pytest.fixture(scope="module")
def detector(normal):
    return AnomalyDetector(CROPPED, epochs=30).fit(normal[:300])


@pytest.fixture(scope="module")
def small(grey):
    return AnomalyDetector(TINY, epochs=2).fit(grey[:200])


@pytest.mark.filterwarnings("ignore")
@estimator_checks.parametrize_with_checks(
    [AnomalyDetector(epochs=1)], expected_failed_checks=lambda _: EXPECTED_FAILURES
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", sorted(EXPECTED_FAILURES))
def test_the_rest_of_the_checks_that_are_expected_to_fail(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(estimator_checks, name)("Unnamed", Unnamed())


def test_shapes_and_signs(detector, normal, anomalous):
    X = np.concatenate([normal[300:], anomalous])
    scores, decision, labels = detector.score_samples(X), detector.decision_function(X), detector.predict(X)
    assert scores.shape == decision.shape == labels.shape == (180,)
    assert scores.dtype == decision.dtype == np.float64
    assert labels.dtype.kind == "i"
    np.testing.assert_array_equal(decision, scores - detector.offset_)
    np.testing.assert_array_equal(labels, np.where(decision < 0, -1, 1))
    assert scores[:60].mean() > scores[60:].mean(), "lower is more abnormal"


def test_an_explanation_says_which_evidence_and_where(detector, normal):
    X = normal[300:304].copy()
    X[:, 20:32, 34:46] = np.random.default_rng(0).integers(0, 256, (12, 12, 3))
    explanation = detector.explain(X)
    np.testing.assert_array_equal(explanation.score_N, -detector.score_samples(X))
    np.testing.assert_array_equal(explanation.p_value_N, detector.score_frame(X)["p_value"])
    np.testing.assert_array_equal(explanation.evidence["l1"], explanation.p_value_N)
    assert explanation.shares == {}, "l1 is not made of parts"
    assert explanation.map_NHW.shape == (4, 32, 32), "of the centre that the preset sees"
    peaks = [np.unravel_index(map_HW.argmax(), map_HW.shape) for map_HW in explanation.map_NHW]
    assert all(4 <= top < 16 and 18 <= left < 30 for top, left in peaks)


def test_an_explanation_of_a_joint_score_has_shares_that_sum_to_one(grey):
    joint = changed(TINY, scoring={"score": "joint", "parts": ("l1", "texture")})
    explanation = AnomalyDetector(joint, epochs=1).fit(grey[:200]).explain(grey[200:203])
    assert set(explanation.shares) == set(explanation.evidence) == {"l1", "texture"}
    np.testing.assert_allclose(sum(explanation.shares.values()), np.ones(3))


def test_a_score_of_one_number_is_explained_by_that_number(grey):
    """As with `--preset boss_quick --score l1`: the parts that the settings keep are not what the score is made of."""
    single = changed(TINY, scoring={"score": "l1", "parts": ("l1", "texture")})
    detector = AnomalyDetector(single, epochs=1).fit(grey[:200])
    explanation = detector.explain(grey[200:203])
    np.testing.assert_array_equal(explanation.evidence["l1"], explanation.p_value_N)
    assert explanation.shares == {}
    (found,) = Explainer(detector._trained, 1.0).explain(np.zeros((1, 16, 16, 1), np.uint8), ["black"])
    assert found.p_values == {"l1": found.p_value}
    assert found.words in ("harder to reconstruct", "not unusual as a whole")


def test_anomalies_are_ranked_above_chance(detector, normal, anomalous):
    labels = np.repeat([1, -1], [60, 60])
    for kind in (anomalous[:60], anomalous[60:]):
        assert roc_auc_score(labels, detector.decision_function(np.concatenate([normal[300:], kind]))) > 0.7


def test_pyods_attributes(detector, normal):
    np.testing.assert_array_equal(detector.decision_scores_, -detector.score_samples(normal[:300]))
    np.testing.assert_array_equal(detector.labels_, (detector.predict(normal[:300]) < 0).astype(int))
    assert detector.threshold_ == -detector.offset_
    np.testing.assert_array_equal(detector.labels_, detector.decision_scores_ > detector.threshold_)


def test_an_image_scores_the_same_alone_in_any_order_and_in_any_company(detector, normal):
    scores = detector.score_samples(normal[:150])
    order = np.random.RandomState(0).permutation(150)
    np.testing.assert_allclose(detector.score_samples(normal[order]), scores[order], rtol=1e-9)
    np.testing.assert_allclose(detector.score_samples(normal[7:8]), scores[7:8], rtol=1e-9)


@pytest.mark.parametrize("level", [0.05, 0.2, 0.5])
def test_flagged_is_what_has_a_p_value_of_at_most_contamination(grey, level):
    detector = AnomalyDetector(TINY, epochs=3, contamination=level).fit(grey[:300])
    frame = detector.score_frame(grey[300:])
    np.testing.assert_array_equal(detector.predict(grey[300:]) == -1, frame["p_value"] <= level)
    assert detector.labels_.mean() == pytest.approx(level, abs=0.12)
    assert (frame["p_value"] <= level).mean() == pytest.approx(level, abs=0.2)


def test_auto_flags_at_the_projects_level(small, grey):
    frame = small.score_frame(grey[200:])
    np.testing.assert_array_equal(small.predict(grey[200:]) == -1, frame["p_value"] <= 0.05)


def test_the_same_seed_gives_the_same_scores_and_another_one_others(small, grey):
    again = AnomalyDetector(TINY, epochs=2).fit(grey[:200], y=np.ones(200))
    np.testing.assert_array_equal(again.score_samples(grey), small.score_samples(grey))
    state = np.random.RandomState(5)
    other = AnomalyDetector(TINY, epochs=2, random_state=state).fit(grey[:200])
    assert (other.score_samples(grey) != small.score_samples(grey)).any()


def test_every_way_to_hand_over_grey_images_gives_the_same_scores(small, grey):
    flat = grey.reshape(len(grey), -1)
    frame = pd.DataFrame(flat, columns=[f"pixel{n}" for n in range(256)])
    for X in (grey[..., None], flat, flat.astype(float), frame, grey / 255, flat / np.float32(127.5) - 1):
        fitted = AnomalyDetector(TINY, epochs=2).fit(X[:200])
        assert (fitted.layout_.side, fitted.layout_.channels, fitted.layout_.vector) == (16, 1, False)
        np.testing.assert_array_equal(fitted.score_samples(X), small.score_samples(grey))
        assert fitted.n_features_in_ == 256
    np.testing.assert_array_equal(small.score_samples(flat), small.score_samples(grey))
    np.testing.assert_array_equal(small.score_samples(grey.tolist()), small.score_samples(grey))


def test_flat_colour_images_are_images(detector, normal):
    flat = normal.reshape(len(normal), -1)
    np.testing.assert_array_equal(detector.score_samples(flat[:20]), detector.score_samples(normal[:20]))
    few = AnomalyDetector(CROPPED, epochs=1).fit(flat[:60].astype(np.int64))
    assert (few.layout_.side, few.layout_.channels) == (64, 3)


@pytest.mark.filterwarnings("ignore:8 calibration images")
def test_a_folder_of_pictures_and_a_list_of_files_are_read(detector, small, normal, grey, tmp_path):
    files = [tmp_path / f"{number:02d}.png" for number in range(20)]
    for file, image in zip(files, normal, strict=False):
        Image.fromarray(image).save(file)
    np.testing.assert_array_equal(detector.score_samples(tmp_path), detector.score_samples(normal[:20]))
    np.testing.assert_array_equal(detector.score_samples([str(files[3])]), detector.score_samples(normal[3:4]))
    assert list(detector.score_frame(tmp_path)["ID"]) == [file.name for file in files]
    assert list(detector.score_frame(files[:2])["ID"]) == [str(file) for file in files[:2]]
    fitted = AnomalyDetector(CROPPED, epochs=1).fit(str(tmp_path))
    np.testing.assert_array_equal(
        fitted.score_samples(files), AnomalyDetector(CROPPED, epochs=1).fit(normal[:20]).score_samples(normal[:20])
    )
    Image.fromarray(grey[0]).save(files[0])
    np.testing.assert_array_equal(small.score_samples([files[0]]), small.score_samples(grey[:1]))
    with pytest.raises(ValueError, match="gone"):
        detector.score_samples(tmp_path / "gone")


def test_image_shape_says_what_flat_rows_are(grey):
    flat = grey[:60, :12, :12].reshape(60, -1)
    shaped = AnomalyDetector(TINY, epochs=1, image_shape=(12, 12)).fit(flat)
    assert (shaped.layout_.side, shaped.layout_.channels, shaped.layout_.vector) == (12, 1, False)
    np.testing.assert_array_equal(shaped.score_samples(flat), shaped.score_samples(grey[:60, :12, :12]))
    assert AnomalyDetector(TINY, epochs=1, image_shape="vector").fit(grey[:60].reshape(60, -1)).layout_.vector
    odd = AnomalyDetector(TINY, epochs=1, image_shape=[12, 12, 1]).fit(flat * 37.0 - 4000)
    assert 0 < odd.layout_.images(flat * 37.0 - 4000).std() < 128, "scaled by its own range"


def test_pandas_in_and_out(grey):
    frame = pd.DataFrame(grey.reshape(len(grey), -1)).rename(columns="p{}".format)
    frame.index = [f"image {n}" for n in range(len(frame))]
    fitted = AnomalyDetector(TINY, epochs=1).fit(frame[:200])
    assert list(fitted.feature_names_in_) == list(frame.columns)
    assert isinstance(fitted.score_samples(frame), np.ndarray)
    table = fitted.score_frame(frame[200:], ids=range(500, 660))
    assert list(table.columns) == ["ID", "score", "p_value"]
    assert list(table.index) == list(frame.index[200:])
    assert list(table["ID"]) == list(range(500, 660))
    np.testing.assert_array_equal(table["score"], -fitted.score_samples(frame[200:]))
    assert table["p_value"].between(0, 1, inclusive="right").all()
    assert list(fitted.score_frame(frame[:3])["ID"]) == ["image 0", "image 1", "image 2"], "the index of X"
    with pytest.warns(UserWarning, match="feature names"):
        assert list(fitted.score_frame(grey[:3])["ID"]) == [0, 1, 2]
    assert list(fitted.score_frame(frame[:2], ids=iter("ab"))["ID"]) == ["a", "b"]
    with pytest.raises(ValueError, match="ids: 2 for 3 images"):
        fitted.score_frame(frame[:3], ids=[1, 2])
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame[frame.columns[::-1]])


def test_rows_that_are_no_images():
    X, _ = make_blobs(400, centers=[[0, 0, 1e3], [6, 6, -1e3]], random_state=0)
    outliers = np.random.RandomState(0).uniform(-10, 15, (100, 3)) * [1, 1, 1e3]
    detector = AnomalyDetector(random_state=1).fit(X[:300])
    labels = np.repeat([1, -1], [100, 100])
    assert detector.layout_.vector
    assert detector.explain(X[300:303]).map_NHW is None
    # No training image is among its own neighbours; as new ones they would look too normal.
    assert np.median(detector.decision_scores_) > 1.05 * np.median(-detector.score_samples(X[:300]))
    assert roc_auc_score(labels, detector.decision_function(np.concatenate([X[300:], outliers]))) > 0.85
    assert np.isfinite(detector.score_samples([[1e300, -1e300, 0]])).all()
    settings = yaml.safe_load(detector.run_files_["config.yaml"])
    assert settings["train"]["least_steps"] == 400, "few images get more epochs"


PICKLED = """
import sys
import hw8
assert hw8.__version__
assert not {"torch", "sklearn", "numpy"} & sys.modules.keys(), "importing hw8 is quick"
import pickle
import numpy as np, torch
torch.set_num_threads(int(sys.argv[2]))
folder = sys.argv[1]
with open(f"{folder}/estimators.pickle", "rb") as file:
    detector, pipeline = pickle.load(file)
X = np.load(f"{folder}/images.npy")
np.save(f"{folder}/detector.npy", detector.score_samples(X))
np.save(f"{folder}/pipeline.npy", pipeline.decision_function(X / np.float32(1)))
"""


@pytest.mark.slow
def test_pickled_alone_and_in_a_pipeline_it_scores_the_same_in_another_process(detector, normal, tmp_path):
    steps = [("scale", FunctionTransformer(functools.partial(np.multiply, 1 / 255))), ("detector", clone(detector))]
    pipeline = Pipeline(steps).set_params(detector__epochs=2).fit(normal[:200])
    blob = pickle.dumps((detector, pipeline))
    assert b"torch" not in blob
    assert b"model.safetensors" in blob
    (tmp_path / "estimators.pickle").write_bytes(blob)
    np.save(tmp_path / "images.npy", normal[250:])
    words = [sys.executable, "-c", PICKLED, str(tmp_path), str(torch.get_num_threads())]
    subprocess.run(words, check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "detector.npy"), detector.score_samples(normal[250:]))
    np.testing.assert_array_equal(np.load(tmp_path / "pipeline.npy"), pipeline.decision_function(normal[250:]))


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors"])
def test_damaged_bytes_are_refused_when_they_are_loaded(small, name):
    state = small.__getstate__()
    for content in (b"", b"\xff\xfe no such thing", state["run_files_"][name][:100]):
        with pytest.raises(InputError, match=name):
            AnomalyDetector().__setstate__(state | {"run_files_": state["run_files_"] | {name: content}})


def test_clones_are_equal_and_unfitted(small):
    copy = clone(small)
    assert copy.get_params() == small.get_params()
    assert pickle.loads(pickle.dumps(copy)).get_params() == small.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(np.zeros((1, 16, 16), np.uint8))
    assert copy.set_params(epochs=9, contamination=0.3).get_params()["epochs"] == 9


def _folds(normal, anomalous, count=2):
    """Images, labels (1 normal, -1 anomalous), and folds that train on normal images alone."""
    X = np.concatenate([normal, anomalous])
    y = np.repeat([1, -1], [len(normal), len(anomalous)])
    parts = np.array_split(np.arange(len(normal)), count)
    folds = [(np.setdiff1d(np.arange(len(normal)), part), np.r_[part, len(normal) : len(X)]) for part in parts]
    return X, y, folds


def test_cross_validation_with_labels(normal, anomalous):
    X, y, folds = _folds(normal[:200], anomalous)
    detector = AnomalyDetector(CROPPED, epochs=15)
    auc = cross_val_score(detector, X, y, scoring="roc_auc", cv=folds)
    assert (auc > 0.6).all()
    np.testing.assert_array_equal(cross_val_score(detector, X, y > 0, scoring="roc_auc", cv=folds), auc)


@pytest.mark.slow
def test_grid_search_over_presets_in_two_processes(normal, anomalous):
    X, y, folds = _folds(normal[:80], anomalous[::6])
    grid = {"preset": ["fcn_crop", "conv"], "epochs": [np.int64(2)]}
    search = GridSearchCV(AnomalyDetector(), grid, scoring="roc_auc", cv=folds, n_jobs=2, refit=False)
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["preset"] in ("fcn_crop", "conv")


def test_fits_in_two_threads_do_not_disturb_each_other(small, grey):
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: AnomalyDetector(TINY, epochs=2).fit(grey[:200]), range(2)))
    for fitted in both:
        np.testing.assert_array_equal(fitted.score_samples(grey), small.score_samples(grey))


def test_the_state_of_the_process_is_left_as_it_was_and_nothing_is_said(grey, capfd):
    torch.manual_seed(3)
    stream, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    before = torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype(), signal.getsignal(signal.SIGTERM)
    pickle.loads(pickle.dumps(AnomalyDetector(TINY, epochs=1).fit(grey))).predict(grey)
    assert torch.equal(torch.get_rng_state(), stream)
    assert (np.random.get_state()[1] == numbers).all()
    after = torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype(), signal.getsignal(signal.SIGTERM)
    assert after == before
    assert capfd.readouterr() == ("", "")
    AnomalyDetector(TINY, epochs=1, verbose=True).fit(grey)
    printed = capfd.readouterr()
    assert "epoch 1/1" in printed.err
    assert printed.out == ""


def test_stopped_by_the_user(grey, monkeypatch):
    monkeypatch.setattr(loop.Trainer, "step", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        AnomalyDetector(TINY, epochs=1).fit(grey)


def test_errors_speak_of_parameters_and_not_of_a_folder_that_is_gone(grey, monkeypatch):
    def refuse(_, name, images):
        raise InputError(f"{name}: `lr`")

    monkeypatch.setattr(session, "check_scores", refuse)
    for wrong, message in (({"preset": "bos"}, "^`preset` bos: unknown"), ({}, "^the run: `lr`$")):
        with pytest.raises(InputError, match=message):
            AnomalyDetector(**({"preset": TINY, "epochs": 1} | wrong)).fit(grey[:60])


def test_the_hint_at_the_side_is_given_for_the_side_alone(grey):
    with pytest.raises(ValueError, match="l3: this model does not give it") as caught:
        AnomalyDetector(TINY, epochs=1, score_name="l3").fit(grey[:60, :12, :12])
    assert "any side" not in str(caught.value)


@pytest.mark.parametrize("value", [0, 7.5])
def test_images_that_are_all_the_same_are_refused(value):
    with pytest.raises(ValueError, match="X: all 30 images are the same"):
        AnomalyDetector(TINY, epochs=1).fit(np.full((30, 16, 16), value))


def test_one_image_alone_is_refused_with_what_to_write(detector, normal):
    with pytest.raises(ValueError, match=r"give X\[None\]"):
        detector.score_samples(normal[0])
    assert detector.score_samples(normal[0][None]).shape == (1,)
    with pytest.raises(ValueError, match="expected .*side") as caught:
        detector.score_samples(normal[None, :2])
    assert "transpose" not in str(caught.value)
    with pytest.raises(ValueError, match="expected .*side"):
        clone(detector).fit(normal[None, :9])


def test_flat_pixels_that_are_not_taken_for_images_are_warned_of(grey):
    flat = grey[:60, :12, :12].reshape(60, -1)
    with pytest.warns(UserWarning, match=r"give image_shape=\(12, 12, 1\) if they are") as caught:
        assert AnomalyDetector(TINY, epochs=1).fit(flat).layout_.vector, "12 is no multiple of 16"
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AnomalyDetector(TINY, epochs=1, image_shape="vector").fit(flat)
        AnomalyDetector(TINY, epochs=1, image_shape=(12, 12)).fit(flat)


def test_a_device_that_is_missing_where_it_is_unpickled_is_replaced(small, grey):
    files = small.run_files_
    elsewhere = files | {"config.yaml": files["config.yaml"].replace(b"device: auto", b"device: mps")}
    assert elsewhere != files
    with pytest.warns(UserWarning, match="device='mps' is not on this machine"):
        restored = pickle.loads(pickle.dumps(_with_files(small, elsewhere)))
    np.testing.assert_array_equal(restored.score_samples(grey[:5]), small.score_samples(grey[:5]))


def _with_files(detector, files):
    changed_detector = copy.deepcopy(detector)
    changed_detector.run_files_ = files
    return changed_detector


def test_a_presets_own_device_is_the_one_that_scores(grey):
    fitted = AnomalyDetector(dataclasses.replace(TINY, device="cpu"), epochs=1).fit(grey[:60])
    assert fitted._trained.config.device == "cpu"


def test_floats_are_converted_a_part_at_a_time(small, grey, monkeypatch):
    expected = small.score_samples(grey * 1.0)
    monkeypatch.setattr(rows, "CONVERTED", 1000)
    np.testing.assert_array_equal(small.score_samples(grey * 1.0), expected)


def test_no_image_of_a_set_too_small_to_cut_is_its_own_neighbour():
    table = np.random.default_rng(0).normal(size=(12, 16))
    with pytest.warns(UserWarning, match="12 images are too few to hold any out"):
        few = AnomalyDetector(epochs=5, image_shape="vector").fit(table)
    calibrated_C = few._trained.calibration.values_C["joint"]
    np.testing.assert_allclose(np.sort(few.decision_scores_), np.sort(calibrated_C), rtol=1e-4)


def test_rows_with_many_copies_can_be_fitted():
    table = np.repeat(np.random.default_rng(0).normal(size=(3, 4)), 100, axis=0)
    detector = AnomalyDetector(epochs=1, image_shape="vector").fit(table)
    assert (detector.predict(table) == 1).all()
    assert (detector.predict(table + 1) == -1).all()


def test_pictures_are_cropped_alike_in_fit_and_score(tmp_path):
    for number in range(24):
        pixels_HW3 = np.random.default_rng(number).integers(0, 255, (8, 16, 3), np.uint8)
        Image.fromarray(pixels_HW3).resize((32, 16)).save(tmp_path / f"{number:02d}.png")
    padded, centred = (AnomalyDetector(TINY, epochs=1, crop=crop).fit(tmp_path) for crop in ("pad", "centre"))
    np.testing.assert_allclose(padded.score_samples(tmp_path), padded.score_samples(read_images(tmp_path, crop="pad")))
    assert not np.allclose(padded.score_samples(tmp_path), centred.score_samples(tmp_path))


def test_a_folder_that_holds_anomalies_is_refused(tmp_path):
    pixels_HW3 = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    for name in ("train/good/a.png", "test/good/b.png", "test/hole/c.png", "ground_truth/hole/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels_HW3).save(tmp_path / name)
    with pytest.raises(
        ValueError,
        match=r"has pictures in folders \(.*train/good.*\) that .*; give the folder of the normal ones alone",
    ):
        AnomalyDetector(TINY, epochs=1).fit(tmp_path)
    with pytest.raises(ValueError, match="minimum of 4 is required"):
        AnomalyDetector(TINY, epochs=1).fit(tmp_path / "train")


@pytest.mark.parametrize("table", ["labels.csv", "Labels.CSV", "truth.csv"])
def test_a_folder_whose_table_labels_anomalies_is_refused_for_that(tmp_path, table):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (16, 16)).save(tmp_path / name)
    (tmp_path / table).write_text("file,label\na.png,0\nb.png,1\n")
    with pytest.raises(ValueError, match=rf"has {table}; .*; give the folder of the normal ones alone, or a list"):
        AnomalyDetector(TINY, epochs=1).fit(tmp_path)


def test_names_of_pictures_may_stand_in_an_array_or_a_series(tmp_path):
    for number in range(24):
        pixels_HW3 = np.random.default_rng(number).integers(0, 255, (16, 16, 3), np.uint8)
        Image.fromarray(pixels_HW3).save(tmp_path / f"{number:02d}.png")
    names = sorted(map(str, tmp_path.iterdir()))
    detector = AnomalyDetector(TINY, epochs=1).fit(np.array(names))
    expected = detector.score_samples(names)
    np.testing.assert_array_equal(detector.score_samples(pd.Series(names)), expected)
    assert detector.score_frame(pd.Series(names[:3]))["ID"].tolist() == names[:3]


def test_labels_that_differ_are_ignored_with_a_warning(grey):
    with pytest.warns(UserWarning, match="y is ignored: all images of X are taken as normal"):
        AnomalyDetector(TINY, epochs=1).fit(grey[:24], np.repeat([1, -1], 12))
    with pytest.warns(UserWarning, match="y is ignored"):
        AnomalyDetector(TINY, epochs=1).fit(grey[:24], ["a", None, 1] * 8)


def test_small_sets(grey):
    detector = AnomalyDetector(TINY, epochs=1)
    with pytest.raises(ValueError, match="minimum of 4 is required"):
        detector.fit(grey[:3])
    with pytest.warns(UserWarning, match="19 images are too few to hold any out"):
        assert detector.fit(grey[:19]).score_samples(grey[:5]).shape == (5,)
    with pytest.warns(UserWarning, match="8 calibration images give no p-value under"):
        few = detector.fit(grey[:20])
    assert few.offset_ == -few._trained.calibration.values_C["l1"].max()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        enough = detector.fit(grey[:48])
    assert len(enough._trained.calibration.values_C["l1"]) == 19, "as many as p = .05 takes"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X[:, :, :12], "expected"),
        (lambda X: X[:, :12, :12], "images of 12x12x1, but the detector was fitted on images of 16x16x1"),
        (lambda X: np.repeat(X[..., None], 3, axis=3), "images of 16x16x3"),
        (lambda X: X.reshape(len(X), 1, 16, 16), r"transpose\(0, 2, 3, 1\)"),
        (lambda X: X.reshape(len(X), -1)[:, :-1], "255 features"),
        (lambda X: X.reshape(-1), "Expected 2D array"),
        (lambda X: X[:0], "0 sample"),
        (lambda X: X / 255, r"pixels from .* but the detector was fitted on pixels in \[0, 255\]"),
        (lambda X: X * 9.0, "scale them alike"),
        (lambda X: np.where(X > 99, np.nan, X), r"X: 9 of 9 images hold NaN, the first is 0; .*np.nan_to_num"),
        (lambda X: np.where(X > 99, np.inf, X), "9 images hold infinity"),
        (lambda X: [*X[:2], X[2][:8]], r"its 3 images differ in size, of the shapes .*; resize them"),
        (lambda X: X[:, :, :12], r"expected .*; crop them to squares, for instance X\[:, :12, :12\], or pad them"),
        (lambda X: np.repeat(X[..., None], 4, axis=3), r"drop the alpha channel: X\[\.\.\., :-1\]"),
        (lambda X: np.repeat(X[..., None], 3, axis=3), r"make them grey: X\.mean\(axis=3\)"),
    ],
)
def test_images_of_another_kind_are_refused(small, grey, change, message):
    with pytest.raises(ValueError, match=message):
        small.score_samples(change(grey[:9]))


def test_several_folders_that_are_all_taken_as_normal_are_warned_of(normal, tmp_path):
    for folder in ("morning", "evening"):
        (tmp_path / folder).mkdir()
        for row, image_HWC in enumerate(normal[:12]):
            Image.fromarray(image_HWC).save(tmp_path / folder / f"{row}.png")
    with pytest.warns(UserWarning, match="2 folders are all taken as normal"):
        AnomalyDetector(TINY, epochs=1).fit(tmp_path)


@pytest.mark.parametrize(
    ("X", "words"),
    [
        ([], "X: no images"),
        ({"a.png", "b.png"}, r"X: a set, .* give a list: sorted\(X\) or list\(X\)"),
        (iter(["a.png"]), "X: a list_iterator, .* give a list"),
    ],
)
def test_what_is_no_list_is_refused(small, X, words):
    for call in (small.score_samples, AnomalyDetector(TINY, epochs=1).fit):
        with pytest.raises(ValueError, match=words):
            call(X)


def test_words_say_what_sets_each_image_apart(small, grey):
    words = small.explain(grey[:3]).words
    assert len(words) == 3
    assert all(isinstance(text, str) and text for text in words)


def test_grey_images_for_a_detector_of_colour_images_are_refused_with_what_to_write(detector, normal):
    grey = normal[:3].mean(axis=3)
    with pytest.raises(ValueError, match="make them colour images: ") as caught:
        detector.score_samples(grey)
    remedy = str(caught.value).split("colour images: ")[1]
    assert detector.score_samples(eval(remedy, {"np": np, "X": grey})).shape == (3,)


def test_pixels_in_another_range_than_the_fitted_ones_are_refused(grey):
    standardised = (grey - 128.0) / 60
    fitted = AnomalyDetector(TINY, epochs=1, image_shape=(16, 16)).fit(standardised[:60])
    assert len(np.unique(fitted.score_samples(standardised[:9]))) == 9
    for wrong in (grey, grey.astype(float)):
        with pytest.raises(ValueError, match=r"fitted on pixels in -.* to .*; scale them alike"):
            fitted.score_samples(wrong[:9])
    centred = AnomalyDetector(TINY, epochs=1).fit(grey[:60] / 127.5 - 1)
    with pytest.raises(ValueError, match=r"fitted on pixels in \[-1, 1\]; scale them alike"):
        centred.score_samples(grey[:9] / 255)
    with pytest.warns(UserWarning, match=r"if they are not in \[-1, 1\] already"):
        assert centred.score_samples(grey[:1] / 255).shape == (1,), "one image may be that bright"


def test_images_are_refused_by_a_detector_of_rows(grey):
    vectors = AnomalyDetector(epochs=1, image_shape="vector").fit(grey[:60].reshape(60, -1))
    with pytest.raises(ValueError, match="fitted on rows that are not images"):
        vectors.predict(grey[:2])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"preset": "bos"}, r"`preset` bos: unknown; did you mean boss\? there are boss, "),
        ({"preset": "boss_transductive"}, "a whole test set"),
        ({"preset": "conv"}, "multiple of 16 pixels; try `preset` fcn for any side"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"score_name": "l3"}, "l3: this model does not give it"),
        ({"contamination": 0.0}, r"\(0, 0\.5\]"),
        ({"contamination": 0.6}, r"\(0, 0\.5\]"),
        ({"contamination": "none"}, r"\(0, 0\.5\]"),
        ({"random_state": -1}, r"random_state=-1: must lie in"),
        ({"device": "tpu"}, "device"),
        ({"precision": "fp8"}, "precision"),
    ],
)
def test_bad_parameters_are_refused_by_fit(grey, wrong, message):
    detector = AnomalyDetector(**({"preset": TINY, "epochs": 1} | wrong))
    with pytest.raises(ValueError, match=message):
        detector.fit(grey[:60, :12, :12])


@pytest.mark.parametrize("shape", [(12, 12), (16, 8, 2), (256,), "square", 16])
def test_a_bad_image_shape_is_refused(grey, shape):
    with pytest.raises(ValueError, match=r"image_shape|images of shape"):
        AnomalyDetector(TINY, epochs=1, image_shape=shape).fit(grey[:60].reshape(60, -1))


def test_another_score(grey):
    for name in ("mse", "latent"):
        fitted = AnomalyDetector(TINY, epochs=1, score_name=name).fit(grey[:100])
        assert yaml.safe_load(fitted.run_files_["config.yaml"])["scoring"]["score"] == name
        assert np.isfinite(fitted.score_samples(grey)).all()

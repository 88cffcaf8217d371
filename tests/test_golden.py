"""A run, a pickled estimator, options and JSON keys of version 0.1 keep working: tests/data/golden/ holds them."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.golden import COMMANDS, GOLDEN, data, images, json_keys, options


@pytest.fixture
def golden_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The golden run beside its data, in the current folder."""
    data(tmp_path / "images")
    shutil.copytree(GOLDEN / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return Path("run")


def test_the_golden_run_gives_its_scores_and_json_keys(golden_run, call):
    keys = json.loads((GOLDEN / "keys.json").read_text())
    done = call("predict", "--run", golden_run, "--out", "scores.csv", "--json", "--device", "cpu")
    assert set(keys["predict"]) <= set(json_keys(done.stdout))
    known_N, score_N = (
        np.loadtxt(path, delimiter=",", skiprows=1)[:, 1] for path in (GOLDEN / "scores.csv", Path("scores.csv"))
    )
    np.testing.assert_allclose(score_N, known_N, rtol=1e-5)
    done = call("evaluate", "scores.csv", "--labels", "images/testing_labels.csv", "--json")
    assert set(keys["evaluate"]) <= set(json_keys(done.stdout))


def test_the_golden_estimator_gives_its_scores():
    detector = pickle.loads((GOLDEN / "detector.pkl").read_bytes())
    known_N = np.loadtxt(GOLDEN / "detector_scores.txt")
    np.testing.assert_allclose(detector.score_samples(images(20, 1)), known_N, rtol=1e-4)


def test_the_golden_run_is_resumed(golden_run, call):
    weights = (golden_run / "model.safetensors").read_bytes()
    call("train", "--resume", golden_run)
    assert json.loads((golden_run / "summary.json").read_text())["epochs"] == 2
    # Nothing was left to train: only the calibration is measured anew, whose last digits are the machine's.
    assert len((golden_run / "model.safetensors").read_bytes()) == len(weights)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_is_gone(name, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    known = json.loads((GOLDEN / "options.json").read_text()).get(name, [])  # none of a command that is new
    assert set(known) <= set(options(call(name, "--help").stdout))
